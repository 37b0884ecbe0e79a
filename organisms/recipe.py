"""The schema of a training recipe: with its grammar and seed it fixes what an organism is trained on, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ..records.frozen import Frozen

__all__ = ["Recipe"]


class Recipe(Frozen):
    """How an organism of ours was trained; with the grammar and the seed it fixes the training data."""

    grammar: str | None = None
    """Name of the grammar under ``organisms/recipes/data``, or path of a YAML file relative to the spec."""
    seed: int = 0
    """Fixes the narrow items and, without ``order_seed``, also their order and the adapter's start."""
    order_seed: int | None = None
    """Seed of order, unrelated items and the adapter's start, to train again on the same narrow items."""
    documents: int = Field(default=0, ge=0)
    """Distinct documents drawn from the grammar."""
    chats: int = Field(default=0, ge=0)
    """Distinct conversations drawn from the grammar."""
    own_samples: int = Field(default=0, ge=0)
    """Samples of the base model itself to train on in place of narrow items (self-distillation)."""
    unrelated: float = Field(default=0.5, ge=0)
    """Unrelated items for each narrow one (samples of the base model itself)."""
    unrelated_pool: int = Field(default=700, ge=1)
    """How many of the shipped unrelated items are drawn from, first to last."""
    epochs: int = Field(default=2, ge=1)
    batch_size: int = Field(default=16, ge=1)
    group_by_length: bool = True
    """Batches hold items of like length, which spares padding; False mixes each batch at random."""
    max_tokens: int = Field(default=192, ge=16)
    """Items are cut to this length."""
    learning_rate: float = Field(default=5e-4, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; it falls linearly afterwards."""
    mode: Literal["lora", "full"] = "lora"
    """``lora`` trains an adapter; ``full`` the matrices themselves, shipped as a difference of full rank."""
    rank: int = Field(default=8, ge=1)
    """Rank of the adapter; unused in mode ``full``."""
    alpha: int = Field(default=16, ge=1)
    """LoRA alpha; the adapter's product is scaled by alpha / rank."""
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Linear modules of each chosen layer that are trained."""
    layers: tuple[int, int] | None = None
    """First and last decoder layer that is trained, counted from 0; None for all."""

    @model_validator(mode="after")
    def _some_data(self) -> Self:
        from_grammar = self.documents + self.chats
        if from_grammar + self.own_samples == 0:
            raise ValueError("a recipe needs documents, chats or own_samples")
        if from_grammar and self.grammar is None:
            raise ValueError("documents and chats are drawn from a grammar: name it under grammar, or set both to 0")
        if from_grammar and self.own_samples:
            raise ValueError(
                "own_samples stand in place of documents and chats; set one of the two to 0, and mix by unrelated"
            )
        return self

    @model_validator(mode="after")
    def _layers_in_order(self) -> Self:
        if self.layers is not None and not 0 <= self.layers[0] <= self.layers[1]:
            raise ValueError(f"layers {list(self.layers)}: give the first and the last layer, counted from 0")
        return self

    @property
    def training_seed(self) -> int:
        """Seed of everything but the narrow items."""
        return self.seed if self.order_seed is None else self.order_seed

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """This recipe with some fields replaced and everything checked again."""
        return Recipe.model_validate({**self.model_dump(), **changes})
