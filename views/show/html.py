"""A page as one HTML file: no scripts, nothing from the network, every text escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib.resources import files

from ..panels import Bars, Group, HeatText, Lines, Note, Panel, RankedToken, Row, SideBySide, TokenTable
from .charts import COLOURS, DASHES, line_chart, marker
from .page import NEWLINE, Page, printable, shown_token

__all__ = ["page_html"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Escaping keeps scripts of hostile texts out; this keeps a browser from running one that came through."""
_STRONGEST = 5
_DEEPEST = 0.8
"""Opacity of the full colour: text on it stays legible in both colour schemes."""
_FAINTEST = 0.02


def page_html(page: Page) -> str:
    """The file's text."""
    body = "".join(_picture(picture, 2, f"p{i}") for i, picture in enumerate(page.pictures, 1))
    facts = "".join(f"<div><dt>{_text(name)}:</dt> <dd>{_text(value)}</dd></div>" for name, value in page.facts)
    notes = "".join(f"<li>{_text(note)}</li>" for note in page.notes)
    scale = (
        f"<details open><summary>What was scaled down or stood in for</summary><ul>{notes}</ul></details>"
        if notes
        else ""
    )
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>diffbench: {_text(page.title)}</title>\n<style>\n{style}</style></head>\n"
        f'<body><a class="skip" href="#p1">To the first picture</a><header><h1>{_text(page.title)}</h1>'
        f'<dl class="facts">{facts}</dl>{scale}</header>\n{_contents(page.pictures)}\n'
        f"<main>{body}</main></body></html>\n"
    )


def _contents(pictures: Sequence[Panel]) -> str:
    return f'<nav aria-labelledby="contents"><b id="contents">Contents</b>{_entries(pictures, "p", 2)}</nav>'


def _entries(pictures: Sequence[Panel], prefix: str, levels: int) -> str:
    """Links to pictures and to what groups hold; single heat texts would drown all others."""
    items = []
    for i, picture in enumerate(pictures, 1):
        if isinstance(picture, HeatText):
            continue
        parts = picture.pictures if isinstance(picture, Group) and levels > 1 else ()
        below = _entries(parts, f"{prefix}{i}-", levels - 1)
        items.append(f'<li><a href="#{prefix}{i}">{_text(picture.title)}</a>{below}</li>')
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _picture(picture: Panel, level: int, place: str) -> str:
    heading = f'<h{min(level, 6)} id="{place}">{_text(picture.title)}</h{min(level, 6)}>'
    if isinstance(picture, Group):
        inner = [_picture(part, level + 1, f"{place}-{i}") for i, part in enumerate(picture.pictures, 1)]
        shown = len(inner) if picture.shown is None else picture.shown
        return f"<section>{heading}{_soft(picture.note)}{_folded(inner[:shown], inner[shown:], 'more')}</section>\n"
    return f"<section>{heading}{''.join(_body(picture))}</section>\n"


def _body(picture: Note | HeatText | Lines | Bars | TokenTable | SideBySide) -> Iterator[str]:
    match picture:
        case Note(verbatim=True):
            yield f"<pre>{_text(picture.text)}</pre>"
        case Note():
            yield from (f"<p>{_text(line)}</p>" for line in picture.text.split("\n"))
        case HeatText():
            yield _heat(picture)
        case Lines():
            yield _soft(picture.note) + _lines(picture)
        case Bars():
            yield _soft(picture.note) + _bars(picture)
        case TokenTable():
            yield _soft(picture.note) + _token_table(picture)
        case SideBySide():
            rows = [_side_by_side(picture, row) for row in picture.rows]
            yield _soft(picture.note) + _folded(rows[: picture.shown], rows[picture.shown :], "more prompts")


def _heat(heat: HeatText) -> str:
    strongest = heat.strongest(_STRONGEST)
    spans = "".join(_span(heat, i, i in strongest) for i in range(len(heat.tokens)))
    named = " ".join(
        f"<li><code>{_text(shown_token(heat.tokens[i]))}</code> {_number(heat.values[i])}</li>" for i in strongest
    )
    label = f"Strongest tokens, {_text(heat.unit or 'value')}"
    told = f'<ul class="soft named" aria-label="{label}">{named}</ul>' if named else ""
    return f'{_soft(heat.note)}<p class="heat" dir="auto">{spans}</p>{told}'


def _span(heat: HeatText, i: int, strong: bool) -> str:
    token = _text(heat.tokens[i]).replace("\n", f"{NEWLINE}\n")
    value, shade = heat.values[i], heat.shade(i)
    if value is None:
        return f'<span class="o" title="left out">{token}</span>'
    classes = " ".join(name for name, holds in (("n", shade < 0), ("s", strong)) if holds)
    named = f' class="{classes}"' if classes else ""
    opacity = abs(shade) * _DEEPEST
    depth = f"{opacity:.2f}" if opacity >= _FAINTEST else "0"
    return f'<span{named} style="--a:{depth}" title="{_number(value)}">{token}</span>'


