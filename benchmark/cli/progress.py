"""Progress displays of the command line: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import track as rich_track

from ...records.progress import Countable

__all__ = ["console", "progress", "quiet_progress"]

T = TypeVar("T")

console = Console()
_EVERY_SECONDS = 10.0


def progress(items: Countable[T], label: str) -> Iterator[T]:
    """Yield ``items``, showing how far they got."""
    if console.is_terminal:
        yield from rich_track(items, label, len(items), console=console)
        return
    shown = started = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - shown >= _EVERY_SECONDS:
            shown = time.monotonic()
            console.print(f"{label}: {done} of {len(items)} ({shown - started:.0f} s)", highlight=False)
        yield item
    console.print(f"{label}: {len(items)} of {len(items)} ({time.monotonic() - started:.0f} s)", highlight=False)


def quiet_progress(items: Countable[T], label: str) -> Iterator[T]:
    """Yield ``items``, with a bar on standard error where that is a terminal."""
    errors = Console(stderr=True)
    if not errors.is_terminal:
        yield from items
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=errors, transient=True) as bar:
        yield from bar.track(items, len(items) or None, description=label)
