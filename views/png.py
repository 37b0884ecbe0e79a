"""A page as a PNG: a tall sheet in monospaced type, drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .html import DEEPEST
from .layout import column_widths, parts_of
from .marks import Scale
from .panels import (
    Bars,
    Dots,
    Group,
    HeatText,
    Interval,
    Intervals,
    Lines,
    Note,
    Page,
    Panel,
    RankedToken,
    SideBySide,
    Stacks,
    Table,
    TokenColumn,
    TokenTable,
)
from .sheet import COLUMNS, Sheet
from .text import NEWLINE, shown_token

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["page_png", "require_matplotlib"]

_HOT, _COLD = (1.0, 0.55, 0.0), (0.26, 0.55, 1.0)
_SOFT = "#57606a"
_MARKERS = ("o", "s", "^", "v")
_STYLES = ("-", "--", ":", "-.")
_CHART_LINES = 15
_LABEL = 24
_BAR = 60
_WIDEST = 44
"""Columns that a cell of a table gets at most."""
_SHADES = ("#dbe4ee", "#a9c4e0", "#6f9fcd", "#2f6fb0", "#123f73")
_LEAST_CARD = 40
"""Columns that side by side texts need each; narrower ones go below each other."""
_LEAST_RANKING = 24


def page_png(page: Page) -> bytes:
    """The file's content; what the HTML folds away is left out, and said to be.

    Raises:
        ModuleNotFoundError: Without matplotlib.
    """
    require_matplotlib()
    sheet = Sheet()
    sheet.write(page.title, bold=True, size=1.5)
    sheet.write(" · ".join(f"{name}: {value}" for name, value in page.facts), colour=_SOFT)
    for note in page.notes:
        sheet.write(f"note: {note}", colour=_SOFT)
    for panel in page.panels:
        _draw(sheet, panel, 1.25)
    file = io.BytesIO()
    sheet.save(file)
    return file.getvalue()


def require_matplotlib() -> None:
    """Refuse without matplotlib, with the remedy.

    Raises:
        ModuleNotFoundError: When it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        told = "--png needs matplotlib, which is not installed (--html needs nothing)"
        raise ModuleNotFoundError(told, name="matplotlib") from error


def _draw(sheet: Sheet, panel: Panel, size: float) -> None:
    sheet.skip(0.5 if isinstance(panel, HeatText) else 1)
    sheet.write(panel.title, bold=True, size=1 if isinstance(panel, HeatText) else size)
    if not isinstance(panel, Note) and panel.note:
        sheet.write(panel.note, colour=_SOFT)
    _body(sheet, panel)


def _body(sheet: Sheet, panel: Panel) -> None:
    match panel:
        case Note():
            sheet.write("\n".join(filter(None, (panel.text, *(f"· {item}" for item in panel.items)))))
        case HeatText():
            _heat(sheet, panel)
        case Lines():
            sheet.chart(_CHART_LINES, _chart(panel))
        case Intervals():
            _intervals(sheet, panel)
        case Dots():
            rows = (Interval(f"at {dot.x:.3g}", dot.y, dot.low, dot.high, dot.text) for dot in panel.dots)
            said = f"{panel.y_label}, at {panel.x_label}"
            _intervals(sheet, Intervals(panel.title, said, tuple(rows), panel.y_ends))
        case Bars():
            _bars(sheet, panel)
        case Stacks():
            _stacks(sheet, panel)
        case Table():
            _table(sheet, panel)
        case TokenTable():
            _token_table(sheet, panel)
        case SideBySide():
            _side_by_side(sheet, panel)
        case Group():
            shown = panel.panels[: panel.shown]
            for part in shown:
                _draw(sheet, part, 1.1) if panel.headings else _body(sheet, part)
            _left_out(sheet, len(shown), len(panel.panels))


def _left_out(sheet: Sheet, shown: int, there: int) -> None:
    if there > shown:
        sheet.write(f"… {there - shown} more on the page of HTML", colour=_SOFT)


def _heat(sheet: Sheet, heat: HeatText) -> None:
    strongest = heat.strongest()
    for i, token in enumerate(heat.tokens):
        shade, left_out = heat.shade(i), heat.values[i] is None
        fill = (*(_HOT if shade > 0 else _COLD), abs(shade) * DEEPEST) if shade else None
        colour = _SOFT if left_out else "black"
        for number, part in enumerate(token.split("\n")):
            if number:
                sheet.place(NEWLINE, fill=fill, colour=colour)
                sheet.newline()
            if part:
                sheet.place(part, fill=fill, colour=colour, bold=i in strongest, underline=i in strongest)
    sheet.newline()
    named = ", ".join(f"{shown_token(heat.tokens[i])!r} {heat.values[i]:.3g}" for i in strongest)
    if named:
        sheet.write(f"strongest ({heat.unit or 'value'}): {named}", colour=_SOFT)


def _bars(sheet: Sheet, bars: Bars) -> None:
    sheet.write(bars.value_label, colour=_SOFT)
    for bar in bars.bars[: bars.shown]:
        sheet.cell(0, _LABEL, shown_token(bar.label), right=True)
        wide = _BAR * bar.value / bars.longest
        sheet.box(_LABEL + 1, wide, "#0b6bcb")
        sheet.cell(_LABEL + 2 + wide, 12, bars.written(bar))
        sheet.newline()
    _left_out(sheet, min(bars.shown, len(bars.bars)), len(bars.bars))


