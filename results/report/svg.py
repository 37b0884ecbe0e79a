"""Marks of fluid SVG drawings: positions across are per cent of the width, text keeps its size on any screen."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ..leaderboard.sections import printable

__all__ = ["COLOURS", "Axis", "clipped", "drawing", "line", "marker", "rect", "text", "text_of"]

COLOURS = 6
"""Colours ``--c0`` and so on of the style sheet."""
DASHES = ("none", "7 3", "2 3", "9 3 2 3", "1 4", "12 4")
_LONGEST = 30


class Axis:
    """Maps values to per cent of the drawing's width, a margin left on both sides."""

    def __init__(self, low: float, high: float, left: float = 3.0, right: float = 97.0) -> None:
        self._low, self._span = low, (high - low) or 1.0
        self._left, self._width = left, right - left

    def __call__(self, value: float) -> float:
        """Place of a value; values beyond the ends lie at the ends."""
        share = min(max((value - self._low) / self._span, 0.0), 1.0)
        return self._left + share * self._width


def text_of(value: str) -> str:
    """A text that is safe in HTML and in attributes."""
    return escape(printable(value))


def clipped(name: str, longest: int = _LONGEST) -> str:
    """A name cut to what has room in a drawing; its table has all of it."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def drawing(height: float, label: str, parts: Iterable[str]) -> str:
    """An ``<svg>`` as wide as the page."""
    inner = "".join(parts)
    return f'<svg width="100%" height="{height:g}" role="img" aria-label="{text_of(label)}">{inner}</svg>'


def text(x: float, y: float, value: str, anchor: str = "start", kind: str = "") -> str:
    """A text whose baseline is at ``y`` pixels."""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.2f}%" y="{y:.1f}" text-anchor="{anchor}">{text_of(value)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str, series: int | None = None) -> str:
    """A line from point to point; one of a series has its colour and dashes."""
    style = "" if series is None else _series(series)
    return f'<line class="{kind}" x1="{x1:.2f}%" y1="{y1:.1f}" x2="{x2:.2f}%" y2="{y2:.1f}"{style}/>'


def rect(x1: float, x2: float, y: float, height: float, kind: str, title: str = "") -> str:
    """A bar from ``x1`` to ``x2`` per cent."""
    told = f"<title>{text_of(title)}</title>" if title else ""
    place = f'x="{x1:.2f}%" width="{max(x2 - x1, 0):.2f}%" y="{y:.1f}" height="{height:g}"'
    return f'<rect class="{kind}" {place}>{told}</rect>'


def marker(number: int, x: float, y: float, title: str = "") -> str:
    """The sign of a series at a point: four shapes in turn, in its colour."""
    shapes = (
        '<circle r="4.5"/>',
        '<rect x="-4" y="-4" width="8" height="8"/>',
        '<path d="M-5 4L5 4L0 -5Z"/>',
        '<path d="M0 -6L5 0L0 6L-5 0Z"/>',
    )
    told = f"<title>{text_of(title)}</title>" if title else ""
    shape = shapes[number % len(shapes)]
    return (
        f'<svg x="{x:.2f}%" y="{y:.1f}" overflow="visible" class="m" '
        f'style="color:var(--c{number % COLOURS})">{told}{shape}</svg>'
    )


def _series(number: int) -> str:
    return f' style="stroke:var(--c{number % COLOURS})" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
