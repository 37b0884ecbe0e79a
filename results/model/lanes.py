"""Eight numbers at a time, in compiled code. Imports numba: import it in functions only.

Loops over a few nodes are as long as their preparation; written out, they take two vector instructions.
"""

from __future__ import annotations

from .compiled import compiled
from .terms import Floats

__all__ = ["Eight", "add", "eight", "scaled", "store", "times", "total_of"]

Eight = tuple[float, float, float, float, float, float, float, float]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def eight(array: Floats, at: int) -> Eight:
    """Eight numbers of an array, as one value that stays in registers."""
    return (
        array[at + 0],
        array[at + 1],
        array[at + 2],
        array[at + 3],
        array[at + 4],
        array[at + 5],
        array[at + 6],
        array[at + 7],
    )


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def times(x: Eight, y: Eight) -> Eight:
    """Their products."""
    return (
        x[0] * y[0],
        x[1] * y[1],
        x[2] * y[2],
        x[3] * y[3],
        x[4] * y[4],
        x[5] * y[5],
        x[6] * y[6],
        x[7] * y[7],
    )


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def scaled(x: Eight, factor: float) -> Eight:
    """Their multiples."""
    return (
        x[0] * factor,
        x[1] * factor,
        x[2] * factor,
        x[3] * factor,
        x[4] * factor,
        x[5] * factor,
        x[6] * factor,
        x[7] * factor,
    )


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def total_of(x: Eight) -> float:
    """Their sum."""
    return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]))


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def store(array: Floats, at: int, x: Eight) -> None:
    """Write them into an array."""
    array[at + 0] = x[0]
    array[at + 1] = x[1]
    array[at + 2] = x[2]
    array[at + 3] = x[3]
    array[at + 4] = x[4]
    array[at + 5] = x[5]
    array[at + 6] = x[6]
    array[at + 7] = x[7]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def add(array: Floats, at: int, x: Eight) -> None:
    """Add them to those in an array."""
    array[at + 0] += x[0]
    array[at + 1] += x[1]
    array[at + 2] += x[2]
    array[at + 3] += x[3]
    array[at + 4] += x[4]
    array[at + 5] += x[5]
    array[at + 6] += x[6]
    array[at + 7] += x[7]
