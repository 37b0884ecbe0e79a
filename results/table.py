"""The leaderboard as a terminal table, Markdown and JSON. Nothing here prints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from .frame import LeftOut
    from .leaderboard import Leaderboard, LeaderboardRow

__all__ = [
    "escape_markdown",
    "left_out_table",
    "markdown_table",
    "null_for_nan",
    "organism_markdown",
    "organism_table",
    "plain_table",
    "to_json",
    "to_markdown",
    "to_table",
]

_COLUMNS_A_TABLE = 4
_MISSING = "–"
_TERMINAL_HEADERS = {
    "grade, narrow": "grade\nnarrow",
    "grade, control": "grade\ncontrol",
    "false alarm": "false\nalarm",
    "fact recall": "fact\nrecall",
    "interactions": "asked",
    "seconds": "sec.",
    "errors": "err.",
}


def to_table(board: Leaderboard) -> Group:
    """The leaderboard for a terminal of at least 80 columns, with its footnotes."""
    from rich.console import Group
    from rich.text import Text

    table = plain_table("Leaderboard", padding=0)
    table.add_column("method", overflow="fold", ratio=1, min_width=11)
    columns = _columns(board)
    del columns["organisms/cases/grades"]
    for header in columns:
        table.add_column(_TERMINAL_HEADERS.get(header, header.replace(" ", "\n")), justify="right", no_wrap=True)
    for row in board.rows:
        method, *others = _label(row, board.rows)
        name = Text.assemble((method, "bold"), *((f"\n{other}", "dim") for other in others))
        table.add_row(name, *(cell(row) for cell in columns.values()))
    return Group(table, *(Text(note, style="dim") for note in (*_shared(board), *board.notes)))


def organism_table(board: Leaderboard) -> Group:
    """Mean grades, organism x method (a column for each row of the leaderboard), 100 columns wide at most."""
    from rich.console import Group
    from rich.text import Text

    tables = []
    for start in range(0, len(board.rows), _COLUMNS_A_TABLE):
        rows = board.rows[start : start + _COLUMNS_A_TABLE]
        table = plain_table("Mean grade by organism")
        table.add_column("organism", overflow="fold", min_width=24)
        for row in rows:
            header = Text("\n".join(_label(row, board.rows)))
            table.add_column(header, justify="right", overflow="fold", max_width=14)
        for cells in _organism_cells(board, rows):
            table.add_row(*map(Text, cells))
        tables.append(table)
    return Group(*tables, Text("(control): nothing narrow was finetuned.", style="dim"))


def left_out_table(left_out: Sequence[LeftOut]) -> Table:
    """What is not in the frame, and why."""
    from rich.text import Text

    table = plain_table("Left out")
    table.add_column("log", overflow="fold", ratio=2)
    table.add_column("sample", overflow="fold", ratio=1)
    table.add_column("reason", overflow="fold", ratio=2)
    for item in left_out:
        table.add_row(Text(item.log), Text(item.sample or "(whole log)"), Text(item.reason))
    return table


def to_markdown(board: Leaderboard) -> str:
    """The leaderboard as a Markdown table, its footnotes below."""
    columns = _columns(board)
    lines = [
        [_method(row), row.agent, row.agent_model, *(cell(row) for cell in columns.values())] for row in board.rows
    ]
    table = markdown_table(["method", "agent", "model", *columns], lines, left=3)
    return table + "\n" + "".join(f"\n{escape_markdown(note)}\n" for note in board.notes)


def organism_markdown(board: Leaderboard) -> str:
    """Mean grades, organism x method, as a Markdown table."""
    header = ["organism", *(", ".join(_label(row, board.rows)) for row in board.rows)]
    return markdown_table(header, _organism_cells(board, board.rows), left=1) + "\n"


def to_json(board: Leaderboard) -> str:
    """The leaderboard with all its numbers, unrounded; what cannot be computed is null."""
    rows = [asdict(row) | {"is_baseline": row.is_baseline} for row in board.rows]
    return json.dumps(null_for_nan(asdict(board) | {"rows": rows}), indent=2, allow_nan=False, ensure_ascii=False)


def _columns(board: Leaderboard) -> dict[str, Callable[[LeaderboardRow], str]]:
    return {
        "grade": lambda row: _number(row.grade, 2),
        f"{board.level:.0%} interval": lambda row: (
            _MISSING if math.isnan(row.low) else f"{_number(row.low, 2)}–{_number(row.high, 2)}"
        ),
        "grade, narrow": lambda row: _number(row.grade_narrow, 2),
        "grade, control": lambda row: _number(row.grade_control, 2),
        "false alarm": lambda row: _number(row.false_alarm_rate, 2),
        "fact recall": lambda row: _number(row.fact_recall, 2),
        "organisms/cases/grades": lambda row: f"{row.organisms}/{row.cases}/{row.grades}",
        "interactions": lambda row: _number(row.interactions_used, 1),
        "seconds": lambda row: _number(row.seconds, 0 if row.seconds >= 100 else 1),
        "errors": lambda row: str(row.errors),
    }


def _organism_cells(board: Leaderboard, rows: Sequence[LeaderboardRow]) -> list[list[str]]:
    controls = {item.organism: item.control for row in board.rows for item in row.organism_grades}
    grades = [{item.organism: item.grade for item in row.organism_grades} for row in rows]
    names = sorted(controls, key=lambda name: (controls[name], name))
    return [
        [
            f"{name} (control)" if controls[name] else name,
            *(_number(column.get(name, math.nan), 2) for column in grades),
        ]
        for name in names
    ]


def _label(row: LeaderboardRow, rows: Sequence[LeaderboardRow]) -> list[str]:
    """The method, and agent and model as far as the rows differ in them."""
    label = [_method(row)]
    if len({other.agent for other in rows}) > 1:
        label.append(row.agent)
    if len({other.agent_model for other in rows}) > 1:
        label.append(row.agent_model)
    return label


def _shared(board: Leaderboard) -> list[str]:
    """What is the same in all rows and therefore in none of them."""
    agents, models = {row.agent for row in board.rows}, {row.agent_model for row in board.rows}
    shared = [f"agent {next(iter(agents))}"] if len(agents) == 1 else []
    shared += [f"model {next(iter(models))}"] if len(models) == 1 else []
    return [f"All rows: {', '.join(shared)}."] if shared else []


def _method(row: LeaderboardRow) -> str:
    return f"{row.method} *" if row.is_baseline else row.method


def _number(value: float, digits: int) -> str:
    return _MISSING if math.isnan(value) else f"{value:.{digits}f}"


def plain_table(title: str, padding: int = 1) -> Table:
    """An empty table of the style that all tables have."""
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, collapse_padding=True)


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """A Markdown table, its first ``left`` columns aligned to the left."""
    rule = ["---" if column < left else "---:" for column in range(len(header))]
    cells = [list(map(escape_markdown, header)), rule, *([escape_markdown(cell) for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line: names come from logs."""
    return re.sub(r"([\\|*`\[])", r"\\\1", text).replace("<", "&lt;").replace("\n", " ")


def null_for_nan(value: Any) -> Any:
    """The same with None for NaN, in dictionaries, lists and tuples too."""
    if isinstance(value, dict):
        return {key: null_for_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [null_for_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
