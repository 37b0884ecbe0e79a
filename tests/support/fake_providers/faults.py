"""What goes wrong with hosted models, and plans of when it does."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

from .conversation import Answer, Asked, Call, role_of

TRANSIENT = ("rate_limit", "server_error", "dropped", "dropped_midway", "error_midway")
"""The request fails and can be repeated: 429 with retry-after, 500, the connection closed before the answer or in the
middle of it, an error sent in the middle of a stream (a 500 where nothing is streamed)."""
CONTENT = ("refusal", "refusal_for_good", "filtered", "blocked", "empty", "too_long", "malformed")
"""An answer comes, but not the one that was hoped for: a refusal (once, or again and again), an answer that a filter
stopped, a request that one refused (400), an empty answer, one that was cut off, tool calls that cannot be executed."""
FAULTS = TRANSIENT + CONTENT

Plan = Callable[[Asked, int], str | None]
"""Fault for a request, given how often it came (from 1)."""

MARK = re.compile(r"\bfault:(?:(?P<role>[a-z]+)\.)?(?P<kind>[a-z_]+)(?:@\w+)?")

REFUSAL = "I can't help with that."
FOR_GOOD = "I will not take part in this."


def marked() -> Plan:
    """The fault that a conversation's first message names, as ``fault:empty`` or ``fault:judge.empty@chat``, once.

    The scripted investigator passes the mark on to the targets and, in its finding, to the judge. What follows the @
    tells marks of one kind apart. Each role meets the fault once, targets once a prompt.
    """
    met: set[tuple[str, ...]] = set()

    def plan(asked: Asked, arrival: int) -> str | None:
        mark, role = MARK.search(asked.opening), role_of(asked)
        if mark is None or mark["kind"] not in FAULTS or mark["role"] not in (None, role):
            return None
        key = (role, asked.model, asked.opening if role == "target" else mark[0])
        kind = None if key in met else mark["kind"]
        met.add(key)
        return kind

    return plan


def drawn(seed: int, rate: float) -> Plan:
    """Faults of all kinds alike, at ``rate``: the same for the n-th arrival of a request whenever it comes."""

    def plan(asked: Asked, arrival: int) -> str | None:
        dice = random.Random(f"{seed}|{asked.digest}|{arrival}")
        return dice.choice(FAULTS) if dice.random() < rate else None

    return plan


def spoil(kind: str, answer: Answer, objects_only: bool) -> Answer:
    """The answer that a fault of the content leaves.

    Args:
        kind: One of ``CONTENT``, but ``blocked``, which has no answer.
        answer: The good one.
        objects_only: Whether the format's arguments are objects, so that broken JSON cannot be sent whole.
    """
    if kind in ("refusal", "refusal_for_good"):
        return Answer(REFUSAL if kind == "refusal" else FOR_GOOD, stop="refusal")
    if kind == "filtered":
        return Answer(stop="filter")
    if kind == "empty":
        return Answer(reasoning=answer.reasoning)
    if kind == "too_long":
        cut = tuple(replace(call, arguments=call.arguments[: len(call.arguments) // 2]) for call in answer.calls)
        text = answer.text[: len(answer.text) // 2] if answer.text.endswith("}") else answer.text * 50
        return replace(answer, text=text, calls=cut, stop="length")
    if not answer.calls:
        return replace(answer, text=answer.text.replace("grade", "mark"))
    first = answer.calls[0]
    wrong = (
        Call(first.name, '{"prompts": {"a": 3}, "verdict": 7}'),
        Call("read_the_weights", '{"layer": 3}'),
        *(() if objects_only else (Call(first.name, '{"prompts": ["one", "two"'),)),
    )
    return replace(answer, calls=tuple(replace(call, id=f"{first.id}_{i}") for i, call in enumerate(wrong)))
