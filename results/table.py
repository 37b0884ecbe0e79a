"""Tables of a terminal and of Markdown. Nothing here prints."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from .frame import LeftOut

__all__ = ["escape_markdown", "left_out_table", "markdown_table", "null_for_nan", "plain_table"]


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
