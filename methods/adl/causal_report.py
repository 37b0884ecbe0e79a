"""Settings, data and figures of the causal effect of mean differences (``causal.py``)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from ...organisms.recipes.data_mix import TrainingItem, narrow_items, unrelated_items
from ...organisms.suites import Organism
from ...records.errors import MendableError
from ...records.frozen import Frozen

__all__ = ["SPANS", "CausalConfig", "CausalReport", "Data", "DataEffect", "Effect", "Kind", "Span", "evaluation_items"]

Data: TypeAlias = Literal["finetuning", "unrelated"]
"""What was trained on, or text that has nothing to do with it."""
Kind: TypeAlias = Literal["difference", "random", "random_difference"]
"""Where a direction is from: a mean difference, a Gaussian, or a difference of two random activations."""
Span: TypeAlias = Literal["all", "later"]
SPANS: tuple[Span, ...] = ("all", "later")


class CausalConfig(Frozen):
    """Settings; defaults as published."""

    max_items: int = Field(default=1_000, ge=1)
    """Documents and chats of each data set, drawn at random."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    later: int = Field(default=20, ge=0)
    """The span ``later`` holds the predicted tokens of an item but for those among its first so many tokens."""
    random_vectors: int = Field(default=64, ge=0)
    """Gaussian directions, as a control."""
    random_differences: int = Field(default=64, ge=0)
    """Differences of the base model's activations at two random tokens of unrelated data, as a control."""
    batch_size: int = Field(default=8, ge=1)
    seed: int = 0


class Effect(Frozen):
    """One direction's effect on one data set."""

    kind: Kind
    name: str
    """Position of a difference, number of a random direction."""
    loss: float
    """Mean loss of the finetuned model with the base's coordinate, nats a token."""
    increase: float
    """Loss minus the finetuned model's own."""
    relative: float | None
    """Increase over the gap, base loss minus finetuned loss; None where the gap is zero. 1: as bad as the base."""


class DataEffect(Frozen):
    """The effects of all directions on one data set."""

    data: Data
    span: Span
    items: int
    tokens: int
    """Predicted tokens; those of a document, and the assistant's of a chat."""
    base_loss: float
    finetuned_loss: float
    effects: tuple[Effect, ...]

    def mean_increase(self, kind: Kind) -> float | None:
        """Mean increase over the directions of a kind; None without any."""
        values = [effect.increase for effect in self.effects if effect.kind == kind]
        return sum(values) / len(values) if values else None


class CausalReport(Frozen):
    """Causal effects of the directions of one artifact. Measured on training data: not for investigators."""

    organism: str
    artifact: str
    """Key of the artifact."""
    layer: int
    config: CausalConfig
    data: tuple[DataEffect, ...]
    """For each data set all predicted tokens, then the later ones if there are any."""

    def text(self) -> str:
        """Losses and effects in a few lines, the differences before the controls."""
        lines = [f"Causal effect of {self.organism}: the base's coordinate after layer {self.layer}"]
        for row in self.data:
            lines.append(
                f"{row.data}, {row.span} tokens ({row.tokens} in {row.items} items): "
                f"loss {row.base_loss:.4f} base, {row.finetuned_loss:.4f} finetuned"
            )
            for effect in (effect for effect in row.effects if effect.kind == "difference"):
                relative = "no gap" if effect.relative is None else f"{effect.relative:+.3f} of the gap"
                lines.append(f"  {effect.name}: {effect.increase:+.4f} ({relative})")
            for kind in ("random", "random_difference"):
                values = sorted(effect.increase for effect in row.effects if effect.kind == kind)
                if values:
                    mean = sum(values) / len(values)
                    lines.append(f"  {len(values)} {kind}: mean {mean:+.4f}, {values[0]:+.4f} to {values[-1]:+.4f}")
        return "\n".join(lines)


def evaluation_items(organism: Organism) -> dict[Data, list[TrainingItem]]:
    """The narrow training items of an organism's recipe, and unrelated ones: those never trained on, if there are any.

    Raises:
        MendableError: Without a recipe: the training data are then not known here.
    """
    recipe = organism.recipe
    if recipe is None:
        raise MendableError(f"{organism.id}: has no recipe, so its training data are not known here; give them as data")
    unrelated = unrelated_items()
    held_out = unrelated[recipe.unrelated_pool :]
    return {"finetuning": narrow_items(recipe, organism), "unrelated": held_out or unrelated}
