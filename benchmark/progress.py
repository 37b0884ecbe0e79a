"""Progress displays of the command line: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

__all__ = ["console", "progress"]

T = TypeVar("T")

console = Console()
_EVERY_SECONDS = 10.0


def progress(items: Sequence[T], label: str) -> Iterator[T]:
    """Yield ``items``, showing how far they got."""
    if console.is_terminal:
        yield from rich_track(items, label, console=console)
        return
    shown = started = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - shown >= _EVERY_SECONDS:
            shown = time.monotonic()
            console.print(f"{label}: {done} of {len(items)} ({shown - started:.0f} s)", highlight=False)
        yield item
    console.print(f"{label}: {len(items)} of {len(items)} ({time.monotonic() - started:.0f} s)", highlight=False)
