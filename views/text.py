"""Texts of models and names of logs, made fit to be shown: nothing in them steers the screen or hides."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["NEWLINE", "printable", "printable_line", "shown_token"]

NEWLINE = "↵"
"""Stands for a line break inside a token."""
_KEPT = {"\n", "\t", "\u200c", "\u200d"}
"""Controls that texts need: line breaks, tabs, and the joiners of scripts and of emoji."""
_UNSEEN = {"Cc", "Cf", "Cs"}
"""Unicode categories of controls, marks of direction and lone surrogates."""


def printable(text: str) -> str:
    """``text`` with escapes for what has no shape of its own: controls, marks of direction, lone surrogates.

    A text of a model could otherwise turn the direction of what follows it, or be no valid UTF-8.
    """
    return "".join(c if c in _KEPT or unicodedata.category(c) not in _UNSEEN else _escape(c) for c in text)


def printable_line(text: str) -> str:
    """The same on one line: line breaks and tabs are escaped too, as a cell of a table needs it."""
    return "".join(c if unicodedata.category(c) not in _UNSEEN else _escape(c) for c in text)


def shown_token(token: str) -> str:
    """A token on one line: line breaks as a sign, many spaces as their number, nothing as an empty set."""
    shown = printable(token).replace("\n", NEWLINE).replace("\t", "⇥")
    return re.sub(" {3,}", lambda spaces: f"␣×{len(spaces[0])}", shown) or "∅"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
