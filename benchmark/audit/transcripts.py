"""The audit of transcripts: what the investigators of finished cases saw that they must not have seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...organisms.suites import find_organism
from ...records.case import organism_id_of
from ...records.errors import MendableError
from ...records.names import TARGET_ROLE
from ...records.progress import Track, untracked
from ...results.logs import LogRefused, read_transcripts, reading, unfinished
from ...results.schema import LeftOut
from ...results.sources import open_sources
from .leaks import Hit, find_leaks, opening_server_error
from .shown import generations, shown_texts

if TYPE_CHECKING:
    from inspect_ai.event import Event
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage

__all__ = ["Audit", "Leak", "audit_logs", "audit_transcript"]


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


@dataclass
class _Audited:
    """What was found so far."""

    leaks: list[Leak] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    organisms: list[str] = field(default_factory=list)
    """Of each transcript."""
    texts: int = 0

    def add_log(self, log: str, header: EvalLog, samples: Iterable[EvalSample]) -> None:
        """Audit the transcripts of a log."""
        targets, read = _target_names(header), 0
        for read, sample in enumerate(samples, 1):  # noqa: B007 - the number is needed after the last one
            try:
                self._add_sample(log, sample, targets)
            except MendableError as error:
                self.left_out.append(LeftOut(log, str(sample.id), str(error)))
        if note := unfinished(header, read):
            self.left_out.append(LeftOut(log, None, note))

    def _add_sample(self, log: str, sample: EvalSample, targets: Sequence[str]) -> None:
        texts, hits = _audit_sample(sample, targets)
        self.texts += texts
        self.organisms.append(organism_id_of(sample.metadata) or "")
        where = (log, str(sample.id), sample.epoch)
        self.leaks += [Leak(*where, place, hit.kind, hit.found, hit.excerpt) for place, hit in hits]

    def whole(self) -> Audit:
        """The audit.

        Raises:
            MendableError: When no transcript could be read; says why.
        """
        if not self.organisms:
            reasons = "\n".join(f"  {item.log} {item.sample or ''}: {item.reason}" for item in self.left_out)
            raise MendableError("no transcript could be read\n" + (reasons or "  the logs hold no samples"))
        named = tuple(dict.fromkeys(self.organisms))
        return Audit(tuple(self.leaks), len(self.organisms), self.texts, named, tuple(self.left_out))


def audit_logs(paths: Sequence[str | Path], track: Track = untracked) -> Audit:
    """Scan all transcripts in logs and submissions, given as files or folders (searched recursively).

    Raises:
        FileNotFoundError: For a path that does not exist.
        MendableError: For a folder without logs; when no transcript at all could be read.
    """
    audited = _Audited()
    with open_sources(paths) as sources:
        audited.left_out += sources.left_out
        audited.left_out += [LeftOut(packed.age[-1], None, "grades without transcripts") for packed in sources.packed]
        with reading(track, [source.path for source in sources.logs], "Reading transcripts") as tick:
            for source in sources.logs:
                try:
                    audited.add_log(source.name, *read_transcripts(source.path, tick))
                except LogRefused as refused:
                    audited.left_out.append(LeftOut(source.name, None, str(refused)))
    return audited.whole()


def audit_transcript(
    metadata: Mapping[str, Any],
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
    for shown in shown_texts(messages, events):
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
        if any(generations(events)):
            shown, again = audit_transcript(sample.metadata, [], events, target_names)
            count += shown
            found += [(f"{place} (failed attempt {number})", hit) for place, hit in again]
    return count, found


def _target_names(header: EvalLog) -> tuple[str, ...]:
    """Models that were bound to the targets' roles."""
    bound = [entry for role, entry in (header.eval.model_roles or {}).items() if role.startswith(TARGET_ROLE)]
    models = [model for entry in bound for model in (entry if isinstance(entry, list) else [entry])]
    return tuple(dict.fromkeys(model.model for model in models))
