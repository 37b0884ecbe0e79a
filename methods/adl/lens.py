"""The logit lens on mean differences, with its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..activations.lens import logit_lens
from ..activations.top_tokens import top_tokens
from .config import AdlConfig, Position
from .differences import PositionMeans
from .payload import Lens, PositionRow

if TYPE_CHECKING:
    from ...models.targets import Pair

__all__ = ["lens_rows"]


def lens_rows(pair: Pair, means: PositionMeans, config: AdlConfig) -> list[PositionRow]:
    """For each position: norms, and the top tokens of +d, -d and of the controls mean h_b and mean h_f.

    A position whose difference is exactly zero has no lens of it: there is nothing to be read.
    """
    return [_row(pair, means, position, config.lens_top) for position in means.base]


def _row(pair: Pair, means: PositionMeans, position: Position, most: int) -> PositionRow:
    difference = means.difference(position)
    norm = float(difference.norm())
    vectors = {"base": means.base[position], "finetuned": means.finetuned[position]}
    if norm > 0:
        vectors = {"difference": difference, "negative_difference": -difference, **vectors}
    probabilities = logit_lens(pair.finetuned, torch.stack(list(vectors.values())))
    tokens = top_tokens(probabilities, pair.finetuned.network.tokenizer, most)
    return PositionRow(
        position=str(position),
        texts=means.counts[position],
        difference_norm=norm,
        relative_norm=norm / means.norm_reference,
        lens=Lens(**dict(zip(vectors, tokens, strict=True))),
    )
