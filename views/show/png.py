"""A page as a PNG: a tall sheet in monospaced type, drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..panels import Bars, Group, HeatText, Lines, Note, Panel, RankedToken, SideBySide, TokenColumn, TokenTable
from .page import NEWLINE, Page, shown_token
from .sheet import COLUMNS, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["page_png", "require_matplotlib"]

_HOT, _COLD = (1.0, 0.55, 0.0), (0.26, 0.55, 1.0)
_SOFT = "#57606a"
_DEEPEST = 0.8
_STRONGEST = 5
_CHART_LINES = 15
_LABEL = 24
_BAR = 60
_LEAST_CARD = 40
"""Columns that side by side texts need each; narrower ones go below each other."""
_LEAST_RANKING = 24
_MARKERS = ("o", "s", "^", "v")
_STYLES = ("-", "--", ":", "-.")


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
    for picture in page.pictures:
        _draw(sheet, picture, 1.25)
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
        raise ModuleNotFoundError("--png needs matplotlib, which is not installed (--html needs nothing)") from error


def _draw(sheet: Sheet, picture: Panel, size: float) -> None:
    sheet.skip(0.5 if isinstance(picture, HeatText) else 1)
    sheet.write(picture.title, bold=True, size=1 if isinstance(picture, HeatText) else size)
    if not isinstance(picture, Note) and picture.note:
        sheet.write(picture.note, colour=_SOFT)
    match picture:
        case Note():
            sheet.write(picture.text)
        case HeatText():
            _heat(sheet, picture)
        case Lines():
            sheet.chart(_CHART_LINES, _chart(picture))
        case Bars():
            _bars(sheet, picture)
        case TokenTable():
            _token_table(sheet, picture)
        case SideBySide():
            _side_by_side(sheet, picture)
        case Group():
            for part in picture.pictures[: picture.shown]:
                _draw(sheet, part, 1.1)
            _left_out(sheet, len(picture.pictures[: picture.shown]), len(picture.pictures))


def _left_out(sheet: Sheet, shown: int, there: int) -> None:
    if there > shown:
        sheet.write(f"… {there - shown} more on the page of HTML", colour=_SOFT)


def _heat(sheet: Sheet, heat: HeatText) -> None:
    strongest = heat.strongest(_STRONGEST)
    for i, token in enumerate(heat.tokens):
        shade, left_out = heat.shade(i), heat.values[i] is None
        fill = (*(_HOT if shade > 0 else _COLD), abs(shade) * _DEEPEST) if shade else None
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
    largest = max((bar.value for bar in bars.bars), default=0.0) or 1.0
    for bar in bars.bars[: bars.shown]:
        sheet.cell(0, _LABEL, shown_token(bar.label), right=True)
        sheet.box(_LABEL + 1, _BAR * bar.value / largest, "#0b6bcb")
        value = f"{bar.value:.1%}" if bars.percent else f"{bar.value:.3g}"
        sheet.cell(_LABEL + 2 + _BAR * bar.value / largest, 12, value)
        sheet.newline()
    _left_out(sheet, min(bars.shown, len(bars.bars)), len(bars.bars))


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
    longest = max((len(column.tokens) for column in table.columns), default=0)
    _left_out(sheet, min(table.shown, longest), longest)


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


def _side_by_side(sheet: Sheet, picture: SideBySide) -> None:
    wide = COLUMNS // len(picture.columns)
    for row in picture.rows[: picture.shown]:
        sheet.skip(0.5)
        sheet.write(row.label, bold=True)
        texts = [[text.strip() or "(empty)" for text in cell] for cell in row.cells]
        if wide >= _LEAST_CARD:
            heads = [[name, *cell] for name, cell in zip(picture.columns, texts, strict=True)]
            sheet.columns(heads, wide)
        else:
            for name, cell in zip(picture.columns, texts, strict=True):
                sheet.write(f"{name}:", bold=True, colour=_SOFT)
                for text in cell:
                    sheet.write(text, indent=4)
    _left_out(sheet, min(picture.shown, len(picture.rows)), len(picture.rows))


def _chart(lines: Lines) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        places = range(len(lines.x))
        for i, series in enumerate(lines.series):
            known = [(x, y) for x, y in zip(places, series.values, strict=True) if y is not None]
            style: dict[str, Any] = {"marker": _MARKERS[i % 4], "linestyle": _STYLES[i % 4]}
            axes.plot([x for x, _ in known], [y for _, y in known], **style)
        if lines.log:
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
