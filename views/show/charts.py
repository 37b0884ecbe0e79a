"""Line charts as SVG, and the ticks of their axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ..panels import Lines
from .page import printable

__all__ = ["line_chart", "marker", "ticks", "vertical"]

WIDTH, HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 10, 40
DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 4", "12 4", "4 2", "9 3 2 3 2 3")
"""A series is told by dashes and marker as well as by colour."""
COLOURS = 8
"""Colours ``--c0`` and so on of the style sheet."""


def line_chart(lines: Lines) -> str:
    """The chart as an ``<svg>`` that scales with the page; colours come from the page's style."""
    values = [value for series in lines.series for value in series.values if value is not None]
    marks = ticks(min(values, default=0.0), max(values, default=1.0), lines.log)
    name = escape(printable(lines.title))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Chart: {name}; its values follow">']
    for mark in marks:
        y = vertical(mark, marks, lines.log)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>')
    every = math.ceil(len(lines.x) / 12)
    for i in range(0, len(lines.x), every):
        label = escape(printable(lines.x[i]))
        parts.append(
            f'<text x="{_x(i, len(lines.x)):.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{label}</text>'
        )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(printable(lines.x_label))}</text>')
    for number, series in enumerate(lines.series):
        points = [
            (_x(i, len(lines.x)), vertical(value, marks, lines.log), value)
            for i, value in enumerate(series.values)
            if value is not None
        ]
        parts.append(_series(number, printable(series.name), points))
    return "".join([*parts, "</svg>"])


def marker(number: int, x: float, y: float) -> str:
    """The sign of a series at a point; four shapes in turn."""
    style = f'class="m" style="color:var(--c{number % COLOURS})"'
    if number % 4 == 0:
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    if number % 4 == 1:
        return f'<rect {style} x="{x - 3.2:.1f}" y="{y - 3.2:.1f}" width="6.4" height="6.4"/>'
    up = 4.2 if number % 4 == 2 else -4.2
    return f'<path {style} d="M{x - 4:.1f} {y + up:.1f}L{x + 4:.1f} {y + up:.1f}L{x:.1f} {y - up:.1f}Z"/>'


def ticks(low: float, high: float, log: bool) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``.

    They are even multiples of 1, 2 or 5 times a power of ten; on a logarithmic axis these numbers themselves, or the
    powers alone where the range is wide.
    """
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = (1, 2, 5) if len(decades) <= 4 else (1,)
        marks = [float(f"{factor}e{power}") for power in decades for factor in factors]
        first = max((i for i, mark in enumerate(marks) if mark <= low), default=0)
        last = min((i for i, mark in enumerate(marks) if mark >= high), default=len(marks) - 1)
        return marks[first : max(last, first + 1) + 1]
    low = min(low, 0.0) if low < 0 or low < high / 2 else low
    span = high - low if high > low else abs(high) or 1.0
    rough = span / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def vertical(value: float, marks: Sequence[float], log: bool) -> float:
    """Distance of a value from the top of the drawing, between the outermost marks."""
    place = math.log10 if log else float
    low, high = place(marks[0]), place(marks[-1])
    share = (place(value) - low) / (high - low)
    return _TOP + (1 - share) * (HEIGHT - _TOP - _BOTTOM)


def _x(i: int, n: int) -> float:
    width = WIDTH - _LEFT - _RIGHT - 24
    return _LEFT + 12 + (width / 2 if n == 1 else width * i / (n - 1))


def _series(number: int, name: str, points: Sequence[tuple[float, float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    style = f'style="stroke:var(--c{number % COLOURS})" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
    marks = "".join(
        f"<g><title>{escape(name)}: {value:.4g}</title>{marker(number, x, y)}</g>" for x, y, value in points
    )
    return f'<polyline class="l" {style} points="{path}"/>{marks}'
