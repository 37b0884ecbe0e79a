"""Charts as SVG, one function a kind of panel; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup

from .marks import Scale, clipped, curve, drawing, even_ticks, line, marker, rect, text, ticks
from .panels import Dots, Intervals, Lines, Stacks

__all__ = ["BOTTOM", "TOP", "dots_chart", "intervals_chart", "line_chart", "series_sign", "stacks_chart"]

TOP, BOTTOM = 10.0, 216.0
"""Pixels between which the values of a plane lie."""
_HEIGHT = 262.0
_RIGHT = 97.0
_MOST_NAMED = 12
"""Places of a line that have room for their names."""
_ROW = 38
_SHADES = 5
"""Shades ``--g1`` and so on of the style sheet, for parts of a whole."""
_LEAST_NAMED = 0.06
"""Share of a part that has room for its name."""


def line_chart(lines: Lines) -> Markup:
    """A line a series over places that are evenly spaced."""
    if lines.ends is None:
        values = [value for series in lines.series for value in series.values if value is not None] or [1.0]
        marks = ticks(min(values), max(values), lines.log)
        y = Scale(marks[0], marks[-1], BOTTOM, TOP, lines.log)
    else:
        marks = _within(lines.ends)
        y = Scale(*lines.ends, BOTTOM, TOP)
    parts = list(_across(y, marks))
    last = len(lines.x) - 1
    x = Scale(0, last, _left(marks) + 3, _RIGHT) if last > 0 else Scale(-1, 1, _left(marks), _RIGHT)
    every = max(1, math.ceil(len(lines.x) / _MOST_NAMED))
    parts += [text(x(i), BOTTOM + 18, lines.x[i], "middle", "soft") for i in range(0, len(lines.x), every)]
    parts.append(text((_left(marks) + _RIGHT) / 2, _HEIGHT - 8, lines.x_label, "middle", "soft"))
    for number, series in enumerate(lines.series):
        points = [(x(i), y(value), value) for i, value in enumerate(series.values) if value is not None]
        parts += [Markup("<g>")]
        parts += [curve(number, *one[:2], *other[:2]) for one, other in pairwise(points)]
        parts += [marker(number, px, py, f"{series.name}: {value:.4g}") for px, py, value in points]
        parts += [Markup("</g>")]
    return drawing(_HEIGHT, f"Chart: {lines.title}; its values follow", parts)


def series_sign(number: int) -> Markup:
    """A piece of the line of a series with its marker, for the chart's key."""
    inner = curve(number, 0, 7, 100, 7) + marker(number, 50, 7)
    return Markup('<svg width="40" height="14" aria-hidden="true">{}</svg>').format(inner)


def intervals_chart(panel: Intervals) -> Markup:
    """A row each: the name and the numbers above its interval."""
    x = Scale(*panel.ends, 3.0, _RIGHT)
    bottom = TOP + _ROW * len(panel.intervals)
    parts: list[Markup] = []
    for mark in _within(panel.ends):
        parts += [
            line(x(mark), TOP, x(mark), bottom, "grid"),
            text(x(mark), bottom + 16, f"{mark:g}", "middle", "soft"),
        ]
    for i, one in enumerate(panel.intervals):
        y = TOP + _ROW * i
        if one.low is not None and one.high is not None:
            parts.append(line(x(one.low), y + 26, x(one.high), y + 26, "range"))
        parts += [text(0, y + 14, clipped(one.label)), text(100, y + 14, one.text, "end", "value")]
        kind = "dot hollow" if one.hollow else "dot"
        parts.append(Markup('<circle class="{}" cx="{:.2f}%" cy="{}" r="5"/>').format(kind, x(one.value), y + 26))
    parts.append(text(50, bottom + 36, panel.value_label, "middle", "soft"))
    return drawing(bottom + 44, f"Chart: {panel.title}; its values are in the table", parts)


def stacks_chart(panel: Stacks) -> Markup:
    """A bar each, its parts from left to right, with the expected ones as a thinner bar below."""
    parts: list[Markup] = []
    y = TOP
    for stack in panel.stacks:
        parts += [text(0, y + 12, clipped(stack.label)), text(100, y + 12, stack.text, "end", "soft")]
        parts += _stacked(panel.parts, stack.shares, y + 18, 20, labelled=True)
        y += 42
        if stack.expected is not None:
            parts += _stacked(panel.parts, stack.expected, y, 8, labelled=False)
            y += 14
        y += 8
    return drawing(y, f"Chart: {panel.title}; its values are in the table", parts)


def dots_chart(panel: Dots) -> Markup:
    """Points with their intervals, and the diagonal."""
    marks = _within(panel.y_ends)
    y = Scale(*panel.y_ends, BOTTOM, TOP)
    x = Scale(*panel.x_ends, _left(marks) + 3, _RIGHT)
    parts = list(_across(y, marks))
    parts += [text(x(mark), BOTTOM + 18, f"{mark:g}", "middle", "soft") for mark in _within(panel.x_ends)]
    parts.append(text((_left(marks) + _RIGHT) / 2, _HEIGHT - 8, panel.x_label, "middle", "soft"))
    if panel.diagonal:
        (x1, x2), (y1, y2) = panel.x_ends, panel.y_ends
        parts.append(line(x(x1), y(y1), x(x2), y(y2), "diagonal"))
    for dot in panel.dots:
        if dot.low is not None and dot.high is not None:
            parts.append(line(x(dot.x), y(dot.low), x(dot.x), y(dot.high), "range"))
        parts.append(marker(0, x(dot.x), y(dot.y), dot.text))
    return drawing(_HEIGHT, f"Chart: {panel.title}; its values are in the table", parts)


def _across(y: Scale, marks: Sequence[float]) -> Iterator[Markup]:
    """Grid lines with their numbers at the left."""
    left = _left(marks)
    for mark in marks:
        yield line(left, y(mark), _RIGHT + 1.5, y(mark), "grid")
        yield text(left - 1.5, y(mark) + 4, f"{mark:g}", "end", "soft")


def _left(marks: Sequence[float]) -> float:
    """Per cent of the width that the numbers of the vertical axis take, on a telephone too."""
    return 3.5 + 1.9 * max(len(f"{mark:g}") for mark in marks)


def _within(ends: tuple[float, float]) -> list[float]:
    low, high = ends
    return [mark for mark in even_ticks(low, high, about=5) if low <= mark <= high]


def _stacked(
    names: Sequence[str], shares: Sequence[float], y: float, height: float, *, labelled: bool
) -> Iterator[Markup]:
    at = 0.0
    for i, (name, share) in enumerate(zip(names, shares, strict=True)):
        shade = 1 + round((_SHADES - 1) * i / max(len(names) - 1, 1))
        end = at + 100 * share
        yield rect(at, end, y, height, f"g{shade}", f"{name}: {share:.0%}")
        if labelled and share >= _LEAST_NAMED:
            yield text((at + end) / 2, y + height - 5, name, "middle", f"on{shade}")
        at = end
