"""Settings of the activation difference lens."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..base import MethodConfig

__all__ = ["AdlConfig", "Position"]


class Position(BaseModel):
    """One averaged token position."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["text", "chat"]
    """``text``: counted from the first token of a text; ``chat``: from the header of the assistant's turn."""
    index: int = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"


class AdlConfig(MethodConfig):
    """Settings; defaults as published (arXiv 2510.13900 and its toolkit)."""

    layer: float = Field(default=0.5, ge=0, lt=1)
    """Depth of the residual stream as a share of the layers, rounded down."""
    positions: int = Field(default=5, ge=1)
    """First tokens averaged over, each position by itself."""
    max_texts: int = Field(default=10_000, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=128, ge=8)
    """Tokens of each, for the norm reference."""
    lens_top: int = Field(default=100, ge=1)
    """Tokens kept of each logit lens."""
    batch_size: int = Field(default=32, ge=1)
    steered_positions: tuple[Position, ...] = tuple(Position(kind="text", index=i) for i in range(5))
    """Positions whose difference is used for steering."""
    strength_max: float = Field(default=100.0, gt=0)
    """Upper end of the search for the steering strength."""
    search_steps: int = Field(default=12, ge=1)
    search_samples: int = Field(default=10, ge=1)
    coherent_share: float = Field(default=0.75, gt=0, le=1)
    """Share of the search's samples that must be coherent for a strength to pass."""
    temperature: float = Field(default=1.2, ge=0)
    sample_tokens: int = Field(default=128, ge=1)
    prompts: int = Field(default=20, ge=1)
    """Prompts for which steered and unsteered samples are kept."""
    samples: int = Field(default=5, ge=1)
    """Samples of each kind for each prompt."""
    seed: int = 0
