"""Steering the finetuned model along its components, at multiples of their maximum projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...models.requests import Request, Steering
from ..registry import Track
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
    unsteered, *groups = _sample(pair, prompts, [None, *steerings], config, track)
    tables = [
        SteeredTable(component=c.component, sign=sign, factor=factor, strength=factor * c.largest, samples=samples)
        for (c, sign, factor), samples in zip(conditions, groups, strict=True)
    ]
    return SteeringTables(prompts=tuple(prompts), unsteered=unsteered, tables=tuple(tables))


def _sample(
    pair: Pair, prompts: Sequence[str], steerings: Sequence[Steering | None], config: PcaConfig, track: Track
) -> list[tuple[tuple[str, ...], ...]]:
    """Samples by steering and prompt; rows of different steering share batches."""
    target = pair.finetuned
    rendered = [target.network.render_chat([{"role": "user", "content": prompt}]) for prompt in prompts]
    repeated = [text for text in rendered for _ in range(config.samples)]
    requests = [
        Request(
            text,
            adapter=target.adapter,
            max_tokens=config.sample_tokens,
            temperature=config.temperature,
            seed=config.seed + i,
            steering=steering,
        )
        for steering in steerings
        for i, text in enumerate(repeated)
    ]
    texts = [completion.text.strip() for completion in target.network.generate_all(requests, track=track)]
    by_prompt = [tuple(texts[i : i + config.samples]) for i in range(0, len(texts), config.samples)]
    return [tuple(by_prompt[i : i + len(prompts)]) for i in range(0, len(by_prompt), len(prompts))]
