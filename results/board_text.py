"""The leaderboard on top of the model for a terminal, as Markdown, as JSON and as CSV. Nothing here prints."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .board import Board
from .board_sections import Section, printable, sections
from .table import escape_markdown, left_out_table, markdown_table, null_for_nan, plain_table

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from .leaderboard import Leaderboard

__all__ = ["board_csv", "board_json", "board_markdown", "board_table", "run_text", "simple_csv"]

_WIDTH = 80
_WIDEST_NAME = 24
_WIDEST_HEAD = 11
_NOT_IN_TERMINAL = {"shares", "judge_pairs", "variance", "simple"}
_MORE = (
    "The page (--html FILE) and --format markdown also show the grades given, agreement by pairs of judges, variance "
    "shares and means by agent and model; --simple the means alone."
)


def board_table(board: Board) -> Group:
    """All tables for a terminal of 80 columns; a wide one is cut into several."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Table | Text] = []
    for section in sections(board):
        if section.key not in _NOT_IN_TERMINAL:
            gap = _gap(section)
            parts += [_terminal(section, columns, gap) for columns in _cuts(section, gap)]
            parts += [Text(section.note, style="dim"), Text()]
    parts += [Text(f"Model: {run_text(board)}", style="dim")] if board.model else []
    parts += [Text(printable(note), style="dim") for note in board.notes]
    parts.append(Text(_MORE, style="dim"))
    if board.left_out:
        parts.append(left_out_table(board.left_out))
    return Group(*parts)


def board_markdown(board: Board) -> str:
    """All tables as Markdown, a heading each."""
    parts = []
    for section in sections(board):
        table = markdown_table(section.header, section.rows, left=section.left)
        parts.append(f"## {section.title}\n\n{table}\n\n{escape_markdown(section.note)}")
    notes = [f"Model: {run_text(board)}"] if board.model else []
    listed = "\n".join(f"- {escape_markdown(printable(note))}" for note in [*notes, *board.notes])
    left_out = [f"- {item.log}, {item.sample or 'whole log'}: {item.reason}" for item in board.left_out]
    parts += [f"## Notes\n\n{listed}"] if listed else []
    parts += ["## Left out\n\n" + "\n".join(escape_markdown(printable(line)) for line in left_out)] if left_out else []
    return "\n\n".join(parts)


def board_json(board: Board) -> str:
    """Everything, unrounded; what cannot be computed is null."""
    rows = [asdict(row) | {"is_baseline": row.is_baseline} for row in board.rows]
    data = asdict(board) | {"rows": rows}
    if board.stability:
        data["stability"] |= {"same_best": board.stability.same_best, "same_order": board.stability.same_order}
    return json.dumps(null_for_nan(data), indent=2, allow_nan=False, ensure_ascii=False)


def board_csv(board: Board) -> str:
    """One row a method, unrounded; what cannot be computed is empty."""
    rows = [dict(_flat("", asdict(row) | {"baselines": " ".join(row.baselines)})) for row in board.rows]
    return _csv(_with_missing(rows))


def simple_csv(simple: Leaderboard) -> str:
    """One row for each method, agent and model."""
    rows = [asdict(row) | {"baselines": " ".join(row.baselines)} for row in simple.rows]
    return _csv([{key: value for key, value in row.items() if key != "organism_grades"} for row in rows])


def run_text(board: Board) -> str:
    """The fit and its diagnostics in a sentence."""
    run = board.model
    if run is None:
        return "none"
    return (
        f"{run.name}; {run.grades} grades of {run.runs} findings in {run.cells} cells; {run.draws} draws, "
        f"seed {run.seed}, {run.seconds:.0f} s; R-hat {run.r_hat:.3f}, effective sample size {run.ess_bulk:.0f} (tail "
        f"{run.ess_tail:.0f}), {run.divergences} divergences."
    )


def _gap(section: Section) -> int:
    """Spaces between columns: one where two are too many for one table."""
    sizes = [_column_width(section, column) for column in range(len(section.header))]
    return 2 if sum(sizes) + 2 * len(sizes) <= _WIDTH else 1


def _cuts(section: Section, gap: int) -> Iterator[list[int]]:
    """Columns of each part, so that all parts fit: the names, and as many others as have room."""
    names = list(range(section.left))
    sizes = [_column_width(section, column) + gap for column in range(len(section.header))]
    part, used = [*names], sum(sizes[: section.left])
    for column in range(section.left, len(section.header)):
        if used + sizes[column] > _WIDTH and len(part) > len(names):
            yield part
            part, used = [*names], sum(sizes[: section.left])
        part.append(column)
        used += sizes[column]
    yield part


def _column_width(section: Section, column: int) -> int:
    most = max((len(row[column]) for row in section.rows), default=0)
    head = max(map(len, section.header[column].split()), default=0)
    limit = _name_width(section) if column < section.left else _WIDTH
    return max(1, min(max(most, min(head, _WIDEST_HEAD)), limit))


def _name_width(section: Section) -> int:
    return _WIDEST_NAME if section.left < 3 else 18


def _terminal(section: Section, columns: Sequence[int], gap: int) -> Table:
    from rich.text import Text

    table = plain_table(section.title, padding=gap - 1)
    for column in columns:
        name = column < section.left
        table.add_column(
            Text(section.header[column]),
            justify="left" if name else "right",
            overflow="fold",
            width=_column_width(section, column),
        )
    for row in section.rows:
        table.add_row(*(Text(row[column]) for column in columns))
    return table


def _flat(prefix: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{prefix}_{key}" if prefix else key
        if isinstance(item, dict):
            yield from _flat(name, item)
        else:
            yield name, item


def _with_missing(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A gap or consistency that one row lacks is one empty column where another has several."""
    columns = dict.fromkeys(key for row in rows for key in row)
    parts = {key for key in columns if any(other.startswith(f"{key}_") for other in columns)}
    empty = {key for key in parts if all(row.get(key) is None for row in rows)}
    return [{key: row.get(key) for key in columns if key not in empty} for row in rows]


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
