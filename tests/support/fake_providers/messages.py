"""The Anthropic messages format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .chat import halves
from .conversation import Answer, Asked, Call, Said, digest_of, readable, tokens_in

PATH = "/v1/messages"
_STOPS = {"end": "end_turn", "length": "max_tokens", "refusal": "refusal", "filter": "refusal"}


def read(body: dict[str, Any]) -> Asked:
    """The request in a body."""
    tools = {tool["name"]: (tool["description"], tool["input_schema"]) for tool in body.get("tools") or []}
    choice = body.get("tool_choice") or {}
    system = readable(body.get("system") or "")
    told = system + readable(body["messages"]) + (json.dumps(body["tools"]) if tools else "")
    said = [part for message in body["messages"] for part in _said(message)]
    return Asked(
        model=body["model"],
        messages=(*((Said("system", system),) if system else ()), *said),
        tools=tools,
        forced=choice.get("name"),
        stream=bool(body.get("stream")),
        digest=digest_of(body),
        tokens=tokens_in(told),
    )


def _said(message: dict[str, Any]) -> Iterator[Said]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        if block["type"] == "tool_result":
            yield Said("tool", readable(block.get("content") or ""), answers=block["tool_use_id"])
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = [Call(b["name"], json.dumps(b["input"]), b["id"]) for b in blocks if b["type"] == "tool_use"]
    if text or calls:
        yield Said(message["role"], text, tuple(calls), reasoned=any(block["type"] == "thinking" for block in blocks))


def write(asked: Asked, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer."""
    return _envelope(asked, number) | {
        "content": _blocks(answer),
        "stop_reason": _stop(answer),
        "usage": _usage(asked, answer),
    }


def stream(asked: Asked, answer: Answer, number: int) -> Iterator[tuple[str | None, dict[str, Any] | str]]:
    """The same as events: name and data."""
    begun = _envelope(asked, number) | {"content": [], "stop_reason": None, "usage": _usage(asked, Answer())}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    written = {call.id: call.arguments for call in answer.calls}
    for i, block in enumerate(_blocks(answer)):
        empty, deltas = _parts(block, written)
        events.append({"type": "content_block_start", "index": i, "content_block": empty})
        events += [{"type": "content_block_delta", "index": i, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": i})
    ended = {"stop_reason": _stop(answer), "stop_sequence": None}
    events.append({"type": "message_delta", "delta": ended, "usage": _usage(asked, answer)})
    events.append({"type": "message_stop"})
    for event in events:
        yield str(event["type"]), event


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    kind = {429: "rate_limit_error", 400: "invalid_request_error"}.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def error_event(message: str) -> tuple[str | None, dict[str, Any]]:
    """An error in the middle of a stream."""
    return "error", {"type": "error", "error": {"type": "overloaded_error", "message": message}}


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": "opaque"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text, "citations": None})
    calls = [{"id": call.id, "name": call.name, "input": _input(call.arguments)} for call in answer.calls]
    return blocks + [{"type": "tool_use"} | call for call in calls]


def _input(arguments: str) -> dict[str, Any]:
    """The arguments as an object; of a call that was cut off nothing is left, but a stream shows its beginning."""
    try:
        parsed: dict[str, Any] = json.loads(arguments)
    except json.JSONDecodeError:
        return {}
    return parsed


def _parts(block: dict[str, Any], written: dict[str, str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it starts, and what is added to it; ``written`` has the arguments of each call."""
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": part} for part in halves(block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return block | {"thinking": "", "signature": ""}, [*deltas, signed]
    if block["type"] == "text":
        return block | {"text": ""}, [{"type": "text_delta", "text": part} for part in halves(block["text"])]
    pieces = halves(written[block["id"]])
    return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in pieces]


def _stop(answer: Answer) -> str:
    return "tool_use" if answer.calls and answer.stop == "end" else _STOPS[answer.stop]


def _usage(asked: Asked, answer: Answer) -> dict[str, Any]:
    thought = {"thinking_tokens": tokens_in(answer.reasoning)}
    return {"input_tokens": asked.tokens, "output_tokens": answer.tokens, "output_tokens_details": thought}


def _envelope(asked: Asked, number: int) -> dict[str, Any]:
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": asked.model, "stop_sequence": None}
