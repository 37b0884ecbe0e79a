"""Marks of fluid SVG drawings: places across are per cent of the width, so that text keeps its size on any screen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from .text import printable

__all__ = ["Scale", "clipped", "curve", "drawing", "even_ticks", "line", "marker", "rect", "text", "text_of", "ticks"]

_COLOURS = 8
"""Colours ``--c0`` and so on of the style sheet."""
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "1 4", "12 4", "4 2", "9 3 2 3 2 3")
"""A series is told by dashes and marker as well as by colour."""
_SHAPES = (
    Markup('<circle r="4"/>'),
    Markup('<rect x="-3.6" y="-3.6" width="7.2" height="7.2"/>'),
    Markup('<path d="M-4.6 3.8L4.6 3.8L0 -4.8Z"/>'),
    Markup('<path d="M0 -5.4L4.6 0L0 5.4L-4.6 0Z"/>'),
)


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` to places from ``first`` to ``last``; values beyond lie at the ends."""

    low: float
    high: float
    first: float
    last: float
    log: bool = False
    """Whether equal factors are equally far apart."""

    def __call__(self, value: float) -> float:
        """The place of a value."""
        of = math.log10 if self.log else float
        low, high = of(self.low), of(self.high)
        share = (of(value) - low) / ((high - low) or 1.0)
        return self.first + min(max(share, 0.0), 1.0) * (self.last - self.first)


def text_of(value: str) -> Markup:
    """A text that is safe in HTML and in attributes."""
    return escape(printable(value))


def clipped(name: str, longest: int = 30) -> str:
    """A name cut to what has room in a drawing; its table has all of it."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def drawing(height: float, label: str, parts: Iterable[Markup]) -> Markup:
    """An ``<svg>`` as wide as what holds it; ``label`` is read to those who do not see it."""
    start = Markup('<svg width="100%" height="{:g}" role="img" aria-label="{}">').format(height, text_of(label))
    return start + Markup("").join(parts) + Markup("</svg>")


def text(x: float, y: float, value: str, anchor: str = "start", kind: str = "") -> Markup:
    """A text whose baseline is at ``y`` pixels."""
    named = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<text{} x="{:.2f}%" y="{:.1f}" text-anchor="{}">{}</text>').format(
        named, x, y, anchor, text_of(value)
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line from point to point."""
    place = Markup('x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"').format(x1, y1, x2, y2)
    return Markup('<line class="{}" {}/>').format(kind, place)


def curve(number: int, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A piece of the line of a series, in its colour and dashes."""
    style = Markup('style="stroke:var(--c{})" stroke-dasharray="{}"').format(
        number % _COLOURS, _DASHES[number % len(_DASHES)]
    )
    place = Markup('x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"').format(x1, y1, x2, y2)
    return Markup('<line class="curve" {} {}/>').format(place, style)


def rect(x1: float, x2: float, y: float, height: float, kind: str, title: str) -> Markup:
    """A bar from ``x1`` to ``x2`` per cent."""
    place = Markup('x="{:.2f}%" width="{:.2f}%" y="{:.1f}" height="{:g}"').format(x1, max(x2 - x1, 0), y, height)
    return Markup('<rect class="{}" {}><title>{}</title></rect>').format(kind, place, text_of(title))


def marker(number: int, x: float, y: float, title: str = "") -> Markup:
    """The sign of a series at a point: four shapes in turn, in its colour."""
    told = Markup("<title>{}</title>").format(text_of(title)) if title else ""
    place = Markup('x="{:.2f}%" y="{:.1f}" overflow="visible"').format(x, y)
    return Markup('<svg class="m" {} style="color:var(--c{})">{}{}</svg>').format(
        place, number % _COLOURS, told, _SHAPES[number % len(_SHAPES)]
    )


def ticks(low: float, high: float, log: bool = False) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``; from 0 on where the values take up most of that axis.

    They are even multiples of 1, 2 or 5 times a power of ten; on a logarithmic axis these numbers themselves, or the
    powers alone where the range is wide.
    """
    if not log:
        return even_ticks(min(low, 0.0) if low < high / 2 else low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 4 else (1,)
    marks = [float(f"{factor}e{power}") for power in decades for factor in factors]
    first = max((i for i, mark in enumerate(marks) if mark <= low), default=0)
    last = min((i for i, mark in enumerate(marks) if mark >= high), default=len(marks) - 1)
    return marks[first : max(last, first + 1) + 1]


def even_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Multiples of one round step, ``about`` of them, from at most ``low`` to at least ``high``."""
    span = high - low if high > low else abs(high) or 1.0
    rough = span / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
