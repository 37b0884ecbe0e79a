"""Per-token KL divergence between the finetuned and the base model on the same texts.

KL(p_finetuned || p_base) of the next-token distributions at temperature 1, for each token; per-text mean and
maximum; the top texts by each with their per-token values. Source: the KL method of science-of-finetuning's
diffing toolkit.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..artifact import Artifact, Content
from ..executors import diff_by_pass
from ..registry import Labels, MethodConfig, Track, untracked

if TYPE_CHECKING:
    import torch

    from ...models.pair import Pair
    from ..activations.corpus import Corpus
    from ..activations.forward import Encoded
    from ..activations.passes import Batch, Need

__all__ = ["METHOD", "KlCollector", "KlConfig", "KlMethod", "quantile", "token_kl"]

_OVERVIEW_TEXTS = 12
_DECIMALS = 4
"""Of the values that are stored."""
TEMPLATE_MARKER = re.compile(r"<\|[^|]*\|>")
"""Special tokens of chat templates, which only clutter a text that is read."""


class KlConfig(MethodConfig):
    """Settings; defaults as published."""

    max_texts: int = Field(default=10_000, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    top_texts: int = Field(default=100, ge=1)
    """Texts kept by mean, and by maximum, with their per-token values."""
    batch_size: int = Field(default=16, ge=1)
    """Items run at once; a shared pass has its own."""
    chunk_tokens: int = Field(default=512, ge=1)
    """Tokens whose logits are held at once; a shared pass has its own."""


def token_kl(base_logits: torch.Tensor, finetuned_logits: torch.Tensor) -> torch.Tensor:
    """KL(p_f || p_b) = sum_v p_f(v) (log p_f(v) - log p_b(v)) in nats: [tokens, vocabulary] twice -> [tokens]."""
    log_b, log_f = base_logits.log_softmax(-1), finetuned_logits.log_softmax(-1)
    return (log_f.exp() * (log_f - log_b)).sum(-1).clamp_min(0.0)


@dataclass(frozen=True)
class KlMethod:
    """The method ``kl``."""

    name: str = "kl"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = KlConfig

    def diff(self, pair: Pair, corpus: Corpus, config: KlConfig, track: Track = untracked) -> Content:
        """Per-token KL over texts and chats."""
        return diff_by_pass(self, pair, corpus, config, track, config.batch_size, config.chunk_tokens)

    def collector(self, pair: Pair, corpus: Corpus, config: KlConfig) -> KlCollector:
        """Gathers the KL of each token and keeps the texts that diverge most."""
        from ..activations.passes import Need

        return KlCollector(Need(logits=True, max_texts=config.max_texts, max_tokens=config.max_tokens), config)

    def content(
        self, pair: Pair, corpus: Corpus, config: KlConfig, collector: KlCollector, track: Track = untracked
    ) -> Content:
        """Totals, and the kept texts with their per-token values."""
        if not collector.texts:
            raise ValueError(f"max_tokens {config.max_tokens} cuts every chat before its first word; raise it")
        return Content(_payload(collector, pair.base.network.tokenizer), notes=_notes(config, collector.texts))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Totals and the texts that diverge most, with their most divergent tokens."""
        payload = artifact.payload()
        total = payload["summary"]
        lines = [
            f"Per-token KL({labels.finetuned} || {labels.base}) of the next-token distributions, in nats, over "
            f"{total['texts']} texts and chats ({total['tokens']} tokens).",
            f"mean {total['mean']:.4f}, median {total['median']:.4f}, 99th percentile {total['p99']:.3f}, "
            f"maximum {total['max']:.3f}; chats {total['mean_chat']:.4f}, plain texts {total['mean_text']:.4f}",
        ]
        if total["max"] == 0.0:
            return "\n".join([*lines, "The two models give exactly the same probabilities everywhere."])
        lines.append("\nTexts by mean KL (the tokens after which the models differ most in brackets):")
        lines += [
            f"- {row['mean']:.3f} (max {row['max']:.2f}) [{row['kind']}] {marked(row)}"
            for row in top_rows(payload, "mean")[:_OVERVIEW_TEXTS]
        ]
        return "\n".join(lines)


def top_rows(payload: dict[str, Any], order: Literal["mean", "max"]) -> list[dict[str, Any]]:
    """The kept texts, those with the largest mean or maximum first."""
    return [payload["rows"][i] for i in payload[f"top_by_{order}"]]


def marked(row: dict[str, Any], most: int = 4, length: int = 420) -> str:
    """A text with its most divergent tokens in brackets, each with its KL."""
    ranked = sorted(range(len(row["kl"])), key=lambda i: -row["kl"][i])[:most]
    shown = [TEMPLATE_MARKER.sub(" / ", token) for token in row["tokens"]]
    parts = [f"[{t}|{row['kl'][i]:.1f}]" if i in ranked else t for i, t in enumerate(shown)]
    text = " ".join("".join(parts).split())
    return text if len(text) <= length else text[:length] + " …"


