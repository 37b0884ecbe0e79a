"""What an artifact of the method ``diff_mining`` holds; D is the difference of the logits, finetuned - base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...records.frozen import Frozen
from ..contract import Payload
from ..reading import TextKind

__all__ = ["KINDS", "ORDERINGS", "MinedSet", "MinedToken", "MiningPayload", "Ordering", "Topic", "Topics", "listed"]

Ordering = Literal["occurrence", "fraction_positive"]
ORDERINGS: tuple[Ordering, ...] = ("occurrence", "fraction_positive")
"""Orderings over all positions; topics come beside them."""
KINDS: dict[TextKind, str] = {"text": "texts", "chat": "answers in chats"}
"""What positions of a kind are called."""


class MinedToken(Frozen):
    """A token in an ordering or a topic."""

    id: int
    token: str
    value: float
    """What it is ordered by."""
    mean: float
    """Mean of its D over all positions."""


def listed(tokens: Sequence[MinedToken]) -> str:
    """Tokens on one line, quoted, each with its value in the ordering."""
    return ", ".join(f"{each.token!r} {each.value:.1%}" for each in tokens)


class Topic(Frozen):
    """Tokens that are raised together."""

    share: float
    """Of the mass of the factorisation."""
    dominant: float
    """Share of the positions at which the topic has the most mass."""
    tokens: tuple[MinedToken, ...]
    """By weight in the topic."""


class Topics(Frozen):
    """The factorisation of a sample of the positions."""

    positions: int
    groups: tuple[Topic, ...]
    """The one of largest share first."""


class MinedSet(Frozen):
    """Positions of one kind."""

    texts: int
    """Texts, or chats, that hold them."""
    positions: int
    largest: float
    """Largest |D|; exactly 0 for identical models only."""
    occurrence: tuple[MinedToken, ...]
    """By the share of positions at which the token is among those of largest D."""
    fraction_positive: tuple[MinedToken, ...]
    """By the share of positions at which its D is above 0."""
    topics: Topics

    @property
    def no_difference(self) -> bool:
        """Whether the two models give the same logits at all positions."""
        return self.largest == 0.0

    def ordered(self, ordering: Ordering) -> tuple[MinedToken, ...]:
        """The tokens of an ordering."""
        return self.occurrence if ordering == "occurrence" else self.fraction_positive


class MiningPayload(Payload):
    """The raised tokens of texts and of chats."""

    top_k: int
    """Tokens of largest D taken at each position."""
    layer: int | None
    """None for the models' logits; else the layer whose logit lens was read."""
    sets: dict[TextKind, MinedSet]
    """Of those kinds that the corpus has."""

    @property
    def no_difference(self) -> bool:
        """Whether the two models give the same logits everywhere."""
        return all(found.no_difference for found in self.sets.values())

    @property
    def through(self) -> str:
        """What is said of the layer, where it is not the models' logits that were read."""
        return "" if self.layer is None else f", both through the logit lens after layer {self.layer}"
