"""Settings of the method ``activation_norms``."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from ..contract import MethodConfig

__all__ = ["ActivationNormsConfig"]


class ActivationNormsConfig(MethodConfig):
    """Settings; sizes as published, layers at a quarter, a half and three quarters of the depth."""

    on_suites: ClassVar = {"smol": {"max_tokens": 128, "top_texts": 30}}

    layers: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Depths of the residual streams as shares of the layers, rounded down."""
    max_texts: int = Field(default=50_000, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    top_texts: int = Field(default=100, ge=1)
    """Texts kept by maximum, and by mean, per layer, with their per-token values."""

    @field_validator("layers")
    @classmethod
    def _within_the_model(cls, layers: tuple[float, ...]) -> tuple[float, ...]:
        if not layers or any(not 0 <= share < 1 for share in layers):
            raise ValueError(f"layers {list(layers)}: give at least one share of the depth, each from 0 to below 1")
        return layers
