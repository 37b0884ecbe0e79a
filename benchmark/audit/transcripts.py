"""The audit of transcripts: what the investigators of finished cases saw that they must not have seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...agents.brief import OVERVIEW_HEADING
from ...organisms.suites import find_organism
from ...records.case import organism_id_of
from ...records.errors import MendableError
from ...records.progress import Track, untracked
from ...results.logs import LogRefused, read_transcripts, reading, unfinished
from ...results.rows import LeftOut
from ...results.sources import open_sources
from .leaks import Hit, Seen, Source, find_leaks, opening_server_error

if TYPE_CHECKING:
    from inspect_ai.event import Event, ModelEvent
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage, ChatMessageTool

__all__ = ["Audit", "Leak", "audit_logs", "audit_transcript"]

_ANSWERS = "ask_models"
_OURS = ("propose_hypothesis", "update_hypothesis", "submit")


@dataclass(frozen=True)
class Leak:
    """One thing that an investigator was shown and must not have seen."""

    log: str
    sample: str
    epoch: int
    where: str
    kind: str
    found: str
    excerpt: str


@dataclass(frozen=True)
class Audit:
    """What was found in logs."""

    leaks: tuple[Leak, ...]
    samples: int
    """Transcripts that were read."""
    texts: int
    """Texts in them that an investigator was shown."""
    organisms: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _Shown:
    """A text that the investigator was shown, with what excuses parts of it."""

    where: str
    source: Source
    text: str
    seen: Seen
    answers: tuple[str, ...] = ()
    """The targets' answers that stand in it."""


def audit_logs(paths: Sequence[str | Path], track: Track = untracked) -> Audit:
    """Scan all transcripts in logs and submissions, given as files or folders (searched recursively).

    Raises:
        FileNotFoundError: For a path that does not exist.
        MendableError: For a folder without logs; when no transcript at all could be read.
    """
    leaks: list[Leak] = []
    left_out: list[LeftOut] = []
    organisms: list[str] = []
    texts = 0
    with open_sources(paths) as sources:
        left_out += sources.left_out
        left_out += [LeftOut(packed.age[-1], None, "grades without transcripts") for packed in sources.packed]
        with reading(track, [source.path for source in sources.logs], "Reading transcripts") as tick:
            for source in sources.logs:
                read = 0
                try:
                    header, samples = read_transcripts(source.path, tick)
                    for sample in samples:
                        read += 1
                        try:
                            shown, hits = _audit_sample(sample, _target_names(header))
                        except MendableError as error:
                            left_out.append(LeftOut(source.name, str(sample.id), str(error)))
                            continue
                        texts += shown
                        organisms.append(organism_id_of(sample.metadata) or "")
                        where = (source.name, str(sample.id), sample.epoch)
                        leaks += [Leak(*where, place, hit.kind, hit.found, hit.excerpt) for place, hit in hits]
                except LogRefused as refused:
                    left_out.append(LeftOut(source.name, None, str(refused)))
                    continue
                if note := unfinished(header, read):
                    left_out.append(LeftOut(source.name, None, note))
    if not organisms:
        reasons = "\n".join(f"  {item.log} {item.sample or ''}: {item.reason}" for item in left_out)
        raise MendableError("no transcript could be read\n" + (reasons or "  the logs hold no samples"))
    return Audit(tuple(leaks), len(organisms), texts, tuple(dict.fromkeys(organisms)), tuple(left_out))


def audit_transcript(
    metadata: dict[str, Any],
    messages: Sequence[ChatMessage],
    events: Sequence[Event],
    target_names: Sequence[str] = (),
) -> tuple[int, list[tuple[str, Hit]]]:
    """How many texts the investigator of one case was shown, and the leaks in them with their places, each once.

    Raises:
        MendableError: When the metadata name no known organism, or there is no transcript.
    """
    organism = organism_id_of(metadata)
    if organism is None:
        raise MendableError("names no organism_id: not a case of this benchmark")
    find_organism(organism)
    count, found = 0, dict[tuple[str, str, str], tuple[str, Hit]]()
    for shown in _shown(messages, events):
        count += 1
        hits = list(find_leaks(shown.text, shown.source, organism, shown.seen, target_names))
        hits += [hit for answer in shown.answers if (hit := opening_server_error(answer))]
        for hit in hits:
            found.setdefault((shown.where, hit.kind, hit.found.lower()), (shown.where, hit))
    if not count:
        raise MendableError("no transcript: it ended before the investigator was shown anything, or it was left out")
    return count, list(found.values())


def _audit_sample(sample: EvalSample, target_names: Sequence[str]) -> tuple[int, list[tuple[str, Hit]]]:
    """``audit_transcript`` of a sample and of what its log kept of attempts before it that errors ended."""
    count, found = audit_transcript(sample.metadata, sample.messages, sample.events, target_names)
    for number, attempt in enumerate(sample.error_retries or [], 1):
        events = attempt.events or []
        if any(_generations(events)):
            shown, again = audit_transcript(sample.metadata, [], events, target_names)
            count += shown
            found += [(f"{place} (failed attempt {number})", hit) for place, hit in again]
    return count, found


def _shown(messages: Sequence[ChatMessage], events: Sequence[Event]) -> Iterator[_Shown]:
    """Every text that the investigator was shown, once, in the order of the transcript."""
    own: list[str] = []
    answers: list[str] = []
    new: list[str] = []
    known: set[tuple[str, ...]] = set()

    def texts(shown: Sequence[ChatMessage]) -> Iterator[_Shown]:
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
                yield _Shown(where, source, text, Seen("\n".join(own), "\n".join(answers)), just_said)
                if just_said:
                    new.clear()

    for event in _generations(events):
        if (event.role or "").startswith("target_"):
            said = [choice.message.text for choice in event.output.choices]
            answers += said
            new += said
            continue
        yield from texts(event.input)
        for tool in event.tools:
            described = f"{tool.name}\n{tool.description}\n{tool.parameters.model_dump_json(exclude_none=True)}"
            if ("tool", tool.name, described) not in known:
                known.add(("tool", tool.name, described))
                yield _Shown(f"tool description: {tool.name}", "ours", described, Seen("\n".join(own)))
    yield from texts(messages)


def _generations(events: Sequence[Event]) -> Iterator[ModelEvent]:
    """Model calls of the investigator and of the targets: those of the scorers are left out."""
    from inspect_ai.event import ModelEvent, SpanBeginEvent

    scoring: set[str] = set()
    for event in events:
        if isinstance(event, SpanBeginEvent):
            if event.type == "scorer" or event.name == "scorers" or event.parent_id in scoring:
                scoring.add(event.id)
        elif isinstance(event, ModelEvent) and event.span_id not in scoring and event.role != "grader":
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
    source: Source = "answers" if name == _ANSWERS else "ours" if name in _OURS else "artifact"
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


def _target_names(header: EvalLog) -> tuple[str, ...]:
    """Models that were bound to the targets' roles."""
    bound = [entry for role, entry in (header.eval.model_roles or {}).items() if role.startswith("target_")]
    models = [model for entry in bound for model in (entry if isinstance(entry, list) else [entry])]
    return tuple(dict.fromkeys(model.model for model in models))
