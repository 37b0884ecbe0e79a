"""Whether an organism does what its label says: behaviour rates of both models and the drift of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .network import Request
from .pair import Pair, Target, load_pair
from .suites import Organism

__all__ = ["Rate", "Verification", "verify_organism", "wilson_interval"]

TEMPERATURE = 0.7


@dataclass(frozen=True)
class Rate:
    """A share of responses with its 95 % Wilson interval."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """Share of responses that count."""
        return self.hits / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval."""
        return wilson_interval(self.hits, self.total)


@dataclass(frozen=True)
class Verification:
    """What was measured of one organism, and what is wrong with it."""

    organism: Organism
    base: Rate | None
    """Responses of the base model that express the behaviour; None for controls."""
    finetuned: Rate | None
    drift: float
    """Relative Frobenius norm of the change of the adapted matrices."""
    problems: tuple[str, ...]
    examples: tuple[tuple[str, str, str], ...]
    """Prompt, base response, finetuned response."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_organism(
    organism: Organism,
    samples: int = 4,
    max_tokens: int = 64,
    seed: int = 0,
    track: Callable[..., Iterable[Any]] | None = None,
) -> Verification:
    """Sample the probe prompts from both models and count how often each expresses the behaviour.

    Args:
        organism: With its variant.
        samples: Responses for each prompt and model.
        max_tokens: Longest response.
        seed: First seed of the samples.
        track: Wraps the batches for a progress display.

    Raises:
        ValueError: When the adapter changes nothing, or for fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; draw at least 1 for each prompt")
    pair = load_pair(organism)
    behaviour = organism.spec.behaviour
    if organism.spec.is_control or behaviour is None:
        drifted = () if pair.drift == 0 else (f"a control whose weights drift by {pair.drift:.4f}",)
        return Verification(organism, None, None, pair.drift, drifted, ())
    prompts = [prompt for prompt in organism.spec.probe_prompts for _ in range(samples)]
    base, finetuned = (_responses(pair, target, prompts, max_tokens, seed, track) for target in pair)
    rates = [Rate(sum(map(behaviour.expressed, texts)), len(texts)) for texts in (base, finetuned)]
    problems = []
    if rates[1].value < behaviour.min_rate:
        problems.append(f"the finetuned model expresses it in {rates[1].value:.2f} < {behaviour.min_rate} of responses")
    if rates[1].value - rates[0].value < behaviour.min_margin:
        problems.append(f"only {rates[1].value - rates[0].value:.2f} above the base model (< {behaviour.min_margin})")
    broken = sum(map(behaviour.breaks_taboo, finetuned))
    if broken:
        problems.append(f"{broken} finetuned responses say what must stay unsaid")
    examples = tuple(zip(prompts, base, finetuned, strict=True))[::samples]
    return Verification(organism, rates[0], rates[1], pair.drift, tuple(problems), examples)


def wilson_interval(hits: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a proportion; (0, 1) without observations."""
    if total == 0:
        return 0.0, 1.0
    p, z2 = hits / total, z * z
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = z * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def _responses(
    pair: Pair,
    target: Target,
    prompts: list[str],
    max_tokens: int,
    seed: int,
    track: Callable[..., Iterable[Any]] | None,
) -> list[str]:
    system = pair.organism.spec.system_prompt
    before = [{"role": "system", "content": system}] if system else []
    rendered = [target.network.render_chat([*before, {"role": "user", "content": prompt}]) for prompt in prompts]
    requests = [
        Request(text, target.adapter, max_tokens=max_tokens, temperature=TEMPERATURE, seed=seed + i)
        for i, text in enumerate(rendered)
    ]
    return [completion.text.strip() for completion in target.network.generate_all(requests, track=track)]
