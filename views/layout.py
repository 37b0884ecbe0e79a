"""Tables in monospaced type: how wide their columns are, and where one that is too wide is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .panels import Table

__all__ = ["column_widths", "parts_of"]

_WIDEST_HEAD = 11
"""Characters of a header's word that widen its column; longer ones are folded."""


def column_widths(table: Table, widest: int, gap: int) -> list[int]:
    """Characters of each column, with the gap behind it.

    Args:
        table: The table.
        widest: Characters of a name at most; longer ones are folded or cut. Numbers are never cut.
        gap: Spaces behind each column.
    """
    widths = []
    for column, name in enumerate(table.header):
        longest = max((len(row[column]) for row in table.rows), default=0)
        head = min(max(map(len, name.split()), default=0), _WIDEST_HEAD)
        wide = max(longest, head, 1)
        widths.append((min(wide, widest) if column < table.names else wide) + gap)
    return widths


def parts_of(widths: Sequence[int], names: int, room: int) -> Iterator[list[int]]:
    """Columns of each part of a table, so that each fits: the names, and as many others as have room."""
    first = list(range(names))
    part, used = [*first], sum(widths[:names])
    for column in range(names, len(widths)):
        if used + widths[column] > room and len(part) > len(first):
            yield part
            part, used = [*first], sum(widths[:names])
        part.append(column)
        used += widths[column]
    yield part
