"""Settings of the methods on a suite of a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from diffbench.methods.registry import find_method

__all__ = ["scale"]


def scale(patch: pytest.MonkeyPatch, suite: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Let methods have these settings on a suite: method -> what differs from its defaults."""
    for name, own in settings.items():
        config = find_method(name).config_type
        patch.setattr(config, "on_suites", {**config.on_suites, suite: own})
