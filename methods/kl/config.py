"""Settings of the method ``kl``."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ..contract import MethodConfig

__all__ = ["KlConfig"]


class KlConfig(MethodConfig):
    """Settings; defaults as published."""

    on_suites: ClassVar = {"smol": {"max_tokens": 128, "top_texts": 60}}

    max_texts: int = Field(default=10_000, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    top_texts: int = Field(default=100, ge=1)
    """Texts kept by mean, and by maximum, with their per-token values."""
