"""How well a judge did on the calibration set: the figures, as JSON and as Markdown in a document."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...graders.calibration_set import ATTACKS, Answer
from ...records.names import KEYLESS_GRADER
from ...records.strict_json import strict_json
from ...results.agreement import quadratic_kappa
from ...views.markdown import escape_markdown, markdown_table
from .marked_page import Marks

__all__ = [
    "HEADERS",
    "CalibrationSummary",
    "SummaryRow",
    "cells",
    "marks",
    "miss_line",
    "summarise",
    "to_json",
    "write_page",
]

HEADERS = ("", "entries", "asked", "ungraded", "mean abs. error", "within tolerance", "bias", "kappa")
MISSING = "–"


@dataclass(frozen=True)
class SummaryRow:
    """The figures of some answers; NaN where there is no grade, or for kappa no variation."""

    label: str
    entries: int
    asked: int
    """Entries times repeats."""
    ungraded: int
    """Answers without a grade: they count as outside the tolerance and in no other figure."""
    mean_error: float
    """Mean absolute difference to the intended grade."""
    within: float
    """Share of the answers within the entry's tolerance, 0..1."""
    bias: float
    """Mean difference to the intended grade; positive is lenient."""
    kappa: float
    """Cohen's kappa with quadratic weights, against the intended grades."""


@dataclass(frozen=True)
class CalibrationSummary:
    """A judge's figures: over all entries, by kind, by rubric and by attack."""

    judge: str
    repeats: int
    families: tuple[str, ...]
    """Rubrics asked about when not all of them were."""
    overall: SummaryRow
    by_kind: tuple[SummaryRow, ...]
    by_rubric: tuple[SummaryRow, ...]
    by_attack: tuple[SummaryRow, ...]
    misses: tuple[Answer, ...]
    """Grades outside the tolerance, worst first."""
    ungraded: tuple[Answer, ...]

    @property
    def is_baseline(self) -> bool:
        """Whether the judge is the keyless grader, which counts words."""
        return self.judge == KEYLESS_GRADER

    @property
    def command(self) -> str:
        """What makes these figures."""
        chosen = "".join(f" --family {name}" for name in self.families)
        repeats = f" --repeats {self.repeats}" if self.repeats > 1 else ""
        return f"diffbench judges calibrate --model {self.judge}{repeats}{chosen}"


def summarise(answers: Sequence[Answer], repeats: int, families: tuple[str, ...] = ()) -> CalibrationSummary:
    """The figures of one judge's answers.

    Raises:
        ValueError: Without answers.
    """
    if not answers:
        raise ValueError("no answers to summarise; ask about at least one family")
    misses = [answer for answer in answers if answer.error is not None and not answer.within]
    return CalibrationSummary(
        judge=answers[0].given.judge,
        repeats=repeats,
        families=families,
        overall=_row("all", answers),
        by_kind=_rows(answers, ("plain", "adversarial"), lambda answer: answer.entry.kind),
        by_rubric=_rows(answers, sorted({answer.rubric for answer in answers}), lambda answer: answer.rubric),
        by_attack=_rows(answers, ATTACKS, lambda answer: answer.entry.attack),
        misses=tuple(sorted(misses, key=lambda answer: -abs(answer.error or 0))),
        ungraded=tuple(answer for answer in answers if answer.error is None),
    )


def cells(row: SummaryRow) -> tuple[str, ...]:
    """The figures of a row as text, in the order of ``HEADERS``."""
    numbers = (f"{row.mean_error:.2f}", f"{row.within:.0%}", f"{row.bias:+.2f}", f"{row.kappa:.2f}")
    counts = (str(row.entries), str(row.asked), str(row.ungraded))
    return (row.label, *counts, *(MISSING if "nan" in number else number for number in numbers))


def miss_line(answer: Answer) -> str:
    """One answer in a line: which entry, what was intended, what was given."""
    entry = answer.entry
    attack = f", {entry.attack}" if entry.attack else ""
    grade = "no grade" if answer.given.grade is None else f"graded {answer.given.grade}"
    return f"{answer.rubric}/{entry.id}{attack}: {grade}, intended {entry.expected}. {entry.why}"


def to_json(summary: CalibrationSummary, answers: Sequence[Answer]) -> str:
    """The figures and every answer; what cannot be computed is null."""
    rows = {name: [asdict(row) for row in getattr(summary, name)] for name in ("by_kind", "by_rubric", "by_attack")}
    data = {
        "judge": summary.judge,
        "baseline": summary.is_baseline,
        "command": summary.command,
        "overall": asdict(summary.overall),
        **rows,
        "answers": [
            {
                "rubric": answer.rubric,
                "entry": answer.entry.id,
                "organism": answer.entry.organism,
                "attack": answer.entry.attack,
                "expected": answer.entry.expected,
                "tolerance": answer.entry.tolerance,
                "within": answer.within,
                **answer.given.model_dump(exclude={"judge"}),
            }
            for answer in answers
        ],
    }
    return strict_json(data)


def marks(judge: str) -> Marks:
    """Where the figures of a judge stand in a page."""
    return Marks(f"calibration of {judge}", "diffbench judges calibrate --write", begins_pages=True)


def write_page(summary: CalibrationSummary, path: Path, misses: int) -> None:
    """Put the figures between the marks of this judge in a Markdown page; a page that is not there is begun.

    Raises:
        MendableError: When the page is there and lacks the marks.
    """
    marks(summary.judge).write(path, _markdown(summary, misses))


def _rows(
    answers: Sequence[Answer], labels: Iterable[str], of: Callable[[Answer], str | None]
) -> tuple[SummaryRow, ...]:
    groups = ((label, [answer for answer in answers if of(answer) == label]) for label in labels)
    return tuple(_row(label, group) for label, group in groups if group)


def _row(label: str, answers: Sequence[Answer]) -> SummaryRow:
    graded = [(answer.given.grade, answer.entry.expected) for answer in answers if answer.given.grade is not None]
    given, intended = [grade for grade, _ in graded], [grade for _, grade in graded]
    return SummaryRow(
        label=label,
        entries=len({(answer.rubric, answer.entry.id) for answer in answers}),
        asked=len(answers),
        ungraded=len(answers) - len(graded),
        mean_error=_mean([abs(grade - expected) for grade, expected in graded]),
        within=_mean([answer.within for answer in answers]),
        bias=_mean([grade - expected for grade, expected in graded]),
        kappa=quadratic_kappa(given, intended).value,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _markdown(summary: CalibrationSummary, misses: int) -> str:
    baseline = " (a baseline that counts words, no language model)" if summary.is_baseline else ""
    rows = [summary.overall, *summary.by_kind, *summary.by_rubric]
    shown = [f"- {escape_markdown(miss_line(answer))}" for answer in summary.misses[:misses]]
    ungraded = [
        f"- {escape_markdown(miss_line(answer))} ({escape_markdown(answer.given.error or '')})"
        for answer in summary.ungraded
    ]
    parts = [
        f"`{summary.judge}`{baseline}:\n\n    {summary.command}",
        _table("entries of", rows),
        _table("attack", summary.by_attack) if summary.by_attack else "",
        "\n".join([f"The worst {len(shown)} of {len(summary.misses)} misses:", "", *shown]) if shown else "",
        "\n".join(["Ungraded:", "", *ungraded]) if ungraded else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _table(first: str, rows: Sequence[SummaryRow]) -> str:
    return markdown_table((first, *HEADERS[1:]), map(cells, rows))
