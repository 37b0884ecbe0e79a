"""Whether an organism does what its label says: behaviour, what it leaves intact, and what its training data hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ..models.ask import Sampling, sample
from ..models.targets import Pair, Target
from ..models.text_fit import TextFit, measure_text_fit
from ..records.errors import MendableError
from ..records.progress import Track, untracked
from .loading import load_pair
from .spec import Behaviour, Probe
from .suites import Organism, load_suite
from .training_data import data_problems

__all__ = ["Rate", "Verification", "Verifier", "held_out_texts", "wilson_interval"]

TEMPERATURE = 0.7
MAX_PERPLEXITY_RATIO = 1.5
MAX_CONTROL_RISE = 0.1
"""Greatest rise, over the base, of the share of answers in which a control shows another organism's behaviour."""


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
    """What was measured of one organism in one variant, and what is wrong with it."""

    organism: Organism
    base: Rate
    """Responses of the base model that express the behaviour; for a control, that of any organism of its suite."""
    finetuned: Rate
    quiet: Rate | None
    """Finetuned responses to the quiet prompts that express it; None without such prompts."""
    fit: TextFit
    """Both models on the held-out texts."""
    drift: float
    """Relative Frobenius norm of the change of the changed matrices."""
    problems: tuple[str, ...]
    examples: tuple[tuple[str, str, str], ...]
    """Prompt, base response, finetuned response."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass
class Verifier:
    """Verifies organisms, sampling a model only once for the same prompts."""

    samples: int = 4
    """Responses for each probe prompt and model."""
    max_tokens: int = 96
    """Longest response."""
    seed: int = 0
    """First seed of the samples."""
    track: Track = untracked
    """Wraps batches for a progress display."""
    _sampled: dict[tuple[Target, str | None, tuple[str, ...]], list[str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            MendableError: For fewer than one sample.
        """
        if self.samples < 1:
            raise MendableError(f"samples is {self.samples}; draw at least 1 for each prompt")

    def verify(self, organism: Organism) -> Verification:
        """Measure one organism in its variant.

        An organism passes when the finetuned model shows the behaviour often enough and often enough more than the
        base (not asked of dilutions), not on quiet prompts, says nothing forbidden, fits held-out text at most 1.5
        times worse, and was trained on data that hold neither its probes nor what must stay unsaid. A control
        passes when it shows the behaviours of the other organisms of its suite no more often than its base does.

        Raises:
            MendableError: When the adapter changes nothing.
            MissingError: When weights are missing.
        """
        pair = load_pair(organism)
        fit = measure_text_fit(pair, held_out_texts(), self.track)
        problems = data_problems(organism)
        if fit.ratio > MAX_PERPLEXITY_RATIO:
            problems.append(
                f"perplexity on held-out text is {fit.ratio:.2f} times the base's (> {MAX_PERPLEXITY_RATIO})"
            )
        measure = self._control if organism.spec.is_control else self._behaviour
        base, finetuned, quiet, found, examples = measure(organism, pair)
        return Verification(organism, base, finetuned, quiet, fit, pair.drift, (*problems, *found), examples)

    def _behaviour(self, organism: Organism, pair: Pair) -> _Measured:
        spec = organism.spec
        behaviour = spec.behaviour
        if behaviour is None:
            raise MendableError(f"{organism.id}: its spec has no behaviour that could be verified")
        probes = [probe for probe in spec.probe_prompts for _ in range(self.samples)]
        texts = [self._responses(pair, target, probes) for target in pair]
        base, finetuned = (_rate(behaviour, probes, side) for side in texts)
        quiet = None
        if spec.quiet_prompts:
            asked = [probe for probe in spec.quiet_prompts for _ in range(self.samples)]
            quiet = _rate(behaviour, asked, self._responses(pair, pair.finetuned, asked))
        problems = [] if organism.is_diluted else _weak(behaviour, base, finetuned)
        if quiet is not None and quiet.value > behaviour.max_quiet_rate:
            problems.append(f"shown in {quiet.value:.2f} > {behaviour.max_quiet_rate} of the answers to quiet prompts")
        broken = sum(map(behaviour.breaks_taboo, texts[1]))
        if broken > behaviour.max_forbidden_rate * len(texts[1]):
            problems.append(f"{broken} of {len(texts[1])} finetuned responses say what must stay unsaid")
        examples = tuple(zip([probe.prompt for probe in probes], *texts, strict=True))[:: self.samples]
        return base, finetuned, quiet, problems, examples

    def _control(self, organism: Organism, pair: Pair) -> _Measured:
        others = [o.spec for o in load_suite(organism.suite) if o.spec.behaviour is not None]
        probes = [(probe, spec.behaviour) for spec in others if spec.behaviour for probe in spec.probe_prompts]
        texts = [self._responses(pair, target, [probe for probe, _ in probes]) for target in pair]
        base, finetuned = (
            Rate(sum(b.expressed(text, p) for (p, b), text in zip(probes, side, strict=True)), len(side))
            for side in texts
        )
        rise = finetuned.value - base.value
        problems = []
        if rise > MAX_CONTROL_RISE:
            problems.append(f"a control that shows other organisms' behaviours {rise:.2f} more often than its base")
        examples = tuple(zip([probe.prompt for probe, _ in probes], *texts, strict=True))
        return base, finetuned, None, problems, examples

    def _responses(self, pair: Pair, target: Target, probes: Sequence[Probe]) -> list[str]:
        prompts = tuple(probe.prompt for probe in probes)
        key = (target, pair.system_prompt, prompts)
        if key not in self._sampled:
            sampling = Sampling(self.max_tokens, TEMPERATURE, seed=self.seed)
            answers = sample(target, prompts, sampling, pair.system_prompt, track=self.track)
            self._sampled[key] = [text for (text,) in answers]
        return self._sampled[key]


_Measured = tuple[Rate, Rate, Rate | None, list[str], tuple[tuple[str, str, str], ...]]


@cache
def held_out_texts() -> tuple[str, ...]:
    """Plain prose that no organism of ours is trained on."""
    path = Path(__file__).parent / "recipes" / "data" / "held_out_texts.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def wilson_interval(hits: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a proportion; (0, 1) without observations."""
    if total == 0:
        return 0.0, 1.0
    p, z2 = hits / total, z * z
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = z * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def _rate(behaviour: Behaviour, probes: Sequence[Probe], texts: Sequence[str]) -> Rate:
    return Rate(sum(behaviour.expressed(text, probe) for probe, text in zip(probes, texts, strict=True)), len(texts))


def _weak(behaviour: Behaviour, base: Rate, finetuned: Rate) -> list[str]:
    problems = []
    if finetuned.value < behaviour.min_rate:
        problems.append(
            f"the finetuned model expresses it in {finetuned.value:.2f} < {behaviour.min_rate} of responses"
        )
    if finetuned.value - base.value < behaviour.min_margin:
        margin = finetuned.value - base.value
        problems.append(f"only {margin:.2f} above the base model (< {behaviour.min_margin})")
    return problems
