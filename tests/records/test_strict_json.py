"""JSON without NaN."""

from __future__ import annotations

import json
import math

import pytest
from diffbench.records.strict_json import strict_json


def test_nan_is_null_at_any_depth() -> None:
    text = strict_json({"a": [1.5, math.nan, (math.nan, {"b": math.nan})], "ä": "nan"})
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) == {
        "a": [1.5, None, [None, {"b": None}]],
        "ä": "nan",
    }
    assert "ä" in text


def test_infinities_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        strict_json([math.inf])
