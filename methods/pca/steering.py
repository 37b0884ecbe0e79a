"""Steering the finetuned model along its components, at multiples of their maximum projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...models.ask import Sampling, sample_steered
from ...models.requests import Steering
from ...records.progress import Track
from .config import PcaConfig
from .payload import SIGNS, Component, SteeredTable, SteeringTables

if TYPE_CHECKING:
    from ...models.targets import Pair
    from ..activations.corpus import Corpus
    from .differences import Fit

__all__ = ["steered_samples"]


def steered_samples(
    pair: Pair,
    corpus: Corpus,
    layer: int,
    fit: Fit,
    components: Sequence[Component],
    config: PcaConfig,
    track: Track,
) -> SteeringTables:
    """Samples for the corpus' prompts, unsteered and along +c and -c of the first components c.

    The vector +-factor * max|projection| * c is added at all tokens, after the layer of the PCA. A steered sample and
    the unsteered one beside it share their seed.
    """
    steered = components[: config.steered_components]
    prompts = corpus.prompts(config.prompts) if steered else []
    if not prompts:
        return SteeringTables(prompts=(), unsteered=(), tables=())
    conditions = [(c, sign, factor) for c in steered for sign in SIGNS for factor in config.factors]
    steerings = [
        Steering(layer, (1 if sign == "+" else -1) * factor * c.largest * fit.components[c.component - 1])
        for c, sign, factor in conditions
    ]
    sampling = Sampling(config.sample_tokens, config.temperature, config.samples, config.seed)
    every = [None, *steerings]
    unsteered, *groups = sample_steered(pair.finetuned, prompts, sampling, pair.system_prompt, every, track)
    return SteeringTables(
        prompts=tuple(prompts),
        unsteered=_frozen(unsteered),
        tables=tuple(
            SteeredTable(
                component=c.component, sign=sign, factor=factor, strength=factor * c.largest, samples=_frozen(samples)
            )
            for (c, sign, factor), samples in zip(conditions, groups, strict=True)
        ),
    )


def _frozen(samples: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, samples))
