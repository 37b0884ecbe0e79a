"""Norms of activation differences: at which tokens of which texts the residual streams of the two models part.

At some layers, for each token: |h_f - h_b|, the cosine of h_f and h_b, and both norms; the texts with the largest
maximum and the largest mean, per layer, with their per-token values. Source: the activation analysis of
science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from ..activations.tallies import quantile, significant
from ..activations.top_texts import ContentTokens, TopTexts
from ..artifact import Artifact, Content
from ..executors import diff_by_pass
from ..reading import marked
from ..registry import Labels, MethodConfig, Track, untracked

if TYPE_CHECKING:
    import torch

    from ...models.pair import Pair
    from ..activations.corpus import Corpus
    from ..activations.forward import Encoded
    from ..activations.passes import Batch, Need

__all__ = [
    "METHOD",
    "ActivationNormsConfig",
    "ActivationNormsMethod",
    "NormsCollector",
    "layer_table",
    "marked_row",
    "token_values",
    "top_rows",
]

MEASURES = ("difference", "cosine", "base_norm", "finetuned_norm")
"""What is kept of each token."""
LEAST_TEXTS = 20
"""Texts of the smallest mean that are kept, to compare with."""
_PERCENTILES = (25, 50, 75, 90, 95, 99)
_OVERVIEW_TEXTS = 8


class ActivationNormsConfig(MethodConfig):
    """Settings; sizes as published, layers at a quarter, a half and three quarters of the depth."""

    layers: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Depths of the residual streams as shares of the layers, rounded down."""
    max_texts: int = Field(default=50_000, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    top_texts: int = Field(default=100, ge=1)
    """Texts kept by maximum, and by mean, per layer, with their per-token values."""

    @field_validator("layers")
    @classmethod
    def _within_the_model(cls, layers: tuple[float, ...]) -> tuple[float, ...]:
        if not layers or any(not 0 <= share < 1 for share in layers):
            raise ValueError(f"layers {list(layers)}: give at least one share of the depth, each from 0 to below 1")
        return layers


@dataclass(frozen=True)
class ActivationNormsMethod:
    """The method ``activation_norms``."""

    name: str = "activation_norms"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = ActivationNormsConfig

    def diff(self, pair: Pair, corpus: Corpus, config: ActivationNormsConfig, track: Track = untracked) -> Content:
        """Norms and cosines over texts and chats."""
        return diff_by_pass(self, pair, corpus, config, track)

    def collector(self, pair: Pair, corpus: Corpus, config: ActivationNormsConfig) -> NormsCollector:
        """Gathers sums of each layer and keeps the texts that differ most."""
        from ..activations.passes import Need

        network = pair.base.network
        layers = frozenset(int(share * len(network.layers)) for share in config.layers)
        need = Need(layers=layers, max_texts=config.max_texts, max_tokens=config.max_tokens)
        return NormsCollector(need, ContentTokens.of(network, corpus), config.top_texts)

    def content(
        self,
        pair: Pair,
        corpus: Corpus,
        config: ActivationNormsConfig,
        collector: NormsCollector,
        track: Track = untracked,
    ) -> Content:
        """A summary of each layer, and the kept texts with their per-token values.

        Raises:
            ValueError: When no token of the corpus counts.
        """
        if not collector.texts:
            raise ValueError(
                f"max_tokens {config.max_tokens} leaves no token of corpus {corpus.name!r} but first ones and those of "
                "the chat template; raise it"
            )
        payload = _payload(collector, len(pair.base.network.layers), pair.base.network.tokenizer)
        return Content(payload, notes=_notes(config, collector.texts))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """A line for each layer, then the texts that differ most at the middle one of them."""
        payload = artifact.payload()
        lines = [
            f"Residual streams h of {labels.finetuned} and {labels.base} on the same tokens: d = |h_{labels.finetuned} "
            f"- h_{labels.base}| and the cosine of the two, over {payload['texts']} texts and chats, first tokens and "
            f"those of the chat template left out.",
        ]
        lines += [_layer_line(table, payload["layer_count"], labels) for table in payload["layers"]]
        if all(table["difference"]["max"] == 0.0 for table in payload["layers"]):
            return "\n".join([*lines, "Every difference is exactly zero: the two models compute the same activations."])
        table = layer_table(payload, None)
        orders: tuple[tuple[Literal["mean", "max"], str], ...] = (("mean", "mean d"), ("max", "the d of one token"))
        for order, name in orders:
            lines.append(f"\nTexts by {name} at layer {table['layer']} (the tokens that differ most in brackets):")
            lines += [
                f"- mean {row['mean']:.3g} max {row['max']:.3g} [{row['kind']}] {marked_row(row, length=300)}"
                for row in top_rows(payload, table, order)[:_OVERVIEW_TEXTS]
            ]
        return "\n".join(lines)


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
    left_out: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Sum of the differences at tokens that do not count, and their number."""
    means: dict[str, list[float]] = field(default_factory=lambda: {"text": [0.0, 0.0], "chat": [0.0, 0.0]})
    """For each kind, the sum of its items' means and their number."""


class NormsCollector:
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
                _add(gathered, item, chosen, {name: v[row, : len(item.ids)] for name, v in values.items()})

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        """Not asked for."""


def _add(gathered: _Layer, item: Encoded, columns: list[int], values: dict[str, torch.Tensor]) -> None:
    chosen = {name: v[columns].double() for name, v in values.items()}
    difference = chosen["difference"]
    rest = sorted(set(range(len(item.ids))).difference(columns))
    gathered.left_out[0] += float(values["difference"][rest].double().sum())
    gathered.left_out[1] += len(rest)
    if not columns:
        return
    for name, v in chosen.items():
        gathered.sums[name] += float(v.sum())
    gathered.squares += float(difference.square().sum())
    gathered.smallest = min(gathered.smallest, float(difference.min()))
    gathered.largest = max(gathered.largest, float(difference.max()))
    gathered.least_cosine = min(gathered.least_cosine, float(chosen["cosine"].min()))
    gathered.counts.update(significant(v) for v in difference.tolist())
    gathered.tokens += len(columns)
    mean, most = float(difference.mean()), float(difference.max())
    gathered.means[item.kind][0] += mean
    gathered.means[item.kind][1] += 1

    def row() -> _Row:
        return _Row(item, columns, {name: v.tolist() for name, v in chosen.items()}, mean, most)

    gathered.by_max.offer(most, item, row)
    gathered.by_mean.offer(mean, item, row)
    gathered.least.offer(-mean, item, row)


def _payload(collector: NormsCollector, layer_count: int, tokenizer: Any) -> dict[str, Any]:
    texts: dict[tuple[str, int], dict[str, Any]] = {}
    tables = []
    for layer, gathered in collector.layers.items():
        orders = {"top_by_max": gathered.by_max, "top_by_mean": gathered.by_mean, "least_by_mean": gathered.least}
        ranked = {name: top.ranked() for name, top in orders.items()}
        kept = {(row.item.kind, row.item.index): row for rows in ranked.values() for row in rows}
        numbers = {place: i for i, place in enumerate(sorted(kept))}
        for place, row in kept.items():
            texts.setdefault(place, _text(row.item, tokenizer))
        tables.append(
            {
                "layer": layer,
                **_summary(gathered),
                "rows": [_shown(kept[place]) for place in numbers],
                **{name: [numbers[r.item.kind, r.item.index] for r in rows] for name, rows in ranked.items()},
            }
        )
    places = sorted(texts)
    for table in tables:
        for row in table["rows"]:
            row["text"] = places.index((row.pop("kind"), row.pop("index")))
    return {
        "texts": collector.texts,
        "layer_count": layer_count,
        "layers": tables,
        "rows": [texts[place] for place in places],
    }


def _summary(gathered: _Layer) -> dict[str, Any]:
    n = gathered.tokens
    mean = {name: total / n for name, total in gathered.sums.items()}
    variance = gathered.squares / n - mean["difference"] ** 2
    percentiles = {f"p{p}": quantile(gathered.counts, p / 100) for p in _PERCENTILES}
    sum_out, count_out = gathered.left_out
    return {
        "tokens": n,
        "difference": {
            "mean": mean["difference"],
            "std": math.sqrt(max(variance, 0.0)),
            "min": gathered.smallest,
            **percentiles,
            "max": gathered.largest,
        },
        "relative": mean["difference"] / mean["finetuned_norm"] if mean["finetuned_norm"] else 0.0,
        "cosine": {"mean": mean["cosine"], "min": gathered.least_cosine},
        "base_norm": mean["base_norm"],
        "finetuned_norm": mean["finetuned_norm"],
        "left_out": {"tokens": int(count_out), "mean": sum_out / count_out if count_out else 0.0},
        **{f"mean_{kind}": total / items if items else 0.0 for kind, (total, items) in gathered.means.items()},
    }


def _text(item: Encoded, tokenizer: Any) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "index": item.index,
        "tokens": [tokenizer.decode([token]) for token in item.ids[item.content_start :]],
    }


