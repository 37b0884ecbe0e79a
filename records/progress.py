"""The progress protocol: who works through many items lets the caller show how far it got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["Announced", "Countable", "Track", "untracked"]

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
