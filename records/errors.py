"""Errors that a user can mend: the command line shows their message alone, and a traceback for every other."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["MendableError", "MissingError", "unknown_name"]


class MendableError(ValueError):
    """A wrong value, setting or file; the message names it, what is allowed and the remedy."""


class MissingError(MendableError, FileNotFoundError):
    """Weights, artifacts, logs or packages that are not there; the message says how to get them."""

    def __str__(self) -> str:
        # OSError would quote a lone argument of several lines.
        return str(self.args[0]) if self.args else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> MendableError:
    """The error for a name that is not known: names the close ones, or all that are known where none is close.

    Args:
        kind: What is named, such as ``organism``.
        name: The name that was given.
        known: The names there are.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    return MendableError(f"unknown {kind} {name!r}; {hint}")
