"""Charts drawn by matplotlib, for the PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .panels import Dots, Intervals, Lines
from .text import shown_token

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = ["plot_of"]

_LINES = 15
"""Of the sheet that a plane takes, with its labels."""
_BLUE = "#0b6bcb"
_MARKERS = ("o", "s", "^", "v")
_STYLES = ("-", "--", ":", "-.")


def plot_of(panel: Lines | Intervals | Dots) -> tuple[int, Callable[[Axes], None]]:
    """How many lines of the sheet a chart takes, and what draws it."""
    match panel:
        case Lines():
            return _LINES, _lines(panel)
        case Intervals():
            return 6 + 2 * len(panel.intervals), _intervals(panel)
        case Dots():
            return _LINES, _dots(panel)


def _lines(lines: Lines) -> Callable[[Axes], None]:
    """A line a series, told by marker and dashes; the legend at the right."""

    def draw(axes: Axes) -> None:
        places = range(len(lines.x))
        for i, series in enumerate(lines.series):
            known = [(x, y) for x, y in zip(places, series.values, strict=True) if y is not None]
            style: dict[str, Any] = {"marker": _MARKERS[i % 4], "linestyle": _STYLES[i % 4]}
            axes.plot([x for x, _ in known], [y for _, y in known], **style)
        if lines.ends is not None:
            axes.set_ylim(*lines.ends)
        elif lines.log:
            axes.set_yscale("log")
        elif _from_zero(lines):
            axes.set_ylim(bottom=0.0)
        axes.set_xticks(list(places), list(map(shown_token, lines.x)))
        _label(axes, lines.x_label, lines.y_label)
        handles = axes.get_lines()
        names = [shown_token(series.name) for series in lines.series]
        # By hand: matplotlib leaves names that begin with an underscore out of its legends.
        legend = axes.legend(handles, [f" {name}" for name in names], loc="center left", bbox_to_anchor=(1.01, 0.5))
        _take_literally(axes, legend.get_texts())

    return draw


def _intervals(panel: Intervals) -> Callable[[Axes], None]:
    """A row each, the first one on top; names and numbers at the right."""
    low, high = panel.ends

    def held(value: float) -> float:
        return min(max(value, low), high)

    def draw(axes: Axes) -> None:
        for i, one in enumerate(panel.intervals):
            if one.low is not None and one.high is not None:
                axes.plot([held(one.low), held(one.high)], [i, i], color=_BLUE, linewidth=2)
            axes.plot([held(one.value)], [i], marker="o", color=_BLUE, markerfacecolor="white" if one.hollow else _BLUE)
        axes.set_xlim(*panel.ends)
        axes.set_ylim(len(panel.intervals) - 0.5, -0.5)
        axes.yaxis.tick_right()
        names = [f"{shown_token(one.label)}  {shown_token(one.text) if one.text else ''}" for one in panel.intervals]
        axes.set_yticks(range(len(names)), names)
        _label(axes, panel.value_label, "")
        _take_literally(axes)

    return draw


def _dots(panel: Dots) -> Callable[[Axes], None]:
    """Points with their intervals, and the diagonal."""

    def draw(axes: Axes) -> None:
        if panel.diagonal:
            axes.plot(panel.x_ends, panel.y_ends, color="grey", linestyle="--", linewidth=1)
        for dot in panel.dots:
            if dot.low is not None and dot.high is not None:
                axes.plot([dot.x, dot.x], [dot.low, dot.high], color=_BLUE, linewidth=2)
            axes.plot([dot.x], [dot.y], marker="o", color=_BLUE)
        axes.set_xlim(*panel.x_ends)
        axes.set_ylim(*panel.y_ends)
        _label(axes, panel.x_label, panel.y_label)
        _take_literally(axes)

    return draw


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(shown_token(x))
    axes.set_ylabel(shown_token(y) if y else "")
    axes.grid(visible=True, alpha=0.4)


def _take_literally(axes: Axes, others: Sequence[Text] = ()) -> None:
    """Names with a dollar sign are no formulas."""
    labels = (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label)
    for text in (*others, *labels):
        text.set_parse_math(False)


def _from_zero(lines: Lines) -> bool:
    """Whether the values take up so much of the axis that it may as well begin at 0."""
    values = [value for series in lines.series for value in series.values if value is not None]
    return bool(values) and 0 <= min(values) < max(values) / 2