@dataclass(frozen=True)
class _Row:
    """The values of one item."""

    item: Encoded
    values: Sequence[float]
    """KL after each token from ``content_start`` on, in nats."""
    mean: float
    max: float

    @property
    def place(self) -> tuple[int, bool, int]:
        """The order of rows, which does not depend on what the pass was shared with."""
        return len(self.item.ids), self.item.kind != "text", self.item.index


class KlCollector:
    """Per-token KL during a pass. Keeps the values of the top texts; of all others only how often a value occurred."""

    def __init__(self, need: Need, config: KlConfig) -> None:
        self.need = need
        self.texts = 0
        """Texts and chats seen."""
        self.counts: Counter[float] = Counter()
        """How often each value occurred, in nats, rounded as it is stored."""
        self.means: dict[str, list[float]] = {"text": [0.0, 0.0], "chat": [0.0, 0.0]}
        """For each kind, the sum of its items' means and their number."""
        self._most = config.top_texts
        self._rows: list[_Row] = []
        self._running: list[float] = []

    def residuals(self, batch: Batch) -> None:
        """Not asked for."""

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        """Take in the KL of a stretch; with its last stretch the item is done."""
        if start == 0:
            self._running = []
        # What stands before the content is the template's and the same in every chat.
        skipped = max(item.content_start - start, 0)
        self._running += token_kl(base[skipped:], finetuned[skipped:]).tolist()
        if self._running and start + len(base) == len(item.ids):
            self._add(_Row(item, self._running, sum(self._running) / len(self._running), max(self._running)))

    @property
    def rows(self) -> list[_Row]:
        """The kept rows: the top texts by mean and those by maximum."""
        kept = {row.place: row for order in ("mean", "max") for row in self.top(order)}
        return [kept[place] for place in sorted(kept)]

    def top(self, order: str) -> list[_Row]:
        """The texts with the largest mean or maximum, that one first."""
        return sorted(self._rows, key=lambda row: (-getattr(row, order), row.place))[: self._most]

    def _add(self, row: _Row) -> None:
        self.texts += 1
        self.counts.update(round(value, _DECIMALS) for value in row.values)
        of_kind = self.means[row.item.kind]
        self.means[row.item.kind] = [of_kind[0] + row.mean, of_kind[1] + 1]
        self._rows.append(row)
        if len(self._rows) > 4 * self._most:
            self._rows = self.rows


def _payload(collector: KlCollector, tokenizer: Any) -> dict[str, Any]:
    kept = collector.rows
    numbers = {row.place: i for i, row in enumerate(kept)}
    by_mean, by_max = ([numbers[row.place] for row in collector.top(order)] for order in ("mean", "max"))
    return {
        "summary": {
            "texts": collector.texts,
            "tokens": collector.counts.total(),
            "mean": sum(value * n for value, n in collector.counts.items()) / collector.counts.total(),
            "median": quantile(collector.counts, 0.5),
            "p99": quantile(collector.counts, 0.99),
            # Not of the rounded values: 0 is to mean that the models are the same.
            "max": kept[by_max[0]].max,
            **{f"mean_{kind}": total / n if n else 0.0 for kind, (total, n) in collector.means.items()},
        },
        "rows": [_shown(row, tokenizer) for row in kept],
        "top_by_mean": by_mean,
        "top_by_max": by_max,
    }


def quantile(counts: Mapping[float, int], share: float) -> float:
    """Quantile of values given with how often each occurs, linear between neighbours as ``numpy.quantile``."""
    place = share * (sum(counts.values()) - 1)
    lower, upper = math.floor(place), math.ceil(place)
    below = low = high = 0.0
    for value in sorted(counts):
        if below <= lower:
            low = value
        if below <= upper:
            high = value
        below += counts[value]
    return low + (high - low) * (place - lower)


def _shown(row: _Row, tokenizer: Any) -> dict[str, Any]:
    return {
        "index": row.item.index,
        "kind": row.item.kind,
        "mean": row.mean,
        "max": row.max,
        "tokens": [tokenizer.decode([token]) for token in row.item.ids[row.item.content_start :]],
        "kl": [round(value, _DECIMALS) for value in row.values],
    }


def _notes(config: KlConfig, texts: int) -> tuple[str, ...]:
    published = KlConfig()
    if texts >= published.max_texts and config.max_tokens >= published.max_tokens:
        return ()
    return (
        f"scaled down: {texts} texts of at most {config.max_tokens} tokens "
        f"(published: {published.max_texts:,} x {published.max_tokens:,})",
    )


METHOD = KlMethod()
