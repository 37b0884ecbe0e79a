"""Steering the finetuned model along a mean difference, at a strength found by binary search.

A deterministic stand-in judges whether the search's samples are coherent. A sample is when it does not loop (share of
repeated three-token windows at most 0.3) and the unsteered base model does not find it far less likely than unsteered
samples: mean negative log-likelihood at most 1.5 nats a token above their mean. The published search asks an LLM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from ...models.ask import Sampling, render, sample
from ...models.requests import Steering
from ...models.targets import Pair, Target
from ...records.progress import Track
from ..activations.corpus import Corpus
from ..activations.encoding import Encoded, batches
from ..activations.lens import final_hidden, unembed
from ..reading import repeated_share
from .config import AdlConfig
from .differences import PositionMeans
from .payload import SteeredPrompt, SteeringTable

__all__ = ["binary_search", "coherent", "negative_log_likelihoods", "steering_samples"]

MAX_REPEATED = 0.3
MAX_EXCESS_NATS = 1.5

_BATCH_SIZE = 32
"""Samples whose likelihood is computed at once."""


def steering_samples(
    pair: Pair, corpus: Corpus, means: PositionMeans, config: AdlConfig, track: Track
) -> list[SteeringTable]:
    """For each steered position its strength and, for each prompt, steered beside unsteered samples.

    A steered sample and the unsteered one beside it share their seed.
    """
    prompts = corpus.prompts(config.prompts)
    positions = [p for p in config.steered_positions if p in means.base and float(means.difference(p).norm()) > 0]
    if not prompts or not positions:
        return []
    sampling = Sampling(config.sample_tokens, config.temperature, config.samples, config.seed)
    sampled = partial(sample, pair.finetuned, prompts, sampling, pair.system_prompt)
    unsteered = sampled(track=track)
    search = _Search(pair, prompts[: config.search_samples], means.layer, config)
    tables = []
    for position in track(positions, "adl: steering"):
        vector = means.difference(position)
        strength = binary_search(partial(search.passes, vector), config.strength_max, config.search_steps)
        steered = sampled(steering=Steering(means.layer, vector * strength))
        rows = tuple(
            SteeredPrompt(prompt=prompt, steered=tuple(ours), unsteered=tuple(others))
            for prompt, ours, others in zip(prompts, steered, unsteered, strict=True)
        )
        tables.append(SteeringTable(position=str(position), strength=strength, samples=rows))
    return tables


def binary_search(passes: Callable[[float], bool], upper: float, steps: int) -> float:
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


class _Search:
    """Draws one sample for each of some prompts at a strength, and tells whether enough of them are coherent."""

    def __init__(self, pair: Pair, prompts: Sequence[str], layer: int, config: AdlConfig) -> None:
        self._pair, self._prompts, self._layer, self._config = pair, prompts, layer, config
        values = [nll for _, nll in self._samples(None) if nll != float("inf")]
        self._reference = sum(values) / len(values) if values else float("inf")
        """Mean negative log-likelihood of unsteered samples under the base model."""

    def passes(self, vector: torch.Tensor, strength: float) -> bool:
        """Whether the share of coherent samples is as the settings ask for, with ``strength * vector`` added."""
        samples = self._samples(Steering(self._layer, vector * strength))
        good = sum(coherent(text, nll, self._reference) for text, nll in samples)
        return good >= self._config.coherent_share * len(samples)

    def _samples(self, steering: Steering | None) -> list[tuple[str, float]]:
        """A sample for each prompt with its mean negative log-likelihood under the base model."""
        pair, config = self._pair, self._config
        sampling = Sampling(config.sample_tokens, config.temperature, seed=config.seed)
        answers = sample(pair.finetuned, self._prompts, sampling, pair.system_prompt, steering=steering)
        texts = [text for (text,) in answers]
        rendered = render(pair.finetuned, self._prompts, pair.system_prompt)
        nlls = negative_log_likelihoods(pair.base, rendered, texts, _BATCH_SIZE)
        return list(zip(texts, nlls, strict=True))


def coherent(sample: str, nll: float, reference_nll: float) -> bool:
    """Whether a sample neither loops nor is far less likely than the reference."""
    words = sample.split()
    return len(words) >= 3 and repeated_share(words) <= MAX_REPEATED and nll <= reference_nll + MAX_EXCESS_NATS


def negative_log_likelihoods(
    target: Target, prompts: Sequence[str], samples: Sequence[str], batch_size: int
) -> list[float]:
    """Mean negative log-likelihood a token of each sample after its prompt, in nats; infinite for an empty one."""
    network = target.network
    values = [float("inf")] * len(samples)
    items = []
    for i, texts in enumerate(zip(prompts, samples, strict=True)):
        before, after = (network.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
        if after:
            items.append(Encoded(i, "text", (*before, *after), answer_start=len(before)))
    for chunk, ids, mask in batches(items, network, batch_size):
        hidden = final_hidden(target, ids, mask)
        for row, item in enumerate(chunk):
            first, last = item.answer_start, len(item.ids)
            log_p = unembed(target, hidden[row, first - 1 : last - 1]).log_softmax(-1)
            chosen = log_p.gather(1, ids[row, first:last].unsqueeze(1))
            values[item.index] = -float(chosen.mean())
    return values
