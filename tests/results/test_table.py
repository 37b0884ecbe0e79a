"""Tables of a terminal and of Markdown."""

from __future__ import annotations

import io

from diffbench.results.frame import LeftOut
from diffbench.results.table import left_out_table, markdown_table
from rich.console import Console


def test_left_out_table_keeps_brackets_in_reasons() -> None:
    console = Console(width=100, file=io.StringIO())
    console.print(left_out_table([LeftOut("logs/a.eval", None, "unreadable [red]")]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "unreadable [red]" in text
    assert "(whole log)" in text


def test_markdown_escapes_cells() -> None:
    lines = markdown_table(["a", "b"], [["single|bar", "x *"]], left=1).splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", r"| single\|bar | x \* |"]
