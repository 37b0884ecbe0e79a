"""Numbers as JSON that every reader takes: JSON knows neither NaN nor infinities."""

from __future__ import annotations

import json
import math

__all__ = ["null_for_nan", "strict_json"]


def strict_json(value: object) -> str:
    """``value`` as indented JSON; NaN is null.

    Raises:
        ValueError: For an infinity.
    """
    return json.dumps(null_for_nan(value), indent=2, allow_nan=False, ensure_ascii=False)


def null_for_nan(value: object) -> object:
    """The same with None for NaN, in dictionaries, lists and tuples too."""
    if isinstance(value, dict):
        return {key: null_for_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [null_for_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
