"""Artifacts that could not be computed: recorded as text, listed at the end, with their tracebacks in a file."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ..records.errors import MendableError
from .memory import out_of_memory

__all__ = ["FAILURES", "FailedArtifactsError", "Failure", "attempt"]

FAILURES = "failures.txt"
"""File in the user's store to which tracebacks are appended."""

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why an artifact could not be computed.

    It is text: an exception would keep alive all that was in memory when it was raised.
    """

    number: int
    """Of the job."""
    name: str
    """``smol.cake_bake kl``."""
    said: str
    """The message, with the error's type unless a user can mend it."""
    traceback: str = ""
    """Empty for what a user can mend."""

    @property
    def headline(self) -> str:
        """The first line of the message."""
        return self.said.partition("\n")[0]

    def log(self, folder: Path) -> None:
        """Append the traceback to the file in a store's folder."""
        if not self.traceback:
            return
        when = datetime.now(UTC).isoformat(timespec="seconds")
        # Where the disk is full this fails too. The run goes on, and its last message still lists the failure.
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / FAILURES).open("a", encoding="utf-8") as file:
                file.write(f"{when} {self.name}\n{self.traceback}\n")


class FailedArtifactsError(MendableError):
    """Some artifacts of a run could not be computed; the others are stored."""

    def __init__(self, failures: Sequence[Failure], tried: int, folder: Path) -> None:
        self.failures = tuple(failures)
        names: dict[str, list[str]] = {}
        for failure in failures:
            names.setdefault(failure.said, []).append(failure.name)
        rest = "; the others are stored" if tried > len(failures) else ""
        lines = [f"{len(failures)} of {tried} artifacts could not be computed{rest}:"]
        lines += [f"- {', '.join(of)}: {said}" for said, of in names.items()]
        traced = [failure for failure in failures if failure.traceback]
        if traced:
            lines.append(f"tracebacks: {folder / FAILURES}")
        super().__init__("\n".join(lines))
        for failure in traced:
            self.add_note(f"{failure.name}\n{failure.traceback}")


def attempt(number: int, name: str, call: Callable[[], T], advice: str = "") -> T | Failure:
    """What ``call`` returns, or why it failed.

    Args:
        number: Of the job.
        name: Of the job.
        call: Part of the work on one artifact.
        advice: What can be lowered when memory runs out.
    """
    try:
        return call()
    # What a method, a model, a judge or a disk can fail by has no end; one artifact must not cost the others.
    except Exception as error:  # noqa: BLE001
        if (words := out_of_memory(error)) is not None:
            return Failure(number, name, f"MemoryError: memory ran out ({words}); {advice}", traceback.format_exc())
        if isinstance(error, MendableError):
            return Failure(number, name, str(error))
        return Failure(number, name, f"{type(error).__name__}: {error}", traceback.format_exc())
