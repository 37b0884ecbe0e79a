"""What an artifact of ``adl`` holds."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from ...records.frozen import Frozen
from ..contract import Labels, Payload
from ..reading import TopTokens, quoted

__all__ = [
    "CONTROL_TOKENS",
    "LEAST_POSITIONS",
    "AdlPayload",
    "Lens",
    "LensVector",
    "PatchedTokens",
    "PatchedVector",
    "Patchscope",
    "PatchscopeRow",
    "PositionRow",
    "ScaleRow",
    "SteeredPrompt",
    "SteeringTable",
]

CONTROL_TOKENS = 20
"""Ranks of the base's own tokens at a position that say nothing about the finetuning there."""
LEAST_POSITIONS = 3
"""Positions at which a token must be found; all of them where there are fewer."""

LensVector: TypeAlias = Literal["difference", "negative_difference", "base", "finetuned"]
"""What a logit lens reads: +d, -d, or as a control the mean activation of one of the models."""
PatchedVector: TypeAlias = Literal["difference", "base", "finetuned"]
"""What a patchscope reads: d in the finetuned model, or as a control the mean activation of a model in itself."""


class Lens(Frozen):
    """The most probable tokens of softmax(lm_head(final_norm(v))) for the vectors v of one position."""

    difference: TopTokens = ()
    """Empty where the difference is exactly zero."""
    negative_difference: TopTokens = ()
    """The same."""
    base: TopTokens
    finetuned: TopTokens

    def of(self, vector: LensVector) -> TopTokens:
        """The tokens of a vector; empty for a difference of exactly zero."""
        tokens: TopTokens = getattr(self, vector)
        return tokens


class PositionRow(Frozen):
    """The mean difference d at one token position."""

    position: str
    """``text:j``, from the first token of a text, or ``chat:j``, from the header of the assistant's turn."""
    texts: int
    """Texts behind the mean."""
    difference_norm: float
    """Norm |d|."""
    relative_norm: float
    """The same in units of the payload's ``norm_reference``."""
    lens: Lens


class PatchedTokens(Frozen):
    """What a patchscope shows of one vector at the scale that the judge chose."""

    scale: float
    """Norm of what was put in, in units of the payload's ``norm_reference``."""
    tokens: TopTokens
    selected: tuple[str, ...]
    """Those of the tokens that the judge found to belong together."""

    def told(self, most: int) -> str:
        """The scale and ``most`` tokens on one line, those that the judge selected before the bar."""
        selected = self.selected[:most]
        others = [token for token, _ in self.tokens if token not in self.selected][: most - len(selected)]
        return f"(scale {self.scale:g}): {quoted(selected)} | {quoted(others)}"


class ScaleRow(NamedTuple):
    """What a patchscope shows at one scale, most probable token first; a list of the two in JSON."""

    scale: float
    tokens: tuple[str, ...]


class PatchscopeRow(Frozen):
    """The patchscope of one position; a vector of exactly zero has none."""

    position: str
    difference: PatchedTokens | None = None
    by_scale: tuple[ScaleRow, ...] = ()
    """The difference at every scale."""
    base: PatchedTokens | None = None
    finetuned: PatchedTokens | None = None

    def of(self, vector: PatchedVector) -> PatchedTokens | None:
        """What is shown of a vector; None where it is exactly zero."""
        found: PatchedTokens | None = getattr(self, vector)
        return found


class Patchscope(Frozen):
    """The patchscope at all patched positions."""

    judge: str
    """What chose the scales."""
    rows: tuple[PatchscopeRow, ...]


class SteeredPrompt(Frozen):
    """Samples for one prompt."""

    prompt: str
    steered: tuple[str, ...]
    unsteered: tuple[str, ...]


class SteeringTable(Frozen):
    """Samples of the finetuned model steered along the difference of one position."""

    position: str
    strength: float
    """Factor of d, from the search."""
    samples: tuple[SteeredPrompt, ...]


class AdlPayload(Payload):
    """Mean activation differences d = mean(h_f - h_b), read by logit lens, by patchscope and by steering.

    The tensors beside it are ``difference``, ``base`` and ``finetuned``, each [positions, d_model]: the means, row by
    row those of ``positions``.
    """

    layer: int
    layers: int
    """How many the model has."""
    norm_reference: float
    """Mean |h_f| over the later positions of the texts."""
    positions: tuple[PositionRow, ...]
    steering: tuple[SteeringTable, ...]
    """One for each steered position; empty where no difference could be steered along."""
    patchscope: Patchscope | None = None
    """None where it is off."""

    @property
    def no_difference(self) -> bool:
        """Whether every difference is exactly zero."""
        return all(row.difference_norm == 0 for row in self.positions)

    def told(self, labels: Labels) -> str:
        """What the differences are of."""
        return (
            f"Mean activation difference d = mean(h_{labels.finetuned} - h_{labels.base}) after layer {self.layer} of "
            f"{self.layers}, at the first tokens of texts (text:j) and from the header of the assistant's turn "
            "(chat:j)."
        )
