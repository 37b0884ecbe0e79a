"""Heat texts on one scale, which the pictures of several methods share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...views.panels import Group, HeatText

__all__ = ["HeatRow", "along", "heat_group"]

MOST_TEXTS = 30
"""Texts of a group; what is kept beyond them is left to the readers."""
MOST_TOKENS = 400
"""Tokens of a text; a longer one is cut around its strongest."""
SHOWN = 6
_FULL_SHARE = 0.99


@dataclass(frozen=True)
class HeatRow:
    """A text and the value of each of its tokens."""

    title: str
    tokens: Sequence[str]
    values: Sequence[float | None]
    """None for tokens that were left out."""


def heat_group(title: str, rows: Sequence[HeatRow], unit: str, signed: bool = False, note: str = "") -> Group:
    """The first of some texts, coloured alike: the colour is full from the 99th percentile of their |values| on.

    On a text's own scale its strongest token would look as strong as that of any other text; up to the group's maximum
    a single outlier would leave all others pale.
    """
    chosen = rows[:MOST_TEXTS]
    sizes = sorted(abs(value) for row in chosen for value in row.values if value is not None)
    full = next((size for size in sizes[math.ceil(_FULL_SHARE * len(sizes)) - 1 :] if size > 0), 0.0)
    told = [note] if note else []
    if full > 0:
        told.append(f"The colour is full from {full:.3g} {unit} on.")
    if len(rows) > len(chosen):
        told.append(f"{len(chosen)} of the {len(rows)} texts that were kept.")
    return Group(title, tuple(_heat_text(row, unit, signed, full) for row in chosen), " ".join(told), SHOWN)


def along(length: int, positions: Sequence[int], values: Sequence[float]) -> list[float | None]:
    """A value for each of ``length`` tokens, None for those that ``positions`` does not name."""
    known = dict(zip(positions, values, strict=True))
    return [known.get(i) for i in range(length)]


def _heat_text(row: HeatRow, unit: str, signed: bool, full: float) -> HeatText:
    tokens, values = row.tokens, row.values
    note = ""
    if len(tokens) > MOST_TOKENS:
        centre = max(range(len(values)), key=lambda i: abs(values[i] or 0.0))
        first = max(0, min(centre - MOST_TOKENS // 2, len(tokens) - MOST_TOKENS))
        tokens, values = tokens[first : first + MOST_TOKENS], values[first : first + MOST_TOKENS]
        note = f"Tokens {first + 1} to {first + MOST_TOKENS} of {len(row.tokens)}."
    return HeatText(row.title, tuple(tokens), tuple(values), unit, signed, full, note)
