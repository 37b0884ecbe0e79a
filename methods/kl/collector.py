"""The KL of each token during a pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..activations.encoding import Encoded
from ..activations.passes import Collector, Need
from ..activations.top_texts import KindMeans, TopTexts, quantile, shown_tokens
from .config import KlConfig
from .payload import KlPayload, KlSummary, KlText

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["KlCollector", "token_kl"]

_DECIMALS = 4
"""Of the values that are stored."""


def token_kl(base_logits: torch.Tensor, finetuned_logits: torch.Tensor) -> torch.Tensor:
    """KL(p_f || p_b) = sum_v p_f(v) (log p_f(v) - log p_b(v)) in nats: [tokens, vocabulary] twice -> [tokens]."""
    log_b, log_f = base_logits.log_softmax(-1), finetuned_logits.log_softmax(-1)
    return (log_f.exp() * (log_f - log_b)).sum(-1).clamp_min(0.0)


def _shortest_first(item: Encoded) -> tuple[int, ...]:
    """The order of rows, which does not depend on what the pass was shared with."""
    return len(item.ids), item.kind != "text", item.index


@dataclass(frozen=True)
class _Row:
    """The values of one item."""

    item: Encoded
    values: Sequence[float]
    """KL after each token from ``content_start`` on, in nats."""
    mean: float
    max: float


class KlCollector(Collector):
    """Per-token KL during a pass. Keeps the values of the top texts; of all others only how often a value occurred."""

    def __init__(self, need: Need, config: KlConfig) -> None:
        self.need = need
        self.texts = 0
        """Texts and chats seen."""
        self.counts: Counter[float] = Counter()
        """How often each value occurred, in nats, rounded as it is stored."""
        self.by_mean: TopTexts[_Row] = TopTexts(config.top_texts, _shortest_first)
        self.by_max: TopTexts[_Row] = TopTexts(config.top_texts, _shortest_first)
        self._means = KindMeans()
        self._running: list[float] = []

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        """Take in the KL of a stretch; with its last stretch the item is done."""
        if start == 0:
            self._running = []
        # What stands before the content is the template's and the same in every chat.
        skipped = max(item.content_start - start, 0)
        self._running += token_kl(base[skipped:], finetuned[skipped:]).tolist()
        if self._running and start + len(base) == len(item.ids):
            self._add(_Row(item, self._running, sum(self._running) / len(self._running), max(self._running)))

    def payload(self, tokenizer: PreTrainedTokenizerBase) -> KlPayload:
        """Totals, and the kept rows: the top texts by mean and those by maximum."""
        by_mean, by_max = self.by_mean.ranked(), self.by_max.ranked()
        kept = {_shortest_first(row.item): row for row in (*by_mean, *by_max)}
        numbers = {place: i for i, place in enumerate(sorted(kept))}
        return KlPayload(
            summary=self._summary(by_max[0].max),
            rows=tuple(_shown(kept[place], tokenizer) for place in numbers),
            top_by_mean=tuple(numbers[_shortest_first(row.item)] for row in by_mean),
            top_by_max=tuple(numbers[_shortest_first(row.item)] for row in by_max),
        )

    def _add(self, row: _Row) -> None:
        self.texts += 1
        self.counts.update(round(value, _DECIMALS) for value in row.values)
        self._means.add(row.item.kind, row.mean)
        self.by_mean.offer(row.mean, row.item, lambda: row)
        self.by_max.offer(row.max, row.item, lambda: row)

    def _summary(self, largest: float) -> KlSummary:
        tokens = self.counts.total()
        return KlSummary(
            texts=self.texts,
            tokens=tokens,
            mean=sum(value * n for value, n in self.counts.items()) / tokens,
            median=quantile(self.counts, 0.5),
            p99=quantile(self.counts, 0.99),
            # Not of the rounded values: 0 is to mean that the models are the same.
            max=largest,
            mean_text=self._means["text"],
            mean_chat=self._means["chat"],
        )


def _shown(row: _Row, tokenizer: PreTrainedTokenizerBase) -> KlText:
    item = row.item
    return KlText(
        index=item.index,
        kind=item.kind,
        mean=row.mean,
        max=row.max,
        tokens=shown_tokens(item, tokenizer),
        kl=tuple(round(value, _DECIMALS) for value in row.values),
    )
