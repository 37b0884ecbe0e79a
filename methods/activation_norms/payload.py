"""What an artifact of the method ``activation_norms`` holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...records.frozen import Frozen
from ..contract import Payload
from ..reading import KeptText, marked

__all__ = [
    "PERCENTILES",
    "CosineStatistics",
    "LayerNorms",
    "LeftOut",
    "NormStatistics",
    "NormsPayload",
    "NormsRow",
    "Order",
    "RankedText",
]

Order = Literal["mean", "max", "least"]
"""By largest mean over a text, by one token's maximum, or by smallest mean."""

PERCENTILES = (25, 50, 75, 90, 95, 99)


class NormStatistics(Frozen):
    """Statistics of |h_f - h_b| over all tokens that count."""

    mean: float
    std: float
    min: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    max: float


class CosineStatistics(Frozen):
    """Statistics of the cosine of h_f and h_b over the same tokens."""

    mean: float
    min: float


class LeftOut(Frozen):
    """First tokens and those of the chat template."""

    tokens: int
    mean: float
    """Of |h_f - h_b|."""


class NormsRow(Frozen):
    """A kept text at one layer."""

    mean: float
    """Of |h_f - h_b|."""
    max: float
    positions: tuple[int, ...]
    """[positions]: tokens that count, counted from the first that is shown."""
    difference: tuple[float, ...]
    """[positions]: |h_f - h_b|, to four significant digits like those below."""
    cosine: tuple[float, ...]
    """[positions]: h_f.h_b / (|h_f| |h_b|)."""
    base_norm: tuple[float, ...]
    """[positions]: |h_b|."""
    finetuned_norm: tuple[float, ...]
    """[positions]: |h_f|."""
    text: int
    """Number of the text in ``NormsPayload.rows``."""


class LayerNorms(Frozen):
    """One layer."""

    layer: int
    tokens: int
    """Tokens that count."""
    difference: NormStatistics
    relative: float
    """Mean |h_f - h_b| / mean |h_f|."""
    cosine: CosineStatistics
    base_norm: float
    """Mean |h_b|."""
    finetuned_norm: float
    """Mean |h_f|."""
    left_out: LeftOut
    mean_text: float
    """Mean over the plain texts of their mean |h_f - h_b|."""
    mean_chat: float
    """The same over the chats."""
    rows: tuple[NormsRow, ...]
    top_by_max: tuple[int, ...]
    """Numbers of rows, that of the largest token first."""
    top_by_mean: tuple[int, ...]
    """That of largest mean first."""
    least_by_mean: tuple[int, ...]
    """That of smallest mean first."""


@dataclass(frozen=True)
class RankedText:
    """A kept text with its values at one layer."""

    text: KeptText
    row: NormsRow

    def marked(self, length: int = 420) -> str:
        """The text with the tokens that differ most in brackets, each with its |h_f - h_b|."""
        values = dict(zip(self.row.positions, self.row.difference, strict=True))
        return marked(self.text.tokens, values, length=length)


class NormsPayload(Payload):
    """Statistics by layer, and the texts that differ most and least."""

    texts: int
    """Texts and chats with a token that counts."""
    layer_count: int
    """Layers of the model."""
    layers: tuple[LayerNorms, ...]
    """Those that were read."""
    rows: tuple[KeptText, ...]
    """Texts that a layer kept."""

    @property
    def no_difference(self) -> bool:
        """Whether the two models compute the same activations."""
        return all(layer.difference.max == 0.0 for layer in self.layers)

    def at(self, layer: int | None = None) -> LayerNorms:
        """One layer; without a number, the middle one of those that were read.

        Raises:
            ValueError: Naming the layers there are.
        """
        layers = {each.layer: each for each in self.layers}
        if layer is None:
            return self.layers[len(layers) // 2]
        if layer not in layers:
            raise ValueError(f"layer {layer} was not read; there is {', '.join(map(str, layers))}")
        return layers[layer]

    def ranked(self, layer: LayerNorms, order: Order) -> list[RankedText]:
        """The kept texts at a layer in an order."""
        numbers = {"mean": layer.top_by_mean, "max": layer.top_by_max, "least": layer.least_by_mean}[order]
        rows = (layer.rows[number] for number in numbers)
        return [RankedText(self.rows[row.text], row) for row in rows]
