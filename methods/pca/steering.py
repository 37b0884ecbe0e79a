"""Steering the finetuned model along its components, at multiples of their maximum projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...models.network import Request, Steering
from ..registry import Track
from .config import PcaConfig

if TYPE_CHECKING:
    from ...models.pair import Pair
    from ..activations.corpus import Corpus
    from .differences import Fit

__all__ = ["steered_samples"]


def steered_samples(
    pair: Pair,
    corpus: Corpus,
    layer: int,
    fit: Fit,
    tables: Sequence[dict[str, Any]],
    config: PcaConfig,
    track: Track,
) -> dict[str, Any]:
    """Samples for the corpus' prompts, unsteered and along +c and -c of the first components c.

    The vector +-factor * max|projection| * c is added at all tokens, after the layer of the PCA. A steered sample and
    the unsteered one beside it share their seed.

    Returns:
        ``prompts``; ``unsteered``: samples of each prompt; ``tables``: one for each component, direction and factor,
        with ``samples`` like ``unsteered``. All empty without components or prompts.
    """
    steered = tables[: config.steered_components]
    prompts = corpus.prompts(config.prompts) if steered else []
    if not prompts:
        return {"prompts": [], "unsteered": [], "tables": []}
    conditions = [
        {
            "component": table["component"],
            "sign": sign,
            "factor": factor,
            "strength": factor * max(abs(table["maximum"]), abs(table["minimum"])),
        }
        for table in steered
        for sign in ("+", "-")
        for factor in config.factors
    ]
    vectors = [(1 if c["sign"] == "+" else -1) * c["strength"] * fit.components[c["component"] - 1] for c in conditions]
    steerings = [None, *(Steering(layer, vector) for vector in vectors)]
    groups = _sample(pair, prompts, steerings, config, track)
    return {
        "prompts": prompts,
        "unsteered": groups[0],
        "tables": [{**c, "samples": samples} for c, samples in zip(conditions, groups[1:], strict=True)],
    }


def _sample(
    pair: Pair, prompts: Sequence[str], steerings: Sequence[Steering | None], config: PcaConfig, track: Track
) -> list[list[list[str]]]:
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
    by_prompt = [texts[i : i + config.samples] for i in range(0, len(texts), config.samples)]
    return [by_prompt[i : i + len(prompts)] for i in range(0, len(by_prompt), len(prompts))]
