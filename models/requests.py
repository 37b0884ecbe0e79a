"""What a network is asked to continue, and what it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Completion", "Request", "Steering"]


@dataclass(frozen=True)
class Steering:
    """A vector added to the residual stream after one layer, at every token of a generation."""

    layer: int
    """Index of the decoder layer whose output is shifted."""
    vector: torch.Tensor
    """Shape [d_model], already multiplied by its strength."""


@dataclass(frozen=True)
class Request:
    """One text to continue."""

    prompt: str
    """Rendered text, chat template included."""
    adapter: str | None = None
    """Name of a loaded adapter, or None for the base model."""
    max_tokens: int = 128
    temperature: float = 1.0
    """0 is greedy decoding."""
    top_p: float = 1.0
    seed: int = 0
    """Seeds this row alone, so that a row does not depend on what it is batched with
    (up to rounding of bfloat16 products, which depends on the batch's shape)."""
    steering: Steering | None = None


@dataclass(frozen=True)
class Completion:
    """What a model wrote."""

    text: str
    input_tokens: int
    output_tokens: int
    finished: bool
    """Whether the model ended by itself; False at the token limit."""
