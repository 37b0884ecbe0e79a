"""What an artifact of the method ``kl`` holds."""

from __future__ import annotations

from typing import Literal

from ...records.frozen import Frozen
from ..contract import Payload
from ..reading import KeptText, marked

__all__ = ["KlPayload", "KlSummary", "KlText", "Order"]

Order = Literal["mean", "max"]
"""By the mean over a text, or by its largest value."""


class KlSummary(Frozen):
    """Totals over all tokens that count; KL in nats."""

    texts: int
    """Texts and chats."""
    tokens: int
    mean: float
    median: float
    p99: float
    max: float
    """Exactly 0 for identical models only."""
    mean_text: float
    """Mean over the plain texts of their means."""
    mean_chat: float
    """The same over the chats."""

    @property
    def no_difference(self) -> bool:
        """Whether the two models give the same probabilities everywhere."""
        return self.max == 0.0


class KlText(KeptText):
    """A text with the KL of each of its tokens."""

    mean: float
    """Nats."""
    max: float
    kl: tuple[float, ...]
    """[tokens]: KL of the prediction after each token, in nats, to four decimals."""

    def marked(self) -> str:
        """The text with its most divergent tokens in brackets, each with its KL."""
        return marked(self.tokens, dict(enumerate(self.kl)), digits=".1f", from_start=True)


class KlPayload(Payload):
    """Totals, and the texts that diverge most."""

    summary: KlSummary
    rows: tuple[KlText, ...]
    """The kept texts."""
    top_by_mean: tuple[int, ...]
    """Numbers of rows, that of largest mean first."""
    top_by_max: tuple[int, ...]
    """The same by maximum."""

    def top(self, order: Order) -> list[KlText]:
        """The kept texts, those with the largest mean or maximum first."""
        return [self.rows[i] for i in (self.top_by_mean if order == "mean" else self.top_by_max)]
