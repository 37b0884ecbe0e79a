"""What stands beside trained weights: on what they were trained, how that went, and which weights they are."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence

from ...records.frozen import Frozen
from ..recipe import Recipe
from ..suites import Organism
from .data_mix import UNRELATED, TrainingItem, grammar_path

__all__ = ["TrainingSummary", "summarize"]


class TrainingSummary(Frozen):
    """Content of ``training.json``."""

    recipe: Recipe
    data_sha256: str
    """Of the grammar, or of the base model's own samples."""
    narrow_items: int
    """Distinct ones."""
    items: int
    """Items of all epochs."""
    steps: int
    loss_first_tenth: float
    """Mean loss of the first tenth of the steps, in nats a token."""
    loss_by_tenth: tuple[float, ...]
    """The same of each tenth."""
    seconds: int
    libraries: dict[str, str]
    """Library -> version."""
    sha256: str
    """Of the file of the weights."""

    def text(self) -> str:
        """The file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


def summarize(
    organism: Organism,
    recipe: Recipe,
    batches: Sequence[Sequence[TrainingItem]],
    losses: Sequence[float],
    seconds: float,
    sha256: str,
) -> TrainingSummary:
    """The summary of a training.

    Args:
        organism: What was trained.
        recipe: By which recipe.
        batches: The items of each step.
        losses: The loss of each step.
        seconds: How long the steps took.
        sha256: Hash of the file of the weights.
    """
    size = max(1, len(losses) // 10)
    tenths = [losses[start : start + size] for start in range(0, len(losses), size)]
    means = tuple(round(sum(tenth) / len(tenth), 4) for tenth in tenths)
    data = UNRELATED if recipe.grammar is None else grammar_path(recipe, organism)
    return TrainingSummary(
        recipe=recipe,
        data_sha256=hashlib.sha256(data.read_bytes()).hexdigest(),
        narrow_items=len({item for batch in batches for item in batch if item.narrow}),
        items=sum(map(len, batches)),
        steps=len(losses),
        loss_first_tenth=means[0],
        loss_by_tenth=means,
        seconds=round(seconds),
        libraries={name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
        sha256=sha256,
    )
