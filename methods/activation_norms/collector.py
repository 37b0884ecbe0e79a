"""Norms and cosines of the residual streams of each token, gathered during a pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..activations.encoding import ContentTokens, Encoded
from ..activations.passes import Batch, Collector, Need
from ..activations.top_texts import KindMeans, TopTexts, quantile, shown_tokens, significant
from ..reading import KeptText, TextKind
from .payload import PERCENTILES, CosineStatistics, LayerNorms, LeftOut, NormsPayload, NormsRow, NormStatistics

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["LEAST_TEXTS", "NormsCollector", "token_values"]

MEASURES = ("difference", "cosine", "base_norm", "finetuned_norm")
"""What is kept of each token."""
LEAST_TEXTS = 20
"""Texts of the smallest mean that are kept, to compare with."""
_DIGITS = 4
"""Significant ones of the values that are stored."""


def token_values(base: torch.Tensor, finetuned: torch.Tensor) -> dict[str, torch.Tensor]:
    """|h_f - h_b|, h_f.h_b / (|h_f| |h_b|), |h_b| and |h_f|: [..., d_model] twice -> each [...]."""
    from torch.nn.functional import cosine_similarity

    return {
        "difference": (finetuned - base).norm(dim=-1),
        "cosine": cosine_similarity(base, finetuned, dim=-1).clamp(-1, 1),
        "base_norm": base.norm(dim=-1),
        "finetuned_norm": finetuned.norm(dim=-1),
    }


@dataclass(frozen=True)
class _Row:
    """One item at one layer."""

    item: Encoded
    columns: Sequence[int]
    """Positions that count."""
    values: dict[str, list[float]]
    """Measure -> values at ``columns``."""
    mean: float
    max: float

    @property
    def place(self) -> tuple[TextKind, int]:
        return self.item.kind, self.item.index

    def shown(self, text: int) -> NormsRow:
        """The row as it is stored, of the text with this number."""
        return NormsRow(
            mean=self.mean,
            max=self.max,
            positions=tuple(column - self.item.content_start for column in self.columns),
            text=text,
            **{name: tuple(significant(v, _DIGITS) for v in values) for name, values in self.values.items()},
        )


@dataclass
class _Layer:
    """What is gathered at one layer."""

    by_max: TopTexts[_Row]
    by_mean: TopTexts[_Row]
    least: TopTexts[_Row]
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(MEASURES, 0.0))
    squares: float = 0.0
    """Sum of squares of the differences."""
    smallest: float = math.inf
    largest: float = 0.0
    least_cosine: float = 1.0
    counts: Counter[float] = field(default_factory=Counter)
    """How often each difference occurred, to three significant digits."""
    tokens: int = 0
    left_out: float = 0.0
    """Sum of the differences at tokens that do not count."""
    left_out_tokens: int = 0
    means: KindMeans = field(default_factory=KindMeans)

    def add(self, item: Encoded, columns: list[int], values: dict[str, torch.Tensor]) -> None:
        """Take in an item.

        Args:
            item: The item.
            columns: Its positions that count.
            values: Measure -> values at all its positions, each [positions].
        """
        rest = sorted(set(range(len(item.ids))).difference(columns))
        self.left_out += float(values["difference"][rest].double().sum())
        self.left_out_tokens += len(rest)
        if not columns:
            return
        chosen = {name: v[columns].double() for name, v in values.items()}
        difference = chosen["difference"]
        for name, v in chosen.items():
            self.sums[name] += float(v.sum())
        self.squares += float(difference.square().sum())
        self.smallest = min(self.smallest, float(difference.min()))
        self.largest = max(self.largest, float(difference.max()))
        self.least_cosine = min(self.least_cosine, float(chosen["cosine"].min()))
        self.counts.update(significant(v) for v in difference.tolist())
        self.tokens += len(columns)
        mean, most = float(difference.mean()), float(difference.max())
        self.means.add(item.kind, mean)

        def row() -> _Row:
            return _Row(item, columns, {name: v.tolist() for name, v in chosen.items()}, mean, most)

        self.by_max.offer(most, item, row)
        self.by_mean.offer(mean, item, row)
        self.least.offer(-mean, item, row)

    def kept(self) -> dict[tuple[TextKind, int], _Row]:
        """The kept rows by their place in the corpus, chats first."""
        rows = (row for top in (self.by_max, self.by_mean, self.least) for row in top.ranked())
        return {row.place: row for row in sorted(rows, key=lambda row: row.place)}

    def summed_up(self, layer: int, texts: dict[tuple[TextKind, int], int]) -> LayerNorms:
        """The layer as it is stored; ``texts`` numbers the kept texts of all layers by their place."""
        kept = self.kept()
        numbers = {place: i for i, place in enumerate(kept)}

        def ranks(top: TopTexts[_Row]) -> tuple[int, ...]:
            return tuple(numbers[row.place] for row in top.ranked())

        mean = {name: total / self.tokens for name, total in self.sums.items()}
        return LayerNorms(
            layer=layer,
            tokens=self.tokens,
            difference=self._norms(mean["difference"]),
            relative=mean["difference"] / mean["finetuned_norm"] if mean["finetuned_norm"] else 0.0,
            cosine=CosineStatistics(mean=mean["cosine"], min=self.least_cosine),
            base_norm=mean["base_norm"],
            finetuned_norm=mean["finetuned_norm"],
            left_out=LeftOut(tokens=self.left_out_tokens, mean=self.left_out / max(1, self.left_out_tokens)),
            mean_text=self.means["text"],
            mean_chat=self.means["chat"],
            rows=tuple(row.shown(texts[place]) for place, row in kept.items()),
            top_by_max=ranks(self.by_max),
            top_by_mean=ranks(self.by_mean),
            least_by_mean=ranks(self.least),
        )

    def _norms(self, mean: float) -> NormStatistics:
        percentiles = {f"p{p}": quantile(self.counts, p / 100) for p in PERCENTILES}
        std = math.sqrt(max(self.squares / self.tokens - mean**2, 0.0))
        return NormStatistics(mean=mean, std=std, min=self.smallest, max=self.largest, **percentiles)


class NormsCollector(Collector):
    """Sums during a pass. Keeps the values of the top texts; of all others only how often a difference occurred."""

    def __init__(self, need: Need, content: ContentTokens, top_texts: int) -> None:
        self.need = need
        self.texts = 0
        """Texts and chats with a token that counts."""
        self.layers = {
            layer: _Layer(TopTexts(top_texts), TopTexts(top_texts), TopTexts(LEAST_TEXTS))
            for layer in sorted(need.layers)
        }
        self._content = content

    def residuals(self, batch: Batch) -> None:
        """Take in the norms and cosines of a batch at each layer."""
        items = [replace(item, ids=item.ids[: self.need.width(item)]) for item in batch.items]
        columns = [self._content.columns(item) for item in items]
        self.texts += sum(1 for chosen in columns if chosen)
        for layer, gathered in self.layers.items():
            values = {name: v.cpu() for name, v in token_values(batch.base[layer], batch.finetuned[layer]).items()}
            for row, (item, chosen) in enumerate(zip(items, columns, strict=True)):
                gathered.add(item, chosen, {name: v[row, : len(item.ids)] for name, v in values.items()})

    def payload(self, layer_count: int, tokenizer: PreTrainedTokenizerBase) -> NormsPayload:
        """A summary of each layer, and the kept texts with their per-token values."""
        kept = {place: row.item for layer in self.layers.values() for place, row in layer.kept().items()}
        numbers = {place: i for i, place in enumerate(sorted(kept))}
        return NormsPayload(
            texts=self.texts,
            layer_count=layer_count,
            layers=tuple(gathered.summed_up(layer, numbers) for layer, gathered in self.layers.items()),
            rows=tuple(_text(kept[place], tokenizer) for place in numbers),
        )


def _text(item: Encoded, tokenizer: PreTrainedTokenizerBase) -> KeptText:
    return KeptText(kind=item.kind, index=item.index, tokens=shown_tokens(item, tokenizer))
