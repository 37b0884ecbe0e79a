"""Evidence: what an artifact says without interpretation, as data."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ...records.frozen import Frozen

__all__ = ["Compared", "Evidence", "EvidenceText", "EvidenceToken"]

Compared: TypeAlias = Literal["weights", "activations", "logits", "probabilities"]
"""What a method compared when it found that the two models are exactly equal."""


class EvidenceText(Frozen):
    """A text of one side."""

    text: str
    stratum: str = ""
    """What the text is comparable within, such as its prompt; empty where all texts are comparable."""


class EvidenceToken(Frozen):
    """A single token, or word, that the method points at."""

    token: str
    strength: float
    """In the method's own unit; larger is stronger."""


class Evidence(Frozen):
    """Text of the finetuned side against text of the contrast side, and tokens that the method points at."""

    no_difference: Compared | None = None
    """What the method found to be exactly equal in both models; None where it found a difference."""
    focus: tuple[EvidenceText, ...] = ()
    """Texts in which the finetuning shows."""
    contrast: tuple[EvidenceText, ...] = ()
    """Comparable texts in which it does not."""
    tokens: tuple[EvidenceToken, ...] = ()
    """The most telling first."""
    said: bool = True
    """Whether the finetuned model wrote the texts of ``focus``; False for texts it only read."""
    note: str = ""
    """What the numbers say, in a sentence, for people."""
