"""Tables of a terminal: as wide as it is, cut into parts where they are wider, and nothing in them steers it."""

from __future__ import annotations

import io

import pytest
from diffbench.views.layout import column_widths, parts_of
from diffbench.views.panels import Table
from diffbench.views.terminal import terminal_tables
from rich.console import Console


def printed(table: Table, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    for part in terminal_tables(table, width):
        console.print(part)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("names", [1, 2])
@pytest.mark.parametrize("width", [40, 80])
def test_each_part_fits_and_has_the_names(names: int, width: int) -> None:
    header = ("method", "agent", *(f"column {i}" for i in range(12)))
    rows = tuple((f"m{i}", "reader", *(f"{i}.{j:04}" for j in range(12))) for i in range(3))
    lines = printed(Table("Title", header, rows, names), width)
    assert max(map(len, lines)) <= width
    parts = sum("Title" in line for line in lines)
    assert parts > 1
    assert sum(line.split()[:1] == ["m1"] for line in lines) == parts
    assert all(sum(cell in line for line in lines) == 1 for row in rows for cell in row[2:])


def test_columns_by_hand() -> None:
    table = Table("t", ("name", "a very long header", "n"), (("a" * 30, "1.25", "12345"),))
    # The longest word of a header, "header", is longer than its cell; names end at the widest one.
    widths = column_widths(table, widest=24, gap=2)
    assert widths == [26, 8, 7]
    assert list(parts_of(widths, 1, 80)) == [[0, 1, 2]]
    assert list(parts_of(widths, 1, 34)) == [[0, 1], [0, 2]]
    # A column that has no room beside the names stands there all the same.
    assert list(parts_of(widths, 1, 10)) == [[0, 1], [0, 2]]


def test_names_that_steer_a_terminal_are_escaped() -> None:
    lines = printed(Table("t", ("a", "b"), (("[bold]x\x1b[31m", "1\n2"),)))
    assert any("[bold]x\\x1b[31m" in line and "1\\n2" in line for line in lines)
