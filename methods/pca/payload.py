"""What an artifact of ``pca`` holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...records.frozen import Frozen
from ..contract import Payload
from ..reading import KeptText, TopTokens, marked

__all__ = [
    "SIGNS",
    "Component",
    "EndText",
    "PcaPayload",
    "ProjectedText",
    "Sign",
    "SteeredTable",
    "SteeringTables",
    "TextProjections",
]

Sign: TypeAlias = Literal["+", "-"]
"""A direction of a component. Which of the two is called + has no meaning."""
SIGNS: tuple[Sign, Sign] = ("+", "-")


class ProjectedText(KeptText):
    """A text that stands at an end of some component."""

    positions: tuple[int, ...]
    """Places in ``tokens`` of those that were projected: the author's words."""


class TextProjections(Frozen):
    """The projections of one text on one component."""

    text: int
    """Its place in the payload's ``rows``."""
    max: float
    min: float
    projections: tuple[float, ...]
    """(d - mean) . component at the text's ``positions``, four significant digits."""


class Component(Frozen):
    """One principal component."""

    component: int
    """Its number, from 1; the row ``component - 1`` of the tensor ``components`` [components, d_model]."""
    explained_variance: float
    explained_variance_ratio: float
    """Share of the total variance, 0 to 1."""
    maximum: float
    """Largest projection of a token."""
    minimum: float
    lens: dict[Sign, TopTokens]
    """Most probable tokens of softmax(lm_head(final_norm(+c))), and of -c."""
    rows: tuple[TextProjections, ...]
    """The texts at either end."""
    top: tuple[int, ...]
    """Places in ``rows`` of the texts at the + end, the farthest first."""
    bottom: tuple[int, ...]
    """The same of the - end."""

    @property
    def largest(self) -> float:
        """Largest absolute projection of a token."""
        return max(abs(self.maximum), abs(self.minimum))


class SteeredTable(Frozen):
    """Samples of the finetuned model steered along one direction of a component."""

    component: int
    sign: Sign
    factor: float
    """Strength in units of the component's largest absolute projection."""
    strength: float
    """Norm of what was added at all tokens."""
    samples: tuple[tuple[str, ...], ...]
    """[prompts][samples]."""


class SteeringTables(Frozen):
    """Steered samples beside unsteered ones; empty without components or prompts."""

    prompts: tuple[str, ...]
    unsteered: tuple[tuple[str, ...], ...]
    """[prompts][samples]."""
    tables: tuple[SteeredTable, ...]
    """One for each component, direction and factor."""


class PcaPayload(Payload):
    """Components of the differences h_f - h_b, read by their extreme texts, logit lens and steered samples.

    The tensors beside it are ``components`` [components, d_model], ``mean`` [d_model] and ``explained_variance``
    [components].
    """

    layer: int
    layer_count: int
    texts: int
    """Texts and chats."""
    tokens: int
    """Tokens of the fit."""
    largest_difference: float
    """Largest absolute entry of a difference; 0 where the two models compute the same."""
    mean_norm: float
    """Norm of the mean difference."""
    components: tuple[Component, ...]
    """Largest variance first; empty where the differences do not vary."""
    rows: tuple[ProjectedText, ...]
    """Texts that the components name by their place here."""
    steering: SteeringTables

    @property
    def nothing_varies(self) -> str:
        """Why there are no components."""
        if self.largest_difference == 0:
            return "Every difference is exactly zero: the two models compute the same activations."
        return "The difference is the same at every token, so that there are no components beside its mean."

    def end(self, component: Component, sign: Sign) -> list[EndText]:
        """The texts at one end of a component, the farthest first."""
        rows = [component.rows[i] for i in (component.top if sign == "+" else component.bottom)]
        return [EndText(self.rows[row.text], row, sign) for row in rows]


@dataclass(frozen=True)
class EndText:
    """A text at one end of a component."""

    text: ProjectedText
    row: TextProjections
    sign: Sign

    @property
    def farthest(self) -> float:
        """The projection of the token that lies farthest in the direction of this end."""
        return self.row.max if self.sign == "+" else self.row.min

    @property
    def values(self) -> dict[int, float]:
        """Place of a token -> its projection, of those that were projected."""
        return dict(zip(self.text.positions, self.row.projections, strict=True))

    def marked(self, most: int = 3, length: int = 420) -> str:
        """The text with its farthest tokens in brackets, each with its projection in the direction of this end."""
        factor = 1 if self.sign == "+" else -1
        return marked(self.text.tokens, {p: factor * v for p, v in self.values.items()}, most, length)
