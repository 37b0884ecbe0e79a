"""Checks of the numbers that panels hold."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["require_finite"]


def require_finite(title: str, values: Iterable[float | None]) -> None:
    """Refuse what cannot be drawn: infinities and NaN.

    Raises:
        ValueError: For the first such value; it names the panel ``title``.
    """
    for value in values:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{title!r} has the value {value}; give finite numbers, or None where there is none")
