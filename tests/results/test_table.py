"""What is left out, as a table of a terminal."""

from __future__ import annotations

import io

from diffbench.results.schema import LeftOut
from diffbench.results.table import left_out_table
from rich.console import Console


def test_left_out_table_keeps_brackets_in_reasons() -> None:
    console = Console(width=100, file=io.StringIO())
    console.print(left_out_table([LeftOut("logs/a.eval", None, "unreadable [red]")]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "unreadable [red]" in text
    assert "(whole log)" in text
