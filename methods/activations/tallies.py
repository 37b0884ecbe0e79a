"""Statistics of values that a corpus gives while it streams by, in memory that does not grow with it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..reading import TextKind

__all__ = ["KindMeans", "quantile", "significant"]


class KindMeans:
    """The mean over texts and that over chats, each item counted once however long it is."""

    def __init__(self) -> None:
        self._sums: dict[TextKind, float] = {"text": 0.0, "chat": 0.0}
        self._items: dict[TextKind, int] = {"text": 0, "chat": 0}

    def add(self, kind: TextKind, mean: float) -> None:
        """Count an item with the mean of its values."""
        self._sums[kind] += mean
        self._items[kind] += 1

    def __getitem__(self, kind: TextKind) -> float:
        """The mean over items of a kind; 0 where there were none."""
        return self._sums[kind] / self._items[kind] if self._items[kind] else 0.0


def quantile(counts: Mapping[float, int], share: float) -> float:
    """Quantile of values given with how often each occurs, linear between neighbours as ``numpy.quantile``."""
    place = share * (sum(counts.values()) - 1)
    lower, upper = math.floor(place), math.ceil(place)
    below = low = high = 0.0
    for value in sorted(counts):
        if below <= lower:
            low = value
        if below <= upper:
            high = value
        below += counts[value]
    return low + (high - low) * (place - lower)


def significant(value: float, digits: int = 3) -> float:
    """``value`` to so many significant digits, for storing and for counting values in bounded memory."""
    return float(f"{value:.{digits - 1}e}")
