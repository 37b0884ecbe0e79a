"""The figures about judges as terminal tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...graders.calibration_set import ATTACKS
from ...results.agreement import Agreement, Drift, Measure
from ...views.terminal import plain_table
from .judge_summary import HEADERS, MISSING, CalibrationSummary, SummaryRow, cells, miss_line

__all__ = ["agreement_tables", "calibration_tables"]


def calibration_tables(summary: CalibrationSummary, misses: int) -> Group:
    """What a judge got right and wrong: all entries, by kind, by family, by attack, and the worst misses."""
    baseline = " – a baseline that counts words, no language model" if summary.is_baseline else ""
    title = f"Calibration of {summary.judge}{baseline}"
    shown = [f"  {miss_line(answer)}" for answer in summary.misses[:misses]]
    ungraded = [f"  {miss_line(answer)}\n    {answer.given.error}" for answer in summary.ungraded]
    lines = [
        *([f"The worst {len(shown)} of {len(summary.misses)} misses:", *shown] if shown else []),
        *([f"Ungraded ({len(ungraded)}):", *ungraded] if ungraded else []),
    ]
    return Group(
        _figures(title, "entries of", [[summary.overall], summary.by_kind, summary.by_rubric]),
        *([_figures("By attack", "attack", [summary.by_attack])] if summary.by_attack else []),
        *(Text(f"{row.label}: {ATTACKS[row.label]}", style="dim") for row in summary.by_attack),  # type: ignore[index]
        *map(Text, lines),
    )


def agreement_tables(found: Agreement) -> Group:
    """Agreement of the judges with each other, of each pair and of each judge with itself."""
    alpha = f"Krippendorff's alpha (ordinal) over all judges: {_measure(found.alpha)} ({found.alpha.cases} cases)"
    pairs = _table("Pairs", "judge", "judge", "kappa", "cases")
    for pair in found.pairs:
        pairs.add_row(*map(Text, pair.judges), _measure(pair.kappa), str(pair.kappa.cases))
    judges = _table(
        "Judges", "judge", "cases", "mean\ngrade", "severity", "repeats\nequal", "repeats\nalpha", "drift a log"
    )
    for judge in found.judges:
        judges.add_row(
            Text(judge.judge),
            str(judge.cases),
            f"{judge.mean:.2f}",
            _measure(judge.severity, "+.2f"),
            _measure(judge.repeat_exact),
            _measure(judge.repeat_alpha),
            _drift(judge.drift),
        )
    return Group(
        Text(alpha),
        *([pairs] if found.pairs else []),
        judges,
        *(Text(note, style="dim") for note in (*_reasons(found), *found.notes)),
    )


def _reasons(found: Agreement) -> list[str]:
    """Why numbers are missing, each reason once with what lacks the number."""
    reasons: dict[str, list[str]] = {}

    def add(what: str, note: str) -> None:
        if note:
            reasons.setdefault(note, []).append(what)

    add("alpha", found.alpha.note)
    for pair in found.pairs:
        add(f"kappa of {' and '.join(pair.judges)}", pair.kappa.note)
    for judge in found.judges:
        add(f"severity of {judge.judge}", judge.severity.note)
        add(f"repeats of {judge.judge}", judge.repeat_exact.note or judge.repeat_alpha.note)
        add(f"drift of {judge.judge}", judge.drift_note)
    severity = (
        "severity: mean difference to the mean of the other judges on the same cases, negative is severe; drift: its "
        f"change from log to log, with a {found.level:.0%} bootstrap interval over the cases of each log."
    )
    return [severity, *(f"{MISSING} {', '.join(what)}: {note}." for note, what in reasons.items())]


def _figures(title: str, first: str, groups: Sequence[Sequence[SummaryRow]]) -> Table:
    table = _table(title, first, *(header.replace(" ", "\n", 1) for header in HEADERS[1:]))
    for group in groups:
        for row in group:
            table.add_row(*map(Text, cells(row)))
        table.add_section()
    return table


def _table(title: str, first: str, *headers: str) -> Table:
    table = plain_table(title)
    table.add_column(first, overflow="fold", min_width=21)
    for header in headers:
        table.add_column(header, justify="right", overflow="fold")
    return table


def _measure(measure: Measure, form: str = ".2f") -> str:
    return MISSING if math.isnan(measure.value) else format(measure.value, form)


def _drift(drift: Drift | None) -> str:
    if drift is None:
        return MISSING
    interval = "" if math.isnan(drift.low) else f" ({drift.low:+.2f} to {drift.high:+.2f})"
    return f"{drift.slope:+.2f}{interval}"
