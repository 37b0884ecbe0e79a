"""Steering the finetuned model along a mean difference, at a strength found by binary search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...models.requests import Request, Steering
from ..registry import Track, untracked
from .coherence import coherent, negative_log_likelihoods
from .config import AdlConfig
from .differences import PositionMeans

if TYPE_CHECKING:
    import torch

    from ...models.targets import Pair, Target
    from ..activations.corpus import Corpus

__all__ = ["binary_search", "steering_samples"]


def steering_samples(
    pair: Pair, corpus: Corpus, means: PositionMeans, config: AdlConfig, track: Track
) -> list[dict[str, Any]]:
    """For each steered position its strength and, for each prompt, steered beside unsteered samples."""
    target = pair.finetuned
    prompts = corpus.prompts(config.prompts)
    if not prompts:
        return []
    rendered = [target.network.render_chat([{"role": "user", "content": prompt}]) for prompt in prompts]
    positions = [p for p in config.steered_positions if p in means.base and float(means.difference(p).norm()) > 0]
    if not positions:
        return []
    repeated = [text for text in rendered for _ in range(config.samples)]
    unsteered = _sample(target, repeated, None, config, track)
    search = rendered[: config.search_samples]
    reference = _reference(target, pair.base, search, config)
    tables = []
    for position in track(positions, "adl: steering"):
        vector = means.difference(position)

        def passes(strength: float, vector: torch.Tensor = vector) -> bool:
            samples = _sample(target, search, _steering(means, vector, strength), config)
            nlls = negative_log_likelihoods(pair.base, search, samples, config.batch_size)
            good = sum(coherent(s, nll, reference) for s, nll in zip(samples, nlls, strict=True))
            return good >= config.coherent_share * len(search)

        strength = binary_search(passes, config.strength_max, config.search_steps)
        steered = _sample(target, repeated, _steering(means, vector, strength), config)
        tables.append(
            {
                "position": str(position),
                "strength": strength,
                "samples": [
                    {"prompt": prompt, "steered": steered[cut], "unsteered": unsteered[cut]}
                    for i, prompt in enumerate(prompts)
                    for cut in [slice(i * config.samples, (i + 1) * config.samples)]
                ],
            }
        )
    return tables


def binary_search(passes: Any, upper: float, steps: int) -> float:
    """Largest strength in [0, upper] found to pass, by halving; 0 when none did.

    Assumes that what passes at a strength passes below it; sampling noise may break that, as in the published search.
    """
    low, high = 0.0, upper
    for _ in range(steps):
        middle = (low + high) / 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low


def _reference(target: Target, base: Target, search: Sequence[str], config: AdlConfig) -> float:
    """Mean negative log-likelihood of unsteered samples under the base model."""
    samples = _sample(target, search, None, config)
    values = [v for v in negative_log_likelihoods(base, search, samples, config.batch_size) if v != float("inf")]
    return sum(values) / len(values) if values else float("inf")


def _steering(means: PositionMeans, vector: torch.Tensor, strength: float) -> Steering:
    return Steering(means.layer, vector * strength)


def _sample(
    target: Target, prompts: Sequence[str], steering: Steering | None, config: AdlConfig, track: Track = untracked
) -> list[str]:
    requests = [
        Request(
            prompt,
            adapter=target.adapter,
            max_tokens=config.sample_tokens,
            temperature=config.temperature,
            seed=config.seed + i,
            steering=steering,
        )
        for i, prompt in enumerate(prompts)
    ]
    completions = target.network.generate_all(requests, track=track)
    return [completion.text.strip() for completion in completions]
