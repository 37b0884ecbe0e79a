"""Panels of text: notes, texts coloured by token, rankings of tokens, texts side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from .numbers import require_finite

__all__ = ["HeatText", "Note", "RankedToken", "Row", "SideBySide", "TokenColumn", "TokenTable"]


@dataclass(frozen=True)
class Note:
    """Words."""

    title: str
    text: str
    """Paragraphs, one a line."""
    verbatim: bool = False
    """Whether line breaks and spaces are part of it."""
    items: tuple[str, ...] = ()
    """A list below the text."""


@dataclass(frozen=True)
class HeatText:
    """A text whose tokens are coloured by a value.

    Raises:
        ValueError: For another number of values than tokens, or a value that is no finite number.
    """

    title: str
    tokens: tuple[str, ...]
    values: tuple[float | None, ...]
    """One a token; None where it was left out."""
    unit: str = ""
    """What the values are, such as "nats"."""
    signed: bool = False
    """Whether values below 0 have a colour of their own."""
    full: float | None = None
    """The |value| from which on the colour is full; None for the text's own largest."""
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.values):
            raise ValueError(
                f"heat text {self.title!r} has {len(self.tokens)} tokens and {len(self.values)} values; "
                "give one value, or None, a token"
            )
        require_finite(self.title, self.values)

    def shade(self, i: int) -> float:
        """Depth of the colour of token ``i``, -1 to 1: its value / ``full``, cut off at both ends."""
        value = self.values[i] or 0.0
        if value < 0 and not self.signed:
            return 0.0
        full = self.full if self.full is not None else max((abs(v) for v in self.values if v is not None), default=0.0)
        return max(-1.0, min(1.0, value / full)) if full > 0 else 0.0

    def strongest(self, most: int = 5) -> list[int]:
        """Places of the tokens of largest |value|, that one first; those of no colour left out."""
        places = [i for i in range(len(self.tokens)) if self.shade(i) != 0]
        return sorted(places, key=lambda i: -abs(self.values[i] or 0.0))[:most]


@dataclass(frozen=True)
class RankedToken:
    """A token of a ranking."""

    token: str
    value: float | None = None
    marked: bool = False
    """What that means, the table's ``mark`` says."""


@dataclass(frozen=True)
class TokenColumn:
    """One ranking, most important token first."""

    name: str
    tokens: tuple[RankedToken, ...]
    note: str = ""


@dataclass(frozen=True)
class TokenTable:
    """Rankings of tokens beside each other."""

    title: str
    value_label: str
    columns: tuple[TokenColumn, ...]
    mark: str = ""
    """What the marked tokens have in common."""
    shown: int = 15
    """Ranks that are not folded away."""
    note: str = ""

    @property
    def rows(self) -> tuple[tuple[RankedToken | None, ...], ...]:
        """For each rank the token of each column; None where a column has fewer."""
        return tuple(zip_longest(*(column.tokens for column in self.columns)))


@dataclass(frozen=True)
class Row:
    """Texts that belong together."""

    label: str
    cells: tuple[tuple[str, ...], ...]
    """For each column its texts."""


@dataclass(frozen=True)
class SideBySide:
    """Texts to be compared.

    Raises:
        ValueError: For a row with another number of cells than there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    shown: int = 6
    """Rows that are not folded away."""
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"row {row.label!r} of {self.title!r} has {len(row.cells)} cells for {len(self.columns)} columns"
                )
