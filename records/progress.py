"""The progress protocol: who works through many items lets the caller show how far it got."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

__all__ = ["Track", "untracked"]

T = TypeVar("T")


class Track(Protocol):
    """Wraps items that are worked through one by one."""

    def __call__(self, items: Sequence[T], label: str) -> Iterable[T]:
        """Yield ``items`` in order, showing under ``label`` how far they got."""
        ...


def untracked(items: Sequence[T], label: str) -> Iterable[T]:  # noqa: ARG001 - the protocol's argument
    """Show nothing."""
    return items
