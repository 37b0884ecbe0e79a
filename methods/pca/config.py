"""Settings of the principal components of activation differences."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..contract import MethodConfig

__all__ = ["PcaConfig"]


class PcaConfig(MethodConfig):
    """Settings; defaults as published (science-of-finetuning's diffing toolkit)."""

    on_suites: ClassVar = {
        "smol": {
            "max_tokens": 128,
            # The difference at the first token, an attention sink, would be the first component and nearly all of the
            # variance.
            "fit_tokens": "content",
            "components": 6,
            "top_texts": 20,
            "lens_top": 60,
            "steered_components": 3,
            "factors": (0.5, 1.0),
            "prompts": 8,
            "sample_tokens": 40,
            "temperature": 0.7,
        }
    }

    layer: float = Field(default=0.5, ge=0, lt=1)
    """Depth of the residual stream as a share of the layers, rounded down."""
    components: int = Field(default=10, ge=1)
    """Components kept, those of largest variance; the fit itself has as many as the model has dimensions."""
    batch_tokens: int = Field(default=32_768, ge=2)
    """Tokens of one step of the incremental PCA. Exact up to rounding when at least d_model."""
    fit_tokens: Literal["all", "content"] = "all"
    """``all`` as published; ``content`` leaves first tokens and those of the chat template out of the fit."""
    max_texts: int = Field(default=200_000, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    kept_tokens: int = Field(default=131_072, ge=2)
    """Tokens whose difference is kept to be projected, in float16; a seeded sample of whole texts when there are more.
    It bounds the memory: 2 * kept_tokens * d_model bytes."""
    top_texts: int = Field(default=100, ge=1)
    """Texts kept at each end of each component, with their per-token projections."""
    lens_top: int = Field(default=100, ge=1)
    """Tokens kept of each logit lens."""
    steered_components: int = Field(default=10, ge=0)
    """Components, from the first, along which the finetuned model is steered in both directions."""
    factors: tuple[float, ...] = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5)
    """Strengths of steering, in units of the component's maximum absolute projection."""
    prompts: int = Field(default=20, ge=1)
    """Prompts for which steered and unsteered samples are kept."""
    samples: int = Field(default=1, ge=1)
    """Samples of each prompt."""
    sample_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    seed: int = 0
    """Of the samples, and of the choice of texts to be projected."""

    @field_validator("factors")
    @classmethod
    def _positive(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if not factors or any(factor <= 0 for factor in factors):
            raise ValueError(f"factors {list(factors)}: give at least one, all above 0; both directions are steered")
        return factors

    @model_validator(mode="after")
    def _room_for_a_text(self) -> Self:
        if self.kept_tokens < self.max_tokens:
            raise ValueError(
                f"kept_tokens {self.kept_tokens} is less than max_tokens {self.max_tokens}, so that a whole text may "
                "not fit; raise the one or lower the other"
            )
        return self
