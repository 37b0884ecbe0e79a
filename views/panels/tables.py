"""Panels of cells."""

from __future__ import annotations

from dataclasses import dataclass

from .numbers import require_finite

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Rows of written cells, the first one naming its row.

    Raises:
        ValueError: For a row of another length than the header, or shades that do not fit the cells.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    """How many of the first columns hold words; the others hold numbers, which are aligned to the right."""
    note: str = ""
    """What the numbers are."""
    shades: tuple[tuple[float | None, ...], ...] = ()
    """Depth of the colour of each cell, -1 to 1, None for no colour; empty where no cell has one."""
    fold: str = ""
    """The words behind which the table is folded away; empty for one that is open."""

    def __post_init__(self) -> None:
        for row in (*self.rows, *self.shades):
            if len(row) != len(self.header):
                raise ValueError(f"a row of {self.title!r} has {len(row)} cells for {len(self.header)} columns: {row}")
        if self.shades and len(self.shades) != len(self.rows):
            raise ValueError(f"{self.title!r} has {len(self.rows)} rows and shades for {len(self.shades)}")
        for row in self.shades:
            require_finite(self.title, row)
