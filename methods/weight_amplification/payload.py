"""What an artifact of the method ``weight_amplification`` holds."""

from __future__ import annotations

from collections.abc import Iterator

from ...records.frozen import Frozen
from ...records.names import BASE, Side
from ..contract import Labels, Payload
from .config import Modules

__all__ = ["AmplificationPayload", "AmplifiedModel", "PlainModel", "PromptSamples"]


class PlainModel(Frozen):
    """One of the two models itself."""

    side: Side
    looping: float
    """Share of its samples that loop."""

    def described(self, labels: Labels) -> str:
        """What it is called."""
        return labels.base if self.side == BASE else labels.finetuned


class AmplifiedModel(Frozen):
    """The finetuned model with its change of weights multiplied."""

    w: float
    """Factor of the change; 1 is the finetuned model, 0 the base."""
    modules: Modules
    layers: tuple[int, int]
    """First and last amplified layer."""
    looping: float
    """Share of its samples that loop."""

    @property
    def overstates(self) -> bool:
        """Whether the change is larger than the finetuning made it."""
        return self.w > 1

    def described(self, labels: Labels) -> str:
        """The factor and its place, such as ``w=2.5 (mlp, layers 0-23)``."""
        first, last = self.layers
        kind = "" if self.modules == "all" else f"{self.modules}, "
        return f"w={self.w:g} ({kind}layers {first}-{last})"


class PromptSamples(Frozen):
    """What the models answered to one prompt."""

    prompt: str
    samples: tuple[tuple[str, ...], ...]
    """[models, samples]: in the order of ``AmplificationPayload.models``."""


class AmplificationPayload(Payload):
    """The models, both plain ones first, and their samples."""

    identical: bool
    """Whether the two models have the same weights; then there are no samples."""
    layers: int
    """Layers of the model."""
    drift: float | None
    """|theta_f - theta_b| / |theta_b| over the matrices that differ; None for an adapter on another model."""
    models: tuple[PlainModel | AmplifiedModel, ...]
    prompts: tuple[PromptSamples, ...]

    @property
    def overstated(self) -> tuple[AmplifiedModel, ...]:
        """The models whose change is overstated."""
        return tuple(model for model in self.models if isinstance(model, AmplifiedModel) and model.overstates)

    def said_by(self, *models: PlainModel | AmplifiedModel) -> Iterator[tuple[str, str]]:
        """Prompts and samples of some of the models, prompt by prompt."""
        places = [self.models.index(model) for model in models]
        for row in self.prompts:
            for place in places:
                yield from ((row.prompt, text) for text in row.samples[place])

    def plain(self, side: Side) -> PlainModel:
        """One of the two models.

        Raises:
            StopIteration: When there are no samples.
        """
        return next(model for model in self.models if isinstance(model, PlainModel) and model.side == side)
