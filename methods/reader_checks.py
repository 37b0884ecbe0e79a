"""Checks of what an investigator asks a reader for; what is out of range is told with the range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from inspect_ai.tool import ToolError

__all__ = ["check_tokens", "one_text", "stretch"]

T = TypeVar("T")

MOST_TOKENS = 100
"""Tokens of one reading."""


def stretch(rows: Sequence[T], start: int, count: int, most: int) -> Sequence[T]:
    """``count`` rows, at most ``most`` of them, from the row with the number ``start`` on, counted from 1.

    Raises:
        ToolError: When there is no such row, or that many cannot be read at once.
    """
    if not 1 <= start <= len(rows) or not 1 <= count <= most:
        raise ToolError(f"start is 1 to {len(rows)} and count 1 to {most}; got {start} and {count}.")
    return rows[start - 1 : start - 1 + count]


def one_text(rows: Sequence[T], rank: int) -> T:
    """The row of a rank, counted from 1.

    Raises:
        ToolError: When there is no such row.
    """
    if not 1 <= rank <= len(rows):
        raise ToolError(f"There is no text {rank}; ranks go from 1 to {len(rows)}.")
    return rows[rank - 1]


def check_tokens(tokens: int) -> None:
    """Refuse a number of tokens that cannot be read at once.

    Raises:
        ToolError: Below 1 or above ``MOST_TOKENS``.
    """
    if not 1 <= tokens <= MOST_TOKENS:
        raise ToolError(f"tokens is {tokens}; it is 1 to {MOST_TOKENS}.")
