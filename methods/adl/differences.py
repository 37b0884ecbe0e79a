"""Mean activation differences at the first token positions, and the norms they are compared with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..base import Track
from ..forward import Encoded, batches, encode_chats, encode_texts, residual
from .config import AdlConfig, Position

if TYPE_CHECKING:
    from ...organisms.pair import Pair
    from ..corpus import Corpus

__all__ = ["PositionMeans", "mean_differences"]

_SINK = 5
"""Positions before this one are kept out of the norm reference: the first is an attention sink of huge norm."""


@dataclass(frozen=True)
class PositionMeans:
    """Means over a corpus at one layer, in float32."""

    layer: int
    base: dict[Position, torch.Tensor]
    """Mean h_b, each [d_model]."""
    finetuned: dict[Position, torch.Tensor]
    """Mean h_f, each [d_model]."""
    counts: dict[Position, int]
    """Texts behind each mean."""
    norm_reference: float
    """Mean |h_f| over the later positions of the texts; of the chats in a corpus without texts."""

    def difference(self, position: Position) -> torch.Tensor:
        """d_j = mean(h_f - h_b), [d_model]."""
        return self.finetuned[position] - self.base[position]


def mean_differences(pair: Pair, corpus: Corpus, config: AdlConfig, track: Track) -> PositionMeans:
    """Stream the corpus through both models up to the layer and average each of the first positions.

    Raises:
        ValueError: When no item is long enough for the norm reference.
    """
    network = pair.base.network
    layer = int(config.layer * len(network.layers))
    items = encode_texts(network, corpus, config.max_tokens)[: config.max_texts]
    items += [_until_answer(item, config) for item in encode_chats(network, corpus, 10**6)[: config.max_texts]]
    sums: dict[Position, list[torch.Tensor]] = {}
    counts: dict[Position, int] = defaultdict(int)
    norm_sum = norm_count = 0.0
    measured = "text" if corpus.texts else "chat"
    for chunk, ids, mask in track(list(batches(items, network, config.batch_size)), "adl: differences"):
        base, finetuned = (residual(target, ids, mask, layer).cpu() for target in pair)
        for row, item in enumerate(chunk):
            for position, column in _columns(item, config):
                total = sums.setdefault(position, [torch.zeros(network.d_model) for _ in range(2)])
                total[0] += base[row, column]
                total[1] += finetuned[row, column]
                counts[position] += 1
            if item.kind == measured:
                norms = finetuned[row, _SINK : len(item.ids)].norm(dim=-1)
                norm_sum, norm_count = norm_sum + float(norms.sum()), norm_count + norms.numel()
    if not norm_count:
        raise ValueError(
            f"corpus {corpus.name!r}: no {measured} is longer than {_SINK} tokens, so that there is no norm "
            "to compare with; add a longer one"
        )
    ordered = sorted(sums, key=lambda p: (p.kind != "text", p.index))
    return PositionMeans(
        layer,
        {p: sums[p][0] / counts[p] for p in ordered},
        {p: sums[p][1] / counts[p] for p in ordered},
        {p: counts[p] for p in ordered},
        norm_sum / norm_count,
    )


def _until_answer(item: Encoded, config: AdlConfig) -> Encoded:
    """A chat up to the last position that is averaged; a causal model needs no more."""
    return Encoded(
        item.index, item.kind, item.ids[: item.answer_start + config.positions], item.content_start, item.answer_start
    )


def _columns(item: Encoded, config: AdlConfig) -> Sequence[tuple[Position, int]]:
    start = item.answer_start if item.kind == "chat" else 0
    return [
        (Position(kind="chat" if item.kind == "chat" else "text", index=j), start + j)
        for j in range(config.positions)
        if start + j < len(item.ids)
    ]
