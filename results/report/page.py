"""The page: ranking first, then each drawing above the table of its numbers, notes and diagnostics last."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from importlib.resources import files

from ..leaderboard.ranking import Leaderboard
from ..leaderboard.sections import Section, sections
from ..leaderboard.text import run_text
from . import charts
from .svg import text_of

__all__ = ["report_html"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Escaping keeps scripts of hostile names out; this keeps a browser from running one that came through."""
_CHARTS: dict[str, Callable[[Leaderboard], str]] = {
    "ranking": charts.forest,
    "shares": charts.shares,
    "dilution": charts.dilution,
    "judges": charts.severities,
    "calibration": charts.calibration,
}
_BELOW = {"ranking"}
"""Sections whose drawing stands below their table."""
_FOLDED = {"stability", "simple", "variance"}
_DEEPEST = 0.75
"""Opacity of the full colour: numbers on it stay legible in both colour schemes."""


def report_html(leaderboard: Leaderboard, title: str = "diffbench leaderboard") -> str:
    """The file's text."""
    tables = sections(leaderboard)
    body = "".join(_section(leaderboard, section) for section in tables)
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text_of(title)}</title>\n<style>\n{style}</style></head>\n"
        f'<body><a class="skip" href="#ranking">To the leaderboard</a><header><h1>{text_of(title)}</h1>'
        f"{_facts(leaderboard)}</header>\n{_contents(leaderboard, tables)}\n"
        f"<main>{body}{_notes(leaderboard)}{_left_out(leaderboard)}</main></body></html>\n"
    )


def _facts(leaderboard: Leaderboard) -> str:
    agents = ", ".join(dict.fromkeys(f"{row.agent} with {row.agent_model}" for row in leaderboard.simple.rows))
    facts = [
        ("Methods", str(len(leaderboard.rows))),
        ("Grades", str(sum(row.grades for row in leaderboard.rows))),
        ("Investigators", agents),
        ("Ranking", _ranking(leaderboard)),
    ]
    items = "".join(f"<div><dt>{name}:</dt> <dd>{text_of(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{items}</dl>'


def _ranking(leaderboard: Leaderboard) -> str:
    if leaderboard.ranked and leaderboard.model:
        return f"{leaderboard.model.name}, diagnostics passed"
    return "refused, see the notes" if leaderboard.model else "none: simple means, see the notes"


def _contents(leaderboard: Leaderboard, tables: Sequence[Section]) -> str:
    entries = [(section.key, section.title) for section in tables] + [("notes", "Notes and diagnostics")]
    entries += [("left-out", "Left out")] if leaderboard.left_out else []
    items = "".join(f'<li><a href="#{key}">{text_of(title)}</a></li>' for key, title in entries)
    return f'<nav aria-labelledby="contents"><b id="contents">Contents</b><ul>{items}</ul></nav>'


def _section(leaderboard: Leaderboard, section: Section) -> str:
    drawn = _CHARTS[section.key](leaderboard) if section.key in _CHARTS else ""
    figure = f"<figure>{drawn}</figure>" if drawn else ""
    table = _table(section)
    if section.key in _FOLDED:
        rows = "1 row" if len(section.rows) == 1 else f"{len(section.rows)} rows"
        table = f"<details><summary>{rows}</summary>{table}</details>"
    parts = (table, figure) if section.key in _BELOW else (figure, table)
    return (
        f'<section><h2 id="{section.key}">{text_of(section.title)}</h2><p class="soft">{text_of(section.note)}</p>'
        f"{''.join(parts)}</section>\n"
    )


def _table(section: Section) -> str:
    head = "".join(
        f'<th scope="col"{NAME if i < section.left else NUMBER}>{_name(name)}</th>'
        for i, name in enumerate(section.header)
    )
    shade = {"families": _grade_shade, "pairs": _probability_shade}.get(section.key)
    rows = "".join(_row(section, row, shade) for row in section.rows)
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="box" role="region" tabindex="0" aria-label="{text_of(section.title)}, table">{inner}</div>'


NAME, NUMBER = ' class="name"', ' class="number"'


def _name(cell: str) -> str:
    """A cell whose long names may break after their separators."""
    return re.sub(r"(?<=\w)([_/+])(?=\w)", r"\1<wbr>", text_of(cell))


def _row(section: Section, row: Sequence[str], shade: Callable[[str], str] | None) -> str:
    cells = [f'<th scope="row">{_name(row[0])}</th>']
    for i, cell in enumerate(row[1:], 1):
        style = shade(cell) if shade else ""
        kind, shown = (NAME, _name(cell)) if i < section.left else (NUMBER, text_of(cell))
        cells.append(f"<td{kind}{style}>{shown}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _grade_shade(cell: str) -> str:
    """Deeper for a higher grade, 1..5."""
    return _shade("--hot", (_value(cell) - 1) / 4)


def _probability_shade(cell: str) -> str:
    """One colour above a half, another below."""
    value = 2 * _value(cell) - 1
    return _shade("--hot" if value > 0 else "--cold", abs(value))


def _shade(colour: str, depth: float) -> str:
    if math.isnan(depth):
        return ""
    return f' style="background:rgb(var({colour}) / {min(max(depth, 0.0), 1.0) * _DEEPEST:.2f})"'


def _value(cell: str) -> float:
    try:
        return float(cell.rstrip("?"))
    except ValueError:
        return math.nan


def _notes(leaderboard: Leaderboard) -> str:
    run = f"<p>{text_of(run_text(leaderboard))}</p>" if leaderboard.model else ""
    items = "".join(f"<li>{text_of(note)}</li>" for note in leaderboard.notes)
    return f'<section><h2 id="notes">Notes and diagnostics</h2>{run}<ul>{items}</ul></section>\n'


def _left_out(leaderboard: Leaderboard) -> str:
    if not leaderboard.left_out:
        return ""
    rows = tuple((item.log, item.sample or "(whole log)", item.reason) for item in leaderboard.left_out)
    section = Section("left-out", "Left out", "", ("log", "sample", "reason"), rows, 3)
    return (
        f'<section><h2 id="left-out">Left out</h2><details><summary>Read and not, or not wholly, in the '
        f"grades: {len(rows)}</summary>{_table(section)}</details></section>\n"
    )
