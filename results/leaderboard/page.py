"""The leaderboard as a page of panels: the ranking first, each chart with the table of its numbers, notes last."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ...views.panels import (
    Dot,
    Dots,
    Group,
    Interval,
    Intervals,
    Lines,
    Note,
    Page,
    Panel,
    Series,
    Stack,
    Stacks,
    Table,
)
from ..model.summary import Estimate
from .ranking import Leaderboard
from .sections import Section, interval, name_of, number, sections
from .text import run_text

__all__ = ["leaderboard_page"]

_FOLDED = {"stability", "simple", "variance"}


def leaderboard_page(made: Leaderboard, title: str = "diffbench leaderboard") -> Page:
    """Everything that the leaderboard shows."""
    agents = ", ".join(dict.fromkeys(f"{row.agent} with {row.agent_model}" for row in made.simple.rows))
    facts = (
        ("Methods", str(len(made.rows))),
        ("Grades", str(sum(row.grades for row in made.rows))),
        ("Investigators", agents),
        ("Ranking", _ranking(made)),
    )
    shown = [_panel(made, section) for section in sections(made)]
    notes = Note("Notes and diagnostics", run_text(made) if made.model else "", items=made.notes)
    return Page(title, facts, (), (*shown, notes, *_left_out(made)))


def _ranking(made: Leaderboard) -> str:
    if made.ranked and made.model:
        return f"{made.model.name}, diagnostics passed"
    return "refused, see the notes" if made.model else "none: simple means, see the notes"


def _panel(made: Leaderboard, section: Section) -> Panel:
    table = section.table
    if section.key in _FOLDED:
        rows = len(table.rows)
        return replace(table, fold="1 row" if rows == 1 else f"{rows} rows")
    chart = _CHARTS[section.key](made) if section.key in _CHARTS else None
    if chart is None:
        return table
    bare = replace(table, note="")
    parts = (bare, chart) if section.key == "ranking" else (chart, bare)
    return Group(table.title, parts, table.note, headings=False)


def _left_out(made: Leaderboard) -> list[Table]:
    rows = tuple((item.log, item.sample or "(whole log)", item.reason) for item in made.left_out)
    fold = f"Read and not, or not wholly, in the grades: {len(rows)}"
    return [Table("Left out", ("log", "sample", "reason"), rows, 3, fold=fold)] if rows else []


def _forest(made: Leaderboard) -> Panel:
    """Expected grades with their intervals, baselines hollow."""
    rows = tuple(_interval(name_of(row), row.grade, row.is_baseline) for row in made.rows)
    return Intervals("Expected grades", "expected grade (hollow: baseline)", rows, (1, 5))


def _severities(made: Leaderboard) -> Panel | None:
    """Severity of the judges on the logit scale; None where the model has none."""
    judges = made.summary.judges if made.summary else ()
    known = [judge for judge in judges if not math.isnan(judge.severity.mean)]
    if not known:
        return None
    reach = max(1, math.ceil(max(max(abs(judge.severity.low), abs(judge.severity.high)) for judge in known)))
    rows = tuple(_interval(judge.judge, judge.severity) for judge in known)
    return Intervals("Severity of the judges", "lenient  ←  severity (logit)  →  strict", rows, (-reach, reach))


def _interval(label: str, found: Estimate, hollow: bool = False) -> Interval:
    if math.isnan(found.low) or math.isnan(found.high):
        return Interval(label, found.mean, text=number(found.mean), hollow=hollow)
    text = f"{number(found.mean)} ({interval(found.low, found.high)})"
    return Interval(label, found.mean, found.low, found.high, text, hollow)


def _shares(made: Leaderboard) -> Panel:
    """Shares of the grades 1 to 5 as given, with the model's expectation below."""
    by_method = {found.method: found for found in made.shares}
    stacks = []
    for row in made.rows:
        found = by_method[row.method]
        fitted = None if found.fitted is None else tuple(found.fitted)
        stacks.append(Stack(name_of(row), tuple(found.observed), f"{found.grades} grades", fitted))
    return Stacks("Grades given", ("1", "2", "3", "4", "5"), tuple(stacks))


def _dilution(made: Leaderboard) -> Panel:
    """Mean grade against the parts of general data, a line a method, evenly spaced."""
    grades = {(point.method, point.general): point.grade for point in made.dilution}
    parts = sorted({general for _, general in grades})
    series = tuple(Series(row.method, tuple(grades.get((row.method, part)) for part in parts)) for row in made.rows)
    x = tuple(f"1 : {part:g}" for part in parts)
    return Lines("Dilution", "narrow : general data", "mean grade", x, series, ends=(1, 5), values=False)


def _calibration(made: Leaderboard) -> Panel:
    """Share of good grades against the mean stated confidence, with Wilson intervals."""
    dots = tuple(
        Dot(
            found.confidence,
            found.good.share,
            found.good.low,
            found.good.high,
            f"stated {found.confidence:.2f}: {found.good.share:.2f} of {found.grades} grades",
        )
        for found in made.calibration
        if found.findings
    )
    return Dots("Calibration", "mean stated confidence", "share of grades 4 and 5", dots, (0, 1), (0, 1), diagonal=True)


_CHARTS: dict[str, Callable[[Leaderboard], Panel | None]] = {
    "ranking": _forest,
    "shares": _shares,
    "dilution": _dilution,
    "judges": _severities,
    "calibration": _calibration,
}