def _intervals(sheet: Sheet, panel: Intervals) -> None:
    sheet.write(f"{panel.value_label}, from {panel.ends[0]:g} to {panel.ends[1]:g}", colour=_SOFT)
    x = Scale(*panel.ends, _LABEL + 1, _LABEL + _BAR)
    for one in panel.intervals:
        sheet.cell(0, _LABEL, one.label, right=True)
        if one.low is not None and one.high is not None:
            sheet.box(x(one.low), x(one.high) - x(one.low), _SHADES[1])
        sheet.cell(x(one.value), 1, "○" if one.hollow else "●")
        sheet.cell(_LABEL + _BAR + 2, COLUMNS - _LABEL - _BAR - 2, one.text)
        sheet.newline()


def _stacks(sheet: Sheet, panel: Stacks) -> None:
    for stack in panel.stacks:
        sheet.cell(0, _LABEL, stack.label, right=True)
        at = _LABEL + 1.0
        for i, share in enumerate(stack.shares):
            sheet.box(at, _BAR * share, _SHADES[i % len(_SHADES)])
            at += _BAR * share
        parts = (f"{name}: {share:.0%}" for name, share in zip(panel.parts, stack.shares, strict=True))
        sheet.cell(_LABEL + _BAR + 2, COLUMNS - _LABEL - _BAR - 2, "  ".join(parts), colour=_SOFT)
        sheet.newline()


def _table(sheet: Sheet, table: Table) -> None:
    widths = column_widths(table, widest=_WIDEST, gap=2)
    for columns in parts_of(widths, table.names, COLUMNS):
        for number, row in enumerate((table.header, *table.rows)):
            at = 0
            for i in columns:
                sheet.cell(at, widths[i] - 2, row[i], bold=number == 0, right=i >= table.names)
                at += widths[i]
            sheet.newline()
        sheet.skip(0.5)


def _token_table(sheet: Sheet, table: TokenTable) -> None:
    sheet.write(f"Beside each token: {table.value_label}.", colour=_SOFT)
    if table.mark:
        sheet.write(f"Bold and underlined: {table.mark}.", colour=_SOFT)
    beside = COLUMNS // _LEAST_RANKING
    for first in range(0, len(table.columns), beside):
        columns = table.columns[first : first + beside]
        wide = COLUMNS // len(columns) if len(columns) == beside else _LEAST_RANKING
        _heads(sheet, columns, wide)
        for rank in range(min(table.shown, max((len(column.tokens) for column in columns), default=0))):
            for i, column in enumerate(columns):
                for token in column.tokens[rank : rank + 1]:
                    _ranked(sheet, i * wide, wide, token)
            sheet.newline()
        sheet.skip(0.5)
    _left_out(sheet, min(table.shown, len(table.rows)), len(table.rows))


def _heads(sheet: Sheet, columns: Sequence[TokenColumn], wide: int) -> None:
    for line in ("name", "note"):
        texts = [str(getattr(column, line)) for column in columns]
        if any(texts):
            for i, text in enumerate(texts):
                sheet.cell(i * wide, wide - 1, text, bold=line == "name", colour=_SOFT)
            sheet.newline()


def _ranked(sheet: Sheet, x: float, wide: int, token: RankedToken) -> None:
    value = "" if token.value is None else f" {token.value:.3g}"
    name = repr(shown_token(token.token))
    taken = sheet.cell(x, wide - len(value) - 1, name, bold=token.marked, underline=token.marked)
    sheet.cell(x + taken, len(value), value, colour=_SOFT)


def _side_by_side(sheet: Sheet, panel: SideBySide) -> None:
    wide = COLUMNS // len(panel.columns)
    for row in panel.rows[: panel.shown]:
        sheet.skip(0.5)
        sheet.write(row.label, bold=True)
        texts = [[text.strip() or "(empty)" for text in cell] for cell in row.cells]
        if wide >= _LEAST_CARD:
            heads = [[name, *cell] for name, cell in zip(panel.columns, texts, strict=True)]
            sheet.columns(heads, wide)
        else:
            for name, cell in zip(panel.columns, texts, strict=True):
                sheet.write(f"{name}:", bold=True, colour=_SOFT)
                for text in cell:
                    sheet.write(text, indent=4)
    _left_out(sheet, min(panel.shown, len(panel.rows)), len(panel.rows))


def _chart(lines: Lines) -> Callable[[Axes], None]:
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
        axes.set_xlabel(shown_token(lines.x_label))
        axes.set_ylabel(shown_token(lines.y_label))
        axes.grid(visible=True, alpha=0.4)
        handles = axes.get_lines()
        names = [shown_token(series.name) for series in lines.series]
        # By hand: matplotlib leaves names that begin with an underscore out of its legends.
        legend = axes.legend(handles, [f" {name}" for name in names], loc="center left", bbox_to_anchor=(1.01, 0.5))
        for text in (*legend.get_texts(), *axes.get_xticklabels(), axes.xaxis.label, axes.yaxis.label):
            text.set_parse_math(False)

    return draw


def _from_zero(lines: Lines) -> bool:
    """Whether the values take up so much of the axis that it may as well begin at 0."""
    values = [value for series in lines.series for value in series.values if value is not None]
    return bool(values) and 0 <= min(values) < max(values) / 2
