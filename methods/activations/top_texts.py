"""What is kept of a corpus that streams by, in memory that does not grow with it: top texts, means, quantiles."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from ..reading import TextKind
from .encoding import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["KindMeans", "TopTexts", "quantile", "shown_tokens", "significant"]

T = TypeVar("T")


def corpus_order(item: Encoded) -> tuple[int, ...]:
    """Place of an item in its corpus, a text before the chat of the same number."""
    return item.index, item.kind == "chat"


def shown_tokens(item: Encoded, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The tokens of an item from its first word on, decoded one by one."""
    return tuple(str(tokenizer.decode([token])) for token in item.ids[item.content_start :])


class TopTexts(Generic[T]):
    """The ``size`` items of largest score; of equal scores that of the smaller place."""

    def __init__(self, size: int, place: Callable[[Encoded], tuple[int, ...]] = corpus_order) -> None:
        self.size = size
        self._place = place
        self._heap: list[tuple[float, tuple[int, ...], T]] = []

    def offer(self, score: float, item: Encoded, row: Callable[[], T]) -> None:
        """Keep ``row()`` when the item's score is among the largest so far."""
        order = tuple(-part for part in self._place(item))
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, (score, order, row()))
        elif (score, order) > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (score, order, row()))

    def ranked(self) -> list[T]:
        """What was kept, largest score first."""
        return [row for *_, row in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


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
