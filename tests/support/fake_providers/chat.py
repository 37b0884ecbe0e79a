"""The OpenAI chat-completions format, which most local servers speak as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .conversation import Answer, Asked, Call, Said, digest_of, readable, tokens_in

PATH = "/v1/chat/completions"
_STOPS = {"end": "stop", "length": "length", "refusal": "stop", "filter": "content_filter"}


def read(body: dict[str, Any]) -> Asked:
    """The request in a body."""
    offered = [tool["function"] for tool in body.get("tools") or []]
    tools = {tool["name"]: (tool["description"], tool["parameters"]) for tool in offered}
    choice = body.get("tool_choice")
    told = readable(body["messages"]) + (json.dumps(body["tools"]) if tools else "")
    return Asked(
        model=body["model"],
        messages=tuple(_said(message) for message in body["messages"]),
        tools=tools,
        forced=choice["function"]["name"] if isinstance(choice, dict) else None,
        stream=bool(body.get("stream")),
        digest=digest_of(body),
        tokens=tokens_in(told),
    )


def _said(message: dict[str, Any]) -> Said:
    calls = [Call(c["function"]["name"], c["function"]["arguments"], c["id"]) for c in message.get("tool_calls") or []]
    role = "system" if message["role"] == "developer" else message["role"]
    text = readable(message.get("content") or "") or (message.get("refusal") or "")
    return Said(role, text, tuple(calls), message.get("tool_call_id", ""), bool(message.get("reasoning_content")))


def write(asked: Asked, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer."""
    choice = {"index": 0, "message": _message(answer), "finish_reason": _finish(answer)}
    return _envelope(asked, number, "chat.completion") | {"choices": [choice], "usage": _usage(asked, answer)}


def stream(asked: Asked, answer: Answer, number: int) -> Iterator[tuple[str | None, dict[str, Any] | str]]:
    """The same as events: name (None here) and data."""
    message = _message(answer)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for field in ("reasoning_content", "content", "refusal"):
        deltas += [{field: part} for part in halves(message.get(field) or "")]
    for i, call in enumerate(message.get("tool_calls", [])):
        arguments = call["function"]["arguments"]
        deltas.append({"tool_calls": [{**call, "index": i, "function": {**call["function"], "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": i, "function": {"arguments": part}}]} for part in halves(arguments)]
    envelope = _envelope(asked, number, "chat.completion.chunk")
    for delta in deltas:
        yield None, envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield None, envelope | {"choices": [{"index": 0, "delta": {}, "finish_reason": _finish(answer)}]}
    yield None, envelope | {"choices": [], "usage": _usage(asked, answer)}
    yield None, "[DONE]"


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    kinds = {429: "rate_limit_exceeded", 400: "invalid_request_error"}
    kind = kinds.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "code": kind if status == 429 else None}}


def error_event(message: str) -> tuple[str | None, dict[str, Any]]:
    """An error in the middle of a stream."""
    return None, error(500, message)


def halves(text: str) -> list[str]:
    """A text in two parts, none of them empty."""
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.stop == "refusal":
        message |= {"content": None, "refusal": answer.text}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    return message


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls and answer.stop == "end" else _STOPS[answer.stop]


def _usage(asked: Asked, answer: Answer) -> dict[str, Any]:
    written = answer.tokens
    return {
        "prompt_tokens": asked.tokens,
        "completion_tokens": written,
        "total_tokens": asked.tokens + written,
        "completion_tokens_details": {"reasoning_tokens": tokens_in(answer.reasoning)},
    }


def _envelope(asked: Asked, number: int, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 1, "model": asked.model}
