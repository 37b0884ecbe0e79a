"""Settings of the activation difference lens."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...records.frozen import Frozen
from ..contract import MethodConfig

__all__ = ["PUBLISHED_SCALES", "AdlConfig", "PatchscopeConfig", "Position"]

PUBLISHED_SCALES = (
    *(round(0.5 + 0.1 * i, 1) for i in range(16)),
    3.0,
    4.0,
    5.0,
    10.0,
    *(20.0 * i for i in range(1, 11)),
)
"""0.5 to 2 in steps of 0.1, then 3, 4, 5, 10, and 20 to 200 in steps of 20; in units of the norm reference."""


class Position(Frozen):
    """One averaged token position."""

    kind: Literal["text", "chat"]
    """``text``: counted from the first token of a text; ``chat``: from the header of the assistant's turn."""
    index: int = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"


class PatchscopeConfig(Frozen):
    """Settings of the patchscope; defaults as published, but for the judge, which a run has to name."""

    positions: tuple[Position, ...] = Field(
        default=tuple(Position(kind="text", index=i) for i in range(5)), min_length=1
    )
    """Positions whose difference is patched in."""
    scales: tuple[float, ...] = Field(default=PUBLISHED_SCALES, min_length=1)
    """Norms of what is patched in, in units of the norm reference; one of them is chosen for each vector."""
    intersection_top: int = Field(default=16_384, ge=1)
    """A token is kept when it is among so many most probable ones under every prompt."""
    tokens: int = Field(default=20, ge=1)
    """Tokens kept for each scale."""
    judge: str | None = None
    """Inspect name of the model that chooses the scale (published: an LLM); None for a deterministic stand-in."""

    @field_validator("scales")
    @classmethod
    def _positive_and_distinct(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < scale < float("inf") for scale in scales) or len(set(scales)) < len(scales):
            raise ValueError(f"scales are positive and distinct; got {', '.join(map(str, scales))}")
        return tuple(sorted(scales))


class AdlConfig(MethodConfig):
    """Settings; defaults as published (arXiv 2510.13900 and its toolkit), but the patchscope is off unless given."""

    on_suites: ClassVar = {
        "smol": {
            "lens_top": 60,
            "patchscope": {},
            "steered_positions": ({"kind": "text", "index": 2}, {"kind": "text", "index": 4}),
            "strength_max": 20.0,
            "search_steps": 6,
            "search_samples": 8,
            "temperature": 0.7,
            "sample_tokens": 40,
            "prompts": 16,
            "samples": 2,
        }
    }

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
    patchscope: PatchscopeConfig | None = None
    """Settings of the patchscope (``{}`` for the published ones); None leaves it out."""

    @model_validator(mode="after")
    def _patched_positions_are_averaged(self) -> Self:
        for position in self.patchscope.positions if self.patchscope else ():
            if position.index >= self.positions:
                raise ValueError(
                    f"patchscope.positions: {position} is not averaged; positions is {self.positions}, "
                    f"so the last index is {self.positions - 1}"
                )
        return self
