"""The grades frame: one row for each grade in the samples of evaluation logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from ..records.case import CaseMetadata
from ..records.errors import MendableError
from ..records.grades import GradeMetadata, JudgeGrade
from ..records.names import GRADER_ROLE, KEYLESS_INVESTIGATOR, NO_MODEL, TARGET_ROLE
from ..records.progress import Track, untracked
from .logs import LogRefused, age, read_log, reading, unfinished
from .schema import COLUMNS, Grade, GradeRow, LeftOut, check_frame

if TYPE_CHECKING:
    import pandas as pd
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.scorer import Score

__all__ = ["Grades", "grades_frame", "log_grades"]

_RUBRIC_SCORE = re.compile(r"rubric_grade\d*")

REFUSED = "refused: the investigator's model"
"""The column ``error`` of a case whose investigator refused to give a finding."""

_OTHER_ROLES = (TARGET_ROLE, GRADER_ROLE)
_ORDER = ["suite", "organism", "method", "agent", "agent_model", "sample", "epoch", "judge", "judge_repeat", "log"]


@dataclass(frozen=True)
class Grades:
    """The grades frame (columns: `COLUMNS`) and what was left out of it."""

    frame: pd.DataFrame
    left_out: tuple[LeftOut, ...]


_M = TypeVar("_M", bound=BaseModel)


def grades_frame(paths: str | Path | Iterable[str | Path], track: Track = untracked) -> Grades:
    """Read all grades from logs and submissions, given as files or folders (searched recursively).

    The agent is the one given with ``--solver``, else the sample's ``agent``. ``organism`` is the name without its
    variant. ``tokens`` and ``cost`` (US dollars) are the sample's, less those of the roles ``target_*`` and
    ``grader``, that is the investigator's own; where a log does not separate roles, they are those of the whole
    sample. A cost is NaN unless the price of the evaluated model is known. ``seconds`` is the sample's total time,
    with queueing and grading. ``error`` is the sample's, or says that the investigator's model refused. Of several
    attempts at the same case in one run (retries, also those of an eval set, re-scored copies) the newest that has
    grades is kept; runs started separately are all kept. A log that is there several times, alone and in submissions,
    is read once.

    Args:
        paths: Files or folders.
        track: Shows how many samples were read.

    Raises:
        MissingError: For a path that does not exist.
        MendableError: For a folder without logs; for a value outside its range; when nothing at all could be read.
    """
    import pandas as pd

    left_out: list[LeftOut] = []
    rows = [grade.row for grade in _newest(_read(paths, left_out, track), left_out)]
    unique = tuple(dict.fromkeys(left_out))
    if not rows:
        reasons = "\n".join(f"  {item.log} {item.sample or ''}: {item.reason}" for item in unique)
        raise MendableError("no grade could be read\n" + (reasons or "  the logs hold no samples"))
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(_ORDER, kind="stable")
    return Grades(check_frame(frame), unique)


def _read(paths: str | Path | Iterable[str | Path], left_out: list[LeftOut], track: Track) -> Iterator[Grade]:
    """All grades, those of the newest logs first."""
    from .sources import open_sources

    found: list[tuple[tuple[str, str, float, str], Sequence[Grade]]] = []
    with open_sources(paths) as sources:
        left_out += sources.left_out
        with reading(track, [source.path for source in sources.logs], "Reading samples") as tick:
            for source in sources.logs:
                try:
                    log = read_log(source.path, tick)
                except LogRefused as refused:
                    left_out.append(LeftOut(source.name, None, str(refused)))
                    continue
                if note := unfinished(log):
                    left_out.append(LeftOut(source.name, None, note))
                # Not a generator: the log is let go before the next is read.
                found.append((age(source.name, log, source.modified), list(log_grades(source.name, log, left_out))))
        found += [(packed.age, packed.grades) for packed in sources.packed]
    for _, grades in sorted(found, key=lambda item: item[0], reverse=True):
        yield from grades


def log_grades(path: str, log: EvalLog, left_out: list[LeftOut]) -> Iterator[Grade]:
    """The grades in a log's samples; what cannot be used is added to ``left_out``."""
    for sample in log.samples or []:
        try:
            yield from _sample_grades(path, log, sample, left_out)
        except _SampleRefused as refused:
            left_out.append(LeftOut(path, str(sample.id), _epoch(sample.epoch) + str(refused)))


class _SampleRefused(ValueError):  # noqa: N818 - it reads as what happened
    """A sample without usable grades; the message says why."""


