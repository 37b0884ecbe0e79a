"""The OpenAI responses format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .chat import error, halves
from .conversation import Answer, Asked, Call, Said, digest_of, readable, tokens_in

__all__ = ["PATH", "error", "error_event", "read", "stream", "write"]

PATH = "/v1/responses"


def read(body: dict[str, Any]) -> Asked:
    """The request in a body."""
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    tools = {tool["name"]: (tool["description"], tool["parameters"]) for tool in body.get("tools") or []}
    choice = body.get("tool_choice")
    told = readable(items) + body.get("instructions", "") + (json.dumps(body["tools"]) if tools else "")
    return Asked(
        model=body["model"],
        messages=tuple(map(_said, items)),
        tools=tools,
        forced=choice["name"] if isinstance(choice, dict) else None,
        stream=bool(body.get("stream")),
        digest=digest_of(body),
        tokens=tokens_in(told),
    )


def _said(item: dict[str, Any]) -> Said:
    if item.get("type") == "reasoning":
        return Said("assistant", reasoned=True)
    if item.get("type") == "function_call":
        return Said("assistant", calls=(Call(item["name"], item["arguments"], item["call_id"]),))
    if item.get("type") == "function_call_output":
        return Said("tool", readable(item["output"]), answers=item["call_id"])
    role = "system" if item["role"] == "developer" else item["role"]
    return Said(role, readable(item["content"]))


def write(asked: Asked, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer."""
    cut = {"length": "max_output_tokens", "filter": "content_filter"}.get(answer.stop)
    return _envelope(asked, number) | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "output": _items(answer, number),
        "usage": {
            "input_tokens": asked.tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answer.tokens,
            "output_tokens_details": {"reasoning_tokens": tokens_in(answer.reasoning)},
            "total_tokens": asked.tokens + answer.tokens,
        },
    }


def stream(asked: Asked, answer: Answer, number: int) -> Iterator[tuple[str | None, dict[str, Any] | str]]:
    """The same as events: name and data."""
    begun = _envelope(asked, number) | {"status": "in_progress", "output": []}
    whole = write(asked, answer, number)
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for i, item in enumerate(whole["output"]):
        place = {"output_index": i, "item_id": item["id"]}
        events.append({"type": "response.output_item.added", "output_index": i, "item": item})
        if item["type"] == "function_call":
            kind = {"type": "response.function_call_arguments.delta"}
            events += [kind | place | {"delta": part} for part in halves(item["arguments"])]
        if item["type"] == "message":
            kind = {"type": "response.output_text.delta", "content_index": 0, "logprobs": []}
            events += [kind | place | {"delta": part} for part in halves(answer.text)]
        events.append({"type": "response.output_item.done", "output_index": i, "item": item})
    events.append({"type": f"response.{whole['status']}", "response": whole})
    for i, event in enumerate(events):
        yield str(event["type"]), event | {"sequence_number": i}


def error_event(message: str) -> tuple[str | None, dict[str, Any]]:
    """An error in the middle of a stream."""
    data = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 99}
    return "error", data


def _items(answer: Answer, number: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{number}", "summary": summary, "encrypted_content": "opaque"})
    if answer.text:
        said: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": []}
        if answer.stop == "refusal":
            said = {"type": "refusal", "refusal": answer.text}
        message = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
        items.append(message | {"content": [said]})
    for i, call in enumerate(answer.calls):
        called = {"call_id": call.id, "name": call.name, "arguments": call.arguments, "status": "completed"}
        items.append({"type": "function_call", "id": f"fc_{number}_{i}"} | called)
    return items


def _envelope(asked: Asked, number: int) -> dict[str, Any]:
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1,
        "model": asked.model,
        "error": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
