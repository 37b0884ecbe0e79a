"""The logit lens on mean differences, with its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..activations.forward import logit_lens
from .config import AdlConfig, Position
from .differences import PositionMeans

if TYPE_CHECKING:
    from ...models.targets import Pair

__all__ = ["lens_tables"]


def lens_tables(pair: Pair, means: PositionMeans, config: AdlConfig) -> list[dict[str, Any]]:
    """For each position: norms, and the top tokens of +d, -d and of the controls mean h_b and mean h_f.

    A position whose difference is exactly zero has no lens: there is nothing to be read.
    """
    return [_table(pair, means, position, config) for position in means.base]


def _table(pair: Pair, means: PositionMeans, position: Position, config: AdlConfig) -> dict[str, Any]:
    difference = means.difference(position)
    norm = float(difference.norm())
    vectors = {"base": means.base[position], "finetuned": means.finetuned[position]}
    if norm > 0:
        vectors = {"difference": difference, "negative_difference": -difference, **vectors}
    probabilities = logit_lens(pair.finetuned, torch.stack(list(vectors.values())))
    top = probabilities.topk(config.lens_top, dim=-1)
    tokenizer = pair.finetuned.network.tokenizer
    return {
        "position": str(position),
        "texts": means.counts[position],
        "difference_norm": norm,
        "relative_norm": norm / means.norm_reference,
        "lens": {
            name: [
                [tokenizer.decode([int(token)]), round(float(p), 6)]
                for token, p in zip(top.indices[row], top.values[row], strict=True)
            ]
            for row, name in enumerate(vectors)
        },
    }