def _sample_grades(path: str, log: EvalLog, sample: EvalSample, left_out: list[LeftOut]) -> Iterator[Grade]:
    if sample.invalidation is not None:
        raise _SampleRefused(f"invalidated: {sample.invalidation.reason or 'no reason given'}")
    # `inspect score --action append` numbers the scores of later judges: rubric_grade1, rubric_grade2, ...
    scores = [score for name, score in (sample.scores or {}).items() if _RUBRIC_SCORE.fullmatch(name)]
    if not scores:
        why = f"errored: {_line(sample.error.message)}" if sample.error else "was not scored"
        raise _SampleRefused(f"no rubric_grade; the sample {why}")
    rubrics = [_rubric(score) for score in scores]
    entries = {(given.judge, given.repeat): given for rubric in rubrics for given in rubric.grades or ()}
    if not entries:
        why = scores[-1].explanation or scores[-1].reason or "no reason given"
        raise _SampleRefused(f"rubric_grade without grades: {why}")
    about = _parse(CaseMetadata, sample.metadata, "sample metadata")
    if not (log.eval.solver or about.agent):
        raise _SampleRefused("sample metadata: agent: missing, and the log names no solver")
    for given in entries.values():
        if given.grade is None:
            reason = f"ungraded by {given.judge}, repeat {given.repeat}: {_line(given.error or 'no reason given')}"
            left_out.append(LeftOut(path, str(sample.id), _epoch(sample.epoch) + reason))
        else:
            row = _row(path, log, sample, about, rubrics[-1], given, given.grade)
            yield Grade(row, log.eval.task_id, sample.uuid)


def _row(
    path: str,
    log: EvalLog,
    sample: EvalSample,
    about: CaseMetadata,
    rubric: GradeMetadata,
    given: JudgeGrade,
    grade: int,
) -> GradeRow:
    tokens, cost = _usage(log.eval.model, sample)
    return {
        "log": path,
        "sample": str(sample.id),
        "epoch": sample.epoch,
        "suite": about.suite,
        "organism": about.organism.partition("+")[0],
        "family": about.family,
        "variant": about.variant,
        "method": about.method,
        "agent": log.eval.solver or about.agent or "",
        "agent_model": KEYLESS_INVESTIGATOR if log.eval.model == NO_MODEL else log.eval.model,
        "interactions": about.interactions,
        "framing": about.framing,
        "blind": about.blind,
        "hints": about.hints,
        "judge": given.judge,
        "judge_repeat": given.repeat,
        "grade": grade,
        "fact_recall": _number((sample.scores or {}).get("fact_recall")),
        "verdict": rubric.verdict,
        "confidence": rubric.confidence,
        "interactions_used": sample.store.get("CaseState:interactions_used"),
        "tokens": tokens,
        "cost": cost,
        "seconds": sample.total_time,
        "error": sample.error.message if sample.error else REFUSED if rubric.finding_source == "refused" else None,
    }


def _usage(model: str, sample: EvalSample) -> tuple[int, float | None]:
    """Tokens and dollars of the investigator, as far as the sample separates roles."""
    others = [usage for role, usage in sample.role_usage.items() if role.startswith(_OTHER_ROLES)]
    all_tokens = sum(usage.total_tokens for usage in sample.model_usage.values())
    own_tokens = all_tokens - sum(usage.total_tokens for usage in others)
    costs = [usage.total_cost for usage in sample.model_usage.values() if usage.total_cost is not None]
    own = sample.model_usage.get(model)
    if own_tokens < 0:  # The roles were used where the sample's own count did not see them: not separable.
        own_tokens, others = all_tokens, []
    if not costs or (own is not None and own.total_cost is None):
        return own_tokens, None
    return own_tokens, max(0.0, sum(costs) - sum(usage.total_cost or 0.0 for usage in others))


def _newest(grades: Iterable[Grade], left_out: list[LeftOut]) -> Iterator[Grade]:
    """Of grades that come newest first: those of the newest attempt at each case, each once."""
    attempts: dict[tuple[object, ...], Grade] = {}
    seen: dict[tuple[object, ...], Grade] = {}
    for grade in grades:
        newest = attempts.setdefault(grade.case, grade)
        kept = newest if newest.attempt != grade.attempt else seen.setdefault(grade.key, grade)
        if kept is grade:
            yield grade
            continue
        reason = f"{_epoch(grade.row['epoch'])}duplicate: superseded by {kept.row['log']}"
        left_out.append(LeftOut(grade.row["log"], grade.row["sample"], reason))


def _rubric(score: Score) -> GradeMetadata:
    rubric = _parse(GradeMetadata, score.metadata or {}, "rubric_grade")
    if rubric.grades is None:
        raise _SampleRefused("rubric_grade: grades: Field required")
    return rubric


def _parse(model: type[_M], data: Mapping[str, object], where: str) -> _M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise _SampleRefused(f"{where}: {fields}") from error


def _number(score: Score | None) -> float | None:
    value = None if score is None else score.value
    return float(value) if isinstance(value, (int, float)) else None


def _epoch(number: int) -> str:
    return f"epoch {number}: " if number > 1 else ""


def _line(text: str) -> str:
    return text.strip().partition("\n")[0]
