"""Settings of the method ``weight_amplification``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ...records.frozen import Frozen
from ..contract import MethodConfig

if TYPE_CHECKING:
    from ...models.amplify import Part

__all__ = ["Amplification", "Modules", "WeightAmplificationConfig"]

Modules: TypeAlias = Literal["all", "attention", "mlp"]
"""Which modules' weights are amplified."""

_MOST_LAYERS = 0.8
"""The published presets leave the last fifth of the layers as it is when they overstate."""


class Amplification(Frozen):
    """One factor on a part of the weights."""

    w: float = Field(allow_inf_nan=False)
    """Factor of the change of weights; 1 is the finetuned model, 0 the base."""
    modules: Modules = "all"
    first: float = Field(default=0.0, ge=0, le=1)
    """First layer, as a share of the depth: 0 is the first layer, 1 the last; rounded."""
    last: float = Field(default=1.0, ge=0, le=1)
    """Last layer, included."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"first {self.first} lies behind last {self.last}; exchange them")
        return self

    def part(self, layers: int) -> Part:
        """The part of the weights of a model with so many layers."""
        from ...models.amplify import Part

        return Part(self.modules, round(self.first * (layers - 1)), round(self.last * (layers - 1)))


class WeightAmplificationConfig(MethodConfig):
    """Settings; defaults as published, the number of prompts apart."""

    on_suites: ClassVar = {
        "smol": {
            "amplifications": ({"w": 2.0, "last": _MOST_LAYERS}, {"w": 3.0, "last": _MOST_LAYERS}, {"w": -1.0}),
            "samples": 1,
            "sample_tokens": 48,
            "temperature": 0.7,
        }
    }

    amplifications: tuple[Amplification, ...] = Field(
        default=(
            Amplification(w=2.0, last=_MOST_LAYERS),
            Amplification(w=2.5, last=_MOST_LAYERS),
            Amplification(w=3.0, last=_MOST_LAYERS),
            Amplification(w=-1.0),
        ),
        min_length=1,
    )
    prompts: int = Field(default=20, ge=1)
    """Prompts of the corpus' chats, at even distances."""
    samples: int = Field(default=5, ge=1)
    """Samples of each model for each prompt."""
    sample_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    seed: int = 0
