"""What is left out as a table of a terminal, and what JSON holds in place of NaN. Nothing here prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..views.terminal import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from .frame import LeftOut

__all__ = ["left_out_table", "null_for_nan"]


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


def null_for_nan(value: Any) -> Any:
    """The same with None for NaN, in dictionaries, lists and tuples too."""
    if isinstance(value, dict):
        return {key: null_for_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [null_for_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
