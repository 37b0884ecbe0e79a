"""A request and its answer, whatever the wire format."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["investigator", "judge", "target", "probe"]

CHARACTERS_PER_TOKEN = 4
"""How the servers count: characters of the text that was sent, over four, rounded up. No tokenizer."""

_JUDGE = "You grade the finding of an investigator"
_PROBE = "Please say 'hello, world'"
"""Inspect's own question to a reasoning model, whether it may show summaries."""
_NOT_READ = {"type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "signature", "encrypted_content", "status"}


@dataclass(frozen=True)
class Call:
    """A tool call; arguments as they stand on the wire, possibly no JSON at all."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class Said:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    calls: tuple[Call, ...] = ()
    answers: str = ""
    """Id of the call that a tool message answers."""
    reasoned: bool = False
    """Whether the reasoning before it was sent back with it."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    model: str
    messages: tuple[Said, ...]
    tools: dict[str, tuple[str, dict[str, Any]]]
    """Name -> description, and JSON schema of the arguments."""
    forced: str | None
    """The one tool that must be called."""
    stream: bool
    digest: str
    """Of the whole body: a retry has the digest of what it repeats."""
    tokens: int
    """What the model has to read, in tokens."""

    @property
    def opening(self) -> str:
        """The first message of the user."""
        return next((message.text for message in self.messages if message.role == "user"), "")

    @property
    def opens(self) -> bool:
        """Whether it opens a conversation."""
        return all(message.role != "assistant" for message in self.messages)

    def problem(self) -> str | None:
        """What the real APIs answer with a 400: calls without results, results without calls."""
        waiting: set[str] = set()
        for message in self.messages:
            if message.role == "tool":
                if message.answers not in waiting:
                    return f"tool result {message.answers} answers no call"
                waiting.remove(message.answers)
                continue
            # The responses API has an item a call: calls made together come one after the other.
            if waiting and message.role != "assistant":
                return f"calls {sorted(waiting)} have no result"
            waiting |= {call.id for call in message.calls}
        return f"calls {sorted(waiting)} have no result" if waiting else None


@dataclass(frozen=True)
class Answer:
    """What a model says: reasoning, text, calls, and how it came to its end."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    stop: Literal["end", "length", "refusal", "filter"] = "end"

    @property
    def tokens(self) -> int:
        """Tokens written, those of the reasoning with them."""
        called = "".join(call.name + call.arguments for call in self.calls)
        return tokens_in(self.text + called + self.reasoning)


def role_of(asked: Asked) -> Role:
    """Who is asked, by what the request holds."""
    if "submit" in asked.tools:
        return "investigator"
    return "judge" if asked.opening.startswith(_JUDGE) else "probe" if asked.opening == _PROBE else "target"


def tokens_in(text: str) -> int:
    """Tokens of a text, as the servers count them."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def readable(value: object) -> str:
    """The text in a part of a body that a model reads, without ids and names of types."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(readable(item) for key, item in value.items() if key not in _NOT_READ)
    return "".join(map(readable, value)) if isinstance(value, list) else ""


def digest_of(body: dict[str, Any]) -> str:
    """A hash of a body."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