def _shown(row: _Row) -> dict[str, Any]:
    return {
        "kind": row.item.kind,
        "index": row.item.index,
        "mean": row.mean,
        "max": row.max,
        # Counted from the first token that is shown.
        "positions": [column - row.item.content_start for column in row.columns],
        **{name: [significant(v, 4) for v in values] for name, values in row.values.items()},
    }


def layer_table(payload: dict[str, Any], layer: int | None) -> dict[str, Any]:
    """What was gathered at a layer; without one, at the middle one of those there are.

    Raises:
        ValueError: Naming the layers there are.
    """
    tables: dict[int, dict[str, Any]] = {table["layer"]: table for table in payload["layers"]}
    if layer is None:
        return list(tables.values())[len(tables) // 2]
    if layer not in tables:
        raise ValueError(f"layer {layer} was not read; there is {', '.join(map(str, tables))}")
    return tables[layer]


def top_rows(
    payload: dict[str, Any], table: dict[str, Any], order: Literal["mean", "max", "least"]
) -> list[dict[str, Any]]:
    """The kept texts at a layer by largest mean, by maximum or by smallest mean, each with its tokens and values."""
    name = "least_by_mean" if order == "least" else f"top_by_{order}"
    rows = [table["rows"][i] for i in table[name]]
    return [{**payload["rows"][row["text"]], **row} for row in rows]


def marked_row(row: dict[str, Any], most: int = 4, length: int = 420) -> str:
    """A text with the tokens that differ most in brackets, each with its |h_f - h_b|."""
    return marked(row["tokens"], dict(zip(row["positions"], row["difference"], strict=True)), most, length)


def _layer_line(table: dict[str, Any], layer_count: int, labels: Labels) -> str:
    d = table["difference"]
    return (
        f"layer {table['layer']} of {layer_count}: mean d {d['mean']:.4g}, median {d['p50']:.4g}, 99th percentile "
        f"{d['p99']:.4g}, maximum {d['max']:.4g}; {table['relative']:.3f} of the mean |h_{labels.finetuned}|; "
        f"cosine mean {table['cosine']['mean']:.4f}, least {table['cosine']['min']:.4f}; mean d of chats "
        f"{table['mean_chat']:.4g}, of plain texts {table['mean_text']:.4g}, of the tokens left out "
        f"{table['left_out']['mean']:.4g}"
    )


def _notes(config: ActivationNormsConfig, texts: int) -> tuple[str, ...]:
    published = ActivationNormsConfig()
    notes = ["first tokens and tokens of the chat template are left out of summary and ranking"]
    if texts < published.max_texts or config.max_tokens < published.max_tokens:
        notes.append(
            f"scaled down: {texts} texts of at most {config.max_tokens} tokens "
            f"(published: {published.max_texts:,} x {published.max_tokens:,})"
        )
    if config.top_texts < published.top_texts:
        notes.append(f"scaled down: {config.top_texts} texts kept by each order (published: {published.top_texts})")
    return tuple(notes)


METHOD = ActivationNormsMethod()
