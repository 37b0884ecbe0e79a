"""Mean activation differences at the first token positions, the norms they are compared with, and their logit lens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...models.targets import Pair
from ...records.errors import MendableError
from ...records.progress import Track
from ..activations.corpus import Corpus
from ..activations.encoding import Encoded
from ..activations.lens import top_tokens
from ..activations.passes import Batch, Collector, Need, Work, run_pass
from .config import AdlConfig, Position
from .payload import Lens, PositionRow

__all__ = ["DifferenceCollector", "PositionMeans", "lens_rows", "mean_differences"]

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
    """The means of a pass of their own.

    Raises:
        MendableError: When no item is long enough for the norm reference.
    """
    collector = DifferenceCollector(pair, corpus, config)
    run_pass([Work(pair, [collector])], corpus, track, label="adl: differences")
    return collector.means()


class DifferenceCollector(Collector):
    """Sums of the residual streams of both models at the first positions, during a pass."""

    def __init__(self, pair: Pair, corpus: Corpus, config: AdlConfig) -> None:
        network = pair.base.network
        self.layer = int(config.layer * len(network.layers))
        self.need = Need(
            layers=frozenset({self.layer}),
            max_texts=config.max_texts,
            max_tokens=config.max_tokens,
            # A chat up to the last position that is averaged; a causal model needs no more.
            after_answer=config.positions,
        )
        self._corpus = corpus
        self._config = config
        self._measured = "text" if corpus.texts else "chat"
        self._norm_sum = 0.0
        self._norm_count = 0
        # Of both models, [2, d_model]; in float64, so that the order of the items hardly matters.
        self._sums: dict[Position, torch.Tensor] = {}
        self._counts: dict[Position, int] = defaultdict(int)

    def residuals(self, batch: Batch) -> None:
        """Add a batch."""
        base, finetuned = batch.base[self.layer], batch.finetuned[self.layer]
        for row, item in enumerate(batch.items):
            width = self.need.width(item)
            for position, column in _columns(item, width, self._config):
                added = torch.stack([base[row, column], finetuned[row, column]]).double().cpu()
                self._sums[position] = self._sums[position] + added if position in self._sums else added
                self._counts[position] += 1
            if item.kind == self._measured and width > _SINK:
                norms = finetuned[row, _SINK:width].norm(dim=-1)
                self._norm_sum += float(norms.double().sum())
                self._norm_count += norms.numel()

    def means(self) -> PositionMeans:
        """The means over what was added.

        Raises:
            MendableError: When no item was long enough for the norm reference.
        """
        if not self._norm_count:
            raise MendableError(
                f"corpus {self._corpus.name!r}: no {self._measured} is longer than {_SINK} tokens, so that there is "
                "no norm to compare with; add a longer one"
            )
        ordered = sorted(self._sums, key=lambda p: (p.kind != "text", p.index))
        means = {p: (self._sums[p] / self._counts[p]).float() for p in ordered}
        return PositionMeans(
            self.layer,
            {p: means[p][0] for p in ordered},
            {p: means[p][1] for p in ordered},
            {p: self._counts[p] for p in ordered},
            self._norm_sum / self._norm_count,
        )


def _columns(item: Encoded, width: int, config: AdlConfig) -> Sequence[tuple[Position, int]]:
    start = item.answer_start if item.kind == "chat" else 0
    return [
        (Position(kind="chat" if item.kind == "chat" else "text", index=j), start + j)
        for j in range(config.positions)
        if start + j < width
    ]


def lens_rows(pair: Pair, means: PositionMeans, config: AdlConfig) -> list[PositionRow]:
    """For each position: norms, and the top tokens of +d, -d and of the controls mean h_b and mean h_f.

    A position whose difference is exactly zero has no lens of it: there is nothing to be read.
    """
    rows = []
    for position in means.base:
        difference = means.difference(position)
        norm = float(difference.norm())
        vectors = {"base": means.base[position], "finetuned": means.finetuned[position]}
        if norm > 0:
            vectors = {"difference": difference, "negative_difference": -difference, **vectors}
        tokens = top_tokens(pair.finetuned, torch.stack(list(vectors.values())), config.lens_top)
        rows.append(
            PositionRow(
                position=str(position),
                texts=means.counts[position],
                difference_norm=norm,
                relative_norm=norm / means.norm_reference,
                lens=Lens(**dict(zip(vectors, tokens, strict=True))),
            )
        )
    return rows
