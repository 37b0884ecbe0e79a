"""The drawings of the leaderboard's page; each stands above the table of its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..leaderboard.ranking import Leaderboard
from ..leaderboard.sections import interval, name_of, number
from ..model.summary import Estimate
from .svg import Axis, clipped, drawing, line, marker, rect, text, text_of

__all__ = ["calibration", "dilution", "forest", "severities", "shares"]

_ROW = 38
_TOP = 8
_FOOT = 26
_CURVE = 220


def forest(leaderboard: Leaderboard) -> str:
    """Expected grades with their intervals, baselines hollow."""
    rows = [(name_of(row), row.grade, row.is_baseline) for row in leaderboard.rows]
    label = "Forest plot of the expected grades; the numbers are in the table above"
    return _intervals(rows, Axis(1, 5), range(1, 6), "expected grade (hollow: baseline)", label)


def severities(leaderboard: Leaderboard) -> str:
    """Severity of the judges on the logit scale; empty where the model has none."""
    judges = leaderboard.summary.judges if leaderboard.summary else ()
    rows = [(judge.judge, judge.severity, False) for judge in judges if not math.isnan(judge.severity.mean)]
    if not rows:
        return ""
    reach = max(1, math.ceil(max(max(abs(found.low), abs(found.high)) for _, found, _ in rows)))
    axis = Axis(-reach, reach)
    label = "Severities of the judges; the numbers are in the table below"
    return _intervals(rows, axis, (-reach, 0, reach), "lenient  ←  severity (logit)  →  strict", label)


def _intervals(
    rows: Sequence[tuple[str, Estimate, bool]], axis: Axis, marks: Sequence[int], caption: str, label: str
) -> str:
    """A row each: the name and the numbers above its interval."""
    bottom = _TOP + _ROW * len(rows)
    parts = list(_grid(axis, marks, bottom))
    for i, (name, found, hollow) in enumerate(rows):
        y = _TOP + _ROW * i
        numbers = number(found.mean)
        if not math.isnan(found.low):
            numbers += f" ({interval(found.low, found.high)})"
            parts.append(line(axis(found.low), y + 26, axis(found.high), y + 26, "range"))
        parts += [text(0, y + 14, clipped(name)), text(100, y + 14, numbers, "end", "value")]
        kind = "dot hollow" if hollow else "dot"
        parts.append(f'<circle class="{kind}" cx="{axis(found.mean):.2f}%" cy="{y + 26}" r="5"/>')
    parts.append(text(50, bottom + 36, caption, "middle", "soft"))
    return drawing(bottom + 44, label, parts)


def _grid(axis: Axis, marks: Sequence[float], bottom: float) -> Iterator[str]:
    for mark in marks:
        yield line(axis(mark), _TOP, axis(mark), bottom, "grid")
        yield text(axis(mark), bottom + 16, f"{mark:g}", "middle", "soft")


def shares(leaderboard: Leaderboard) -> str:
    """Stacked shares of the grades 1..5 as given, with the model's expectation as a thinner bar below."""
    by_method = {found.method: found for found in leaderboard.shares}
    parts, y = [], _TOP
    for row in leaderboard.rows:
        found = by_method[row.method]
        parts.append(text(0, y + 12, clipped(name_of(row))))
        parts.append(text(100, y + 12, f"{found.grades} grades", "end", "soft"))
        parts += _stack(found.observed, y + 18, 20, labelled=True)
        y += 42
        if found.fitted is not None:
            parts += _stack(found.fitted, y, 8, labelled=False)
            y += 14
        y += 8
    return drawing(y, "Shares of the grades by method; the numbers are in the table below", parts)


def _stack(values: Sequence[float], y: float, height: float, *, labelled: bool) -> Iterator[str]:
    at = 0.0
    for grade, share in enumerate(values, 1):
        end = at + 100 * share
        yield rect(at, end, y, height, f"g{grade}", f"grade {grade}: {share:.0%}")
        if labelled and share >= 0.06:
            yield text((at + end) / 2, y + height - 5, str(grade), "middle", f"on{grade}")
        at = end


def dilution(leaderboard: Leaderboard) -> str:
    """Mean grade against the parts of general data, a curve a method, evenly spaced."""
    parts_of = sorted({point.general for point in leaderboard.dilution})
    places = {general: i for i, general in enumerate(parts_of)}
    axis = Axis(0, max(len(parts_of) - 1, 1), 9, 94)
    parts = list(_frame([f"1 : {general:g}" for general in parts_of], axis, (1, 2, 3, 4, 5)))
    order = [row.method for row in leaderboard.rows]
    for series, method in enumerate(order):
        points = [
            (
                axis(places[point.general]),
                _height(point.grade, 1, 5),
                f"{method}, 1 : {point.general:g}: {point.grade:.2f}",
            )
            for point in leaderboard.dilution
            if point.method == method
        ]
        parts += [line(a[0], a[1], b[0], b[1], "curve", series) for a, b in pairwise(points)]
        parts += [marker(series, *point) for point in points]
    parts.append(text(51, _CURVE + 40, "narrow : general data, against the mean grade", "middle", "soft"))
    label = "Mean grade by dilution; the numbers are in the table below"
    return drawing(_CURVE + 48, label, parts) + _key(order)


def calibration(leaderboard: Leaderboard) -> str:
    """Share of good grades against the mean stated confidence, with Wilson intervals and the diagonal."""
    axis = Axis(0, 1, 9, 97)
    parts = list(_frame(["0", ".2", ".4", ".6", ".8", "1"], Axis(0, 5, 9, 97), (0, 0.2, 0.4, 0.6, 0.8, 1)))
    parts.append(line(axis(0), _height(0, 0, 1), axis(1), _height(1, 0, 1), "diagonal"))
    for found in leaderboard.calibration:
        if not found.findings:
            continue
        x = axis(found.confidence)
        parts.append(line(x, _height(found.good.low, 0, 1), x, _height(found.good.high, 0, 1), "range"))
        told = f"stated {found.confidence:.2f}: {found.good.share:.2f} of {found.grades} grades"
        parts.append(marker(0, x, _height(found.good.share, 0, 1), told))
    parts.append(text(53, _CURVE + 40, "mean stated confidence, against the share of grades 4 and 5", "middle", "soft"))
    label = "Share of grades of 4 and 5 by stated confidence; the numbers are in the table below"
    return drawing(_CURVE + 48, label, parts)


def _frame(names: Sequence[str], axis: Axis, marks: Sequence[float]) -> Iterator[str]:
    low, high = marks[0], marks[-1]
    for mark in marks:
        y = _height(mark, low, high)
        yield line(8, y, 98, y, "grid") + text(6.5, y + 4, f"{mark:g}", "end", "soft")
    for i, name in enumerate(names):
        yield text(axis(i), _CURVE + 22, name, "middle", "soft")


def _height(value: float, low: float, high: float) -> float:
    return _TOP + (1 - (value - low) / (high - low)) * (_CURVE - _TOP - 4)


def _key(names: Sequence[str]) -> str:
    items = "".join(
        f'<li><svg width="40" height="14" aria-hidden="true">{line(0, 7, 100, 7, "curve", i)}{marker(i, 50, 7)}</svg>'
        f"{text_of(name)}</li>"
        for i, name in enumerate(names)
    )
    return f'<ul class="key">{items}</ul>'
