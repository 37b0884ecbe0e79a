"""The texts of a transcript that its investigator was shown, with who wrote each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...agents.brief import OVERVIEW_HEADING
from ...records.names import ASK_TOOL, GRADER_ROLE, SUBMIT_TOOL, TARGET_ROLE
from .leaks import Seen, Source

if TYPE_CHECKING:
    from inspect_ai.event import Event, ModelEvent
    from inspect_ai.model import ChatMessage, ChatMessageTool

__all__ = ["Shown", "generations", "shown_texts"]

_OURS = ("propose_hypothesis", "update_hypothesis", SUBMIT_TOOL)


@dataclass(frozen=True)
class Shown:
    """A text that the investigator was shown, with what excuses parts of it."""

    where: str
    source: Source
    text: str
    seen: Seen
    answers: tuple[str, ...] = ()
    """The targets' answers that stand in it."""


def shown_texts(messages: Sequence[ChatMessage], events: Sequence[Event]) -> Iterator[Shown]:
    """Every text that the investigator was shown, once, in the order of the transcript."""
    own: list[str] = []
    answers: list[str] = []
    new: list[str] = []
    known: set[tuple[str, ...]] = set()

    def texts(shown: Sequence[ChatMessage]) -> Iterator[Shown]:
        for message in shown:
            key = (message.role, message.id or "", message.text)
            if key in known:
                continue
            known.add(key)
            if message.role == "assistant":
                own.extend(_own_words(message))
                continue
            first = sum(role == "user" for role, *_ in known) == 1
            for where, source, text in _places(message, first):
                just_said = tuple(new) if source == "answers" else ()
                yield Shown(where, source, text, Seen("\n".join(own), "\n".join(answers)), just_said)
                if just_said:
                    new.clear()

    for event in generations(events):
        if (event.role or "").startswith(TARGET_ROLE):
            said = [choice.message.text for choice in event.output.choices]
            answers += said
            new += said
            continue
        yield from texts(event.input)
        for tool in event.tools:
            described = f"{tool.name}\n{tool.description}\n{tool.parameters.model_dump_json(exclude_none=True)}"
            if ("tool", tool.name, described) not in known:
                known.add(("tool", tool.name, described))
                yield Shown(f"tool description: {tool.name}", "ours", described, Seen("\n".join(own)))
    yield from texts(messages)


def generations(events: Sequence[Event]) -> Iterator[ModelEvent]:
    """Model calls of the investigator and of the targets: those of the scorers are left out."""
    from inspect_ai.event import ModelEvent, SpanBeginEvent

    scoring: set[str] = set()
    for event in events:
        if isinstance(event, SpanBeginEvent):
            if event.type == "scorer" or event.name == "scorers" or event.parent_id in scoring:
                scoring.add(event.id)
        elif isinstance(event, ModelEvent) and event.span_id not in scoring and event.role != GRADER_ROLE:
            yield event


def _places(message: ChatMessage, first: bool) -> Iterator[tuple[str, Source, str]]:
    """Place, author and text of what a message shows."""
    if message.role == "system":
        yield "system prompt", "ours", message.text
    elif message.role == "tool":
        yield from _results(message)
    elif not first:
        yield "user message", "ours", message.text
    else:
        brief, heading, overview = message.text.partition(f"\n\n{OVERVIEW_HEADING}")
        yield "brief", "ours", brief
        if heading:
            yield "overview", "artifact", overview


def _results(message: ChatMessageTool) -> Iterator[tuple[str, Source, str]]:
    name = message.function or "unknown"
    if message.error is not None:
        yield f"tool error: {name}", "ours", message.error.message
        return
    source: Source = "answers" if name == ASK_TOOL else "ours" if name in _OURS else "artifact"
    yield f"tool result: {name}", source, message.text


def _own_words(message: Any) -> Iterator[str]:
    """What an investigator wrote, calls with their arguments included."""
    yield message.text
    for call in message.tool_calls or []:
        yield call.function
        yield from _strings(call.arguments)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
