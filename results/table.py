"""What is left out, as a table of a terminal. Nothing here prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..views.terminal import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from .schema import LeftOut

__all__ = ["left_out_table"]


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
