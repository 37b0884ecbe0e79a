"""Settings of the method ``diff_mining``."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ..contract import MethodConfig

__all__ = ["DiffMiningConfig"]


class DiffMiningConfig(MethodConfig):
    """Settings; defaults as published."""

    on_suites: ClassVar = {"smol": {"topic_positions": 4096}}

    max_texts: int = Field(default=8_192, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=64, ge=1)
    """Positions of each: a text's first, a chat's from the header of the answer on."""
    top_k: int = Field(default=100, ge=1)
    """Tokens of largest D taken at each position."""
    tokens: int = Field(default=100, ge=1)
    """Tokens kept of each ordering, which are what an investigator sees."""
    layer: float | None = Field(default=None, ge=0, lt=1)
    """None for the models' logits; else the logit lens after the layer at this share of the depth, rounded down."""
    topics: int = Field(default=3, ge=1)
    """Rank of the factorisation."""
    topic_positions: int = Field(default=524_288, ge=1)
    """Positions of texts, and of chats, that are factorised at most, drawn at random; the default is all of them."""
    topic_iterations: int = Field(default=200, ge=1)
    """Multiplicative updates at most."""
    seed: int = Field(default=0, ge=0, lt=2**32)
