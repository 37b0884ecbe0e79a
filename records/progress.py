"""The progress protocol: who works through many items lets the caller show how far it got."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["Announced", "Countable", "Track", "ticking", "untracked"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Countable(Protocol[T_co]):
    """Items with their number, such as a list."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[T_co]: ...


@dataclass(frozen=True)
class Announced(Generic[T]):
    """Items that are made one by one, and how many there will be, about."""

    items: Iterable[T]
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


class Track(Protocol):
    """Wraps items that are worked through one by one."""

    def __call__(self, items: Countable[T], label: str) -> Iterable[T]:
        """Yield ``items`` in order, showing under ``label`` how far they got."""
        ...


def untracked(items: Countable[T], label: str) -> Iterable[T]:  # noqa: ARG001 - the protocol's argument
    """Show nothing."""
    return items


@contextmanager
def ticking(track: Track, total: int, label: str) -> Iterator[Callable[[], object]]:
    """The function to call after each of ``total`` steps, where what is done is no loop over items."""
    steps = iter(track(range(total), label))
    next(steps, None)
    yield lambda: next(steps, None)
