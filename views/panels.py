"""The vocabulary of panels: what a person looks at for one artifact, as plain data.

Nothing here draws. All classes hold strings, numbers and tuples only, so that ``dataclasses.asdict`` gives JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Bar",
    "Bars",
    "Group",
    "HeatText",
    "Lines",
    "Note",
    "Panel",
    "Picture",
    "RankedToken",
    "Row",
    "Series",
    "SideBySide",
    "TokenColumn",
    "TokenTable",
]


@dataclass(frozen=True)
class Note:
    """Words."""

    title: str
    text: str
    """Paragraphs, one a line."""
    verbatim: bool = False
    """Whether line breaks and spaces are part of it."""


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
        _require_finite(self.title, self.values)

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
class Series:
    """One line of a chart."""

    name: str
    values: tuple[float | None, ...]
    """One a place on the horizontal axis; None for a gap."""


@dataclass(frozen=True)
class Lines:
    """Lines over the same places.

    Raises:
        ValueError: For a series of another length than ``x``, a value that is no finite number, or one that a
            logarithmic axis cannot show.
    """

    title: str
    x_label: str
    y_label: str
    x: tuple[str, ...]
    series: tuple[Series, ...]
    log: bool = False
    """Whether the vertical axis is logarithmic."""
    note: str = ""

    def __post_init__(self) -> None:
        for series in self.series:
            if len(series.values) != len(self.x):
                raise ValueError(
                    f"series {series.name!r} of {self.title!r} has {len(series.values)} values for {len(self.x)} places"
                )
            _require_finite(f"{self.title}, {series.name}", series.values)
            if self.log and any(value is not None and value <= 0 for value in series.values):
                raise ValueError(
                    f"series {series.name!r} of {self.title!r} has a value of 0 or below, which a logarithmic axis "
                    "cannot show; set log=False"
                )


@dataclass(frozen=True)
class Bar:
    """One bar."""

    label: str
    value: float


@dataclass(frozen=True)
class Bars:
    """Labelled values from 0 on, in the order in which they are drawn.

    Raises:
        ValueError: For a value below 0 or that is no finite number.
    """

    title: str
    value_label: str
    bars: tuple[Bar, ...]
    percent: bool = False
    """Whether 0.5 is written as 50%."""
    shown: int = 30
    """Bars that are not folded away."""
    note: str = ""

    def __post_init__(self) -> None:
        _require_finite(self.title, (bar.value for bar in self.bars))
        if any(bar.value < 0 for bar in self.bars):
            raise ValueError(f"bars {self.title!r} have a value below 0; bars begin at 0")


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


@dataclass(frozen=True)
class Group:
    """Panels under one heading."""

    title: str
    pictures: tuple[Panel, ...]
    note: str = ""
    shown: int | None = None
    """Panels that are not folded away; None for all."""


Panel: TypeAlias = Note | HeatText | Lines | Bars | TokenTable | SideBySide | Group
Picture = Panel


def _require_finite(title: str, values: Iterable[float | None]) -> None:
    for value in values:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{title!r} has the value {value}; give finite numbers, or None where there is none")
