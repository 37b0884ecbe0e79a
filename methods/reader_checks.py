"""What readers share: checks of what an investigator asks for, told with the range, and work beside the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread
from inspect_ai.tool import ToolError

from ..tools.ask import MAX_CHARACTERS

__all__ = ["check_prompt", "check_tokens", "in_thread", "one_text", "stretch"]

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


def check_prompt(prompt: str) -> None:
    """Refuse a prompt that is empty or too long.

    Raises:
        ToolError: Naming its length and the longest.
    """
    if not prompt.strip() or len(prompt) > MAX_CHARACTERS:
        raise ToolError(f"The prompt has {len(prompt)} characters; a prompt has 1 to {MAX_CHARACTERS}.")


async def in_thread(work: Callable[[], T]) -> T:
    """The result of what would block the event loop; a cancelled reader does not wait for it."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