def _lines(lines: Lines) -> str:
    keys = "".join(
        f'<li><svg viewBox="0 0 40 12" aria-hidden="true"><line class="l" x1="0" x2="40" y1="6" y2="6" '
        f'style="stroke:var(--c{i % COLOURS})" stroke-dasharray="{DASHES[i % len(DASHES)]}"/>{marker(i, 20, 6)}</svg>'
        f"{_text(series.name)}</li>"
        for i, series in enumerate(lines.series)
    )
    head = "".join(f'<th scope="col" class="number">{_text(series.name)}</th>' for series in lines.series)
    rows = "".join(
        f'<tr><th scope="row" class="rank">{_text(x)}</th>'
        + "".join(f'<td class="number">{_number(series.values[i])}</td>' for series in lines.series)
        + "</tr>"
        for i, x in enumerate(lines.x)
    )
    scale = ", logarithmic" if lines.log else ""
    table = (
        f'<table><thead><tr><th scope="col">{_text(lines.x_label)}</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )
    return (
        f'<p class="soft">{_text(lines.y_label)}{scale}</p>{line_chart(lines)}<ul class="key">{keys}</ul>'
        f"<details><summary>Values</summary>{_box(table, f'{lines.title}, values')}</details>"
    )


def _bars(bars: Bars) -> str:
    largest = max((bar.value for bar in bars.bars), default=0.0) or 1.0
    rows = [
        f'<tr><th scope="row">{_token(bar.label)}</th><td class="bar">'
        f'<span class="fill" style="width:{bar.value / largest:.1%}"></span></td>'
        f'<td class="number">{f"{bar.value:.1%}" if bars.percent else f"{bar.value:.3g}"}</td></tr>'
        for bar in bars.bars
    ]

    def table(part: Sequence[str]) -> str:
        return _box(f'<table class="bars"><tbody>{"".join(part)}</tbody></table>', bars.title)

    return f'<p class="soft">{_text(bars.value_label)}</p>' + _folded_parts(rows, bars.shown, table, "more")


def _token_table(table: TokenTable) -> str:
    head = "".join(
        f'<th scope="col">{_text(column.name)}{f"<small>{_text(column.note)}</small>" if column.note else ""}</th>'
        for column in table.columns
    )
    ranks = max((len(column.tokens) for column in table.columns), default=0)
    rows = [
        f'<tr><th scope="row" class="rank number">{rank + 1}</th>'
        + "".join(_ranked(column.tokens[rank : rank + 1]) for column in table.columns)
        + "</tr>"
        for rank in range(ranks)
    ]

    def part(some: Sequence[str]) -> str:
        inner = f'<thead><tr><th scope="col" class="rank">rank</th>{head}</tr></thead><tbody>{"".join(some)}</tbody>'
        return _box(f"<table>{inner}</table>", table.title)

    mark = f'<p class="soft">Bold and underlined: {_text(table.mark)}.</p>' if table.mark else ""
    label = f'<p class="soft">Beside each token: {_text(table.value_label)}.</p>' if table.value_label else ""
    return label + mark + _folded_parts(rows, table.shown, part, "more ranks")


def _ranked(tokens: Sequence[RankedToken]) -> str:
    """The cell of a rank; ``tokens`` is empty where a column is shorter than others."""
    cells = []
    for ranked in tokens:
        code = _token(ranked.token)
        value = "" if ranked.value is None else f"<small>{ranked.value:.3g}</small>"
        cells.append(f"{f'<b>{code}</b>' if ranked.marked else code}{value}")
    return f"<td>{''.join(cells)}</td>"


def _side_by_side(picture: SideBySide, row: Row) -> str:
    cards = "".join(
        f"<div><dt>{_text(name)}</dt>"
        + "".join(f'<dd dir="auto">{_text(text.strip()) or "<i>(empty)</i>"}</dd>' for text in cell)
        + "</div>"
        for name, cell in zip(picture.columns, row.cells, strict=True)
    )
    return f'<p class="prompt" dir="auto">{_text(row.label)}</p><dl class="cards">{cards}</dl>'


def _folded(shown: Sequence[str], more: Sequence[str], name: str) -> str:
    rest = f"<details><summary>{len(more)} {name}</summary>{''.join(more)}</details>" if more else ""
    return "".join(shown) + rest


def _folded_parts(rows: Sequence[str], shown: int, part: Callable[[Sequence[str]], str], name: str) -> str:
    """A table of the first rows and, folded away, one of the others; no table can hold a fold between its rows."""
    if not rows:
        return "<p>There is nothing to show.</p>"
    more = rows[shown:]
    return part(rows[:shown]) + (
        f"<details><summary>{len(more)} {name}</summary>{part(more)}</details>" if more else ""
    )


def _box(inner: str, name: str) -> str:
    """What may be wider than the page scrolls by itself, with the keyboard too."""
    return f'<div class="box" role="region" tabindex="0" aria-label="{_text(name)}">{inner}</div>'


def _token(token: str) -> str:
    """A token of a table, which the page may cut; all of it is in the tooltip."""
    shown = _text(shown_token(token))
    return f'<code title="{shown}">{shown}</code>'


def _soft(note: str) -> str:
    return f'<p class="soft">{_text(note)}</p>' if note else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _text(text: str) -> str:
    return escape(printable(text))
