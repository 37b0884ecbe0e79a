"""Tables for a terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .layout import column_widths, parts_of
from .panels import Table
from .text import printable_line

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["plain_table", "terminal_tables"]

_WIDTH = 80
_WIDEST_NAME = 24
_WIDEST_OF_MANY = 18
"""Characters of a name where a row has three of them or more."""


def plain_table(title: str, padding: int = 1) -> RichTable:
    """An empty table of the style that all tables have."""
    from rich import box
    from rich.table import Table as RichTable

    return RichTable(
        title=title, box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, collapse_padding=True
    )


def terminal_tables(table: Table, width: int = _WIDTH) -> list[RichTable]:
    """A table for a terminal of ``width`` columns, cut into several where it is wider; each part has the names."""
    from rich.text import Text

    table = replace(
        table,
        header=tuple(map(printable_line, table.header)),
        rows=tuple(tuple(map(printable_line, row)) for row in table.rows),
    )
    widest = _WIDEST_NAME if table.names < 3 else _WIDEST_OF_MANY
    gap = 2 if sum(column_widths(table, widest, gap=2)) <= width else 1
    widths = column_widths(table, widest, gap)
    made = []
    for columns in parts_of(widths, table.names, width):
        part = plain_table(table.title, padding=gap - 1)
        for i in columns:
            part.add_column(
                Text(table.header[i]),
                justify="left" if i < table.names else "right",
                overflow="fold",
                width=min(widths[i] - gap, width),
            )
        for row in table.rows:
            part.add_row(*(Text(row[i]) for i in columns))
        made.append(part)
    return made
