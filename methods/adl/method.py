"""Activation difference lens: mean activation differences, read by logit lens, by patchscope and by steering.

Source: "Narrow Finetuning Leaves Clearly Readable Traces in Activation Differences" (arXiv 2510.13900) and the
diffing toolkit of science-of-finetuning. Token relevance (``relevance.py``) and the causal effect (``causal.py``) read
the ground truth: they are reports on an artifact and no part of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...models.targets import Pair
from ...organisms.suites import Organism
from ...records.errors import MendableError
from ...records.progress import Track, untracked
from ...views.panels import Panel
from ..activations.corpus import Corpus
from ..artifact import Artifact, Content
from ..contract import Labels, PassMethod
from ..evidence.evidence import Evidence, EvidenceText, EvidenceToken
from ..notes import changed_settings, in_brackets
from ..reading import TopTokens, opening_word, quoted_top, shortened
from .config import AdlConfig, PatchscopeConfig
from .judges import EmbeddingCoherence
from .payload import CONTROL_TOKENS, LEAST_POSITIONS, AdlPayload, Patchscope, SteeringTable
from .pictures import pictures

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

    from .differences import DifferenceCollector

__all__ = ["METHOD", "AdlMethod", "patchscope_notes", "require_adl_artifact"]

_OVERVIEW_TOKENS = 20
_OVERVIEW_CONTROL_TOKENS = 8
_OVERVIEW_SAMPLES = 6
_OVERVIEW_CHARACTERS = 260
_EVIDENCE_TOKENS = 40


class AdlMethod(PassMethod[AdlConfig, AdlPayload, "DifferenceCollector"]):
    """The method ``adl``."""

    name = "adl"
    spending = ("steer",)
    config_type = AdlConfig
    payload_type = AdlPayload

    def collector(self, pair: Pair, corpus: Corpus, config: AdlConfig) -> DifferenceCollector:
        """Averages the residual streams of both models at the first positions."""
        from .differences import DifferenceCollector

        return DifferenceCollector(pair, corpus, config)

    def content(
        self, pair: Pair, corpus: Corpus, config: AdlConfig, collector: DifferenceCollector, track: Track = untracked
    ) -> Content:
        """Logit lens and patchscope of the mean differences with controls, steered samples at a searched strength."""
        import torch

        from .differences import lens_rows
        from .patchscope import patchscope_of
        from .steering import steering_samples

        means = collector.means()
        payload = AdlPayload(
            layer=means.layer,
            layers=len(pair.base.network.layers),
            norm_reference=means.norm_reference,
            positions=tuple(lens_rows(pair, means, config)),
            steering=tuple(steering_samples(pair, corpus, means, config, track)),
        )
        if config.patchscope is not None:
            payload = payload.model_copy(update={"patchscope": patchscope_of(pair, means, config.patchscope, track)})
        tensors = {
            "difference": torch.stack([means.difference(p) for p in means.base]),
            "base": torch.stack(list(means.base.values())),
            "finetuned": torch.stack(list(means.finetuned.values())),
        }
        return Content(payload, tensors, _notes(config, corpus))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Norms, lens and patchscope of each position, then some steered samples beside unsteered ones."""
        payload = self.payload(artifact)
        lines = [f"{payload.told(labels)} Norms are relative to the mean |h_{labels.finetuned}|."]
        if payload.no_difference:
            return "\n".join([*lines, "Every difference is exactly zero: the two models compute the same activations."])
        lines.append("\nLogit lens of +d, most probable tokens first:")
        for row in payload.positions:
            tokens = quoted_top(row.lens.difference, _OVERVIEW_TOKENS)
            lines.append(f"- {row.position} (relative norm {row.relative_norm:.3f}): {tokens}")
        lines.append(f"\nThe same lens of the mean h_{labels.base} itself, as a control:")
        lines += [f"- {r.position}: {quoted_top(r.lens.base, _OVERVIEW_CONTROL_TOKENS)}" for r in payload.positions]
        if payload.patchscope:
            lines += _patchscope_lines(payload.patchscope, labels)
        return "\n".join([*lines, *_steering_lines(payload.steering, labels)])

    def evidence(self, artifact: Artifact) -> Evidence:
        """Steered samples against unsteered ones, and tokens of the difference that the base itself does not show."""
        payload = self.payload(artifact)
        if payload.no_difference:
            note = "The mean activation difference is zero at every position."
            return Evidence(no_difference="activations", note=note)
        middle = statistics.median(row.relative_norm for row in payload.positions)
        return Evidence(
            focus=tuple(_texts(payload.steering, steered=True)),
            # Every table repeats the unsteered samples.
            contrast=tuple(_texts(payload.steering[:1], steered=False)),
            tokens=tuple(_pointed_at(payload)),
            note=f"The mean activation difference is {middle:.2f} of the typical activation norm "
            "(median over positions).",
        )

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """Readers of lens, patchscope and samples; steering where the case has interactions and the weights."""
        from .readers import toolset

        return toolset(open_artifact, labels)

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """Norms, lens of the difference, patchscope, steered samples, and last the controls."""
        return pictures(self.payload(artifact), labels)


def require_adl_artifact(artifact: Artifact, organism: Organism) -> None:
    """Refuse an artifact of another method or pair.

    Raises:
        MendableError: Naming what it is.
    """
    manifest = artifact.manifest
    if manifest.method != "adl":
        raise MendableError(f"artifact {artifact.key} is of method {manifest.method}; give one of adl")
    for side, found in (("base", manifest.base), ("finetuned", manifest.finetuned)):
        if found != organism.identity(side):
            raise MendableError(
                f"artifact {artifact.key} belongs to another {side} model than {organism.id} has; "
                f"compute one with: diffbench diff {organism.id} --method adl"
            )


def _patchscope_lines(patchscope: Patchscope, labels: Labels) -> Iterator[str]:
    if not any(row.difference for row in patchscope.rows):
        return
    yield (
        f"\nPatchscope of +d in {labels.finetuned} (d in place of a token that the model is to repeat), at the scale "
        "that a judge found most coherent; tokens that it found to belong together before the bar, the others after:"
    )
    for row in patchscope.rows:
        if row.difference:
            yield f"- {row.position} {row.difference.told(_OVERVIEW_TOKENS)}"
    yield f"\nThe same of the mean h_{labels.base} in {labels.base}, as a control:"
    for row in patchscope.rows:
        if row.base:
            tokens = quoted_top(row.base.tokens, _OVERVIEW_CONTROL_TOKENS)
            yield f"- {row.position} (scale {row.base.scale:g}): {tokens}"


def _steering_lines(tables: Sequence[SteeringTable], labels: Labels) -> Iterator[str]:
    for table in tables:
        yield (
            f"\nSamples of {labels.finetuned} steered by {table.strength:.2f} x d at {table.position}, "
            "each beside an unsteered one:"
        )
        step = max(1, len(table.samples) // _OVERVIEW_SAMPLES)
        for row in table.samples[::step][:_OVERVIEW_SAMPLES]:
            yield f"- prompt: {row.prompt}"
            yield f"  steered: {shortened(row.steered[0], _OVERVIEW_CHARACTERS)}"
            yield f"  unsteered: {shortened(row.unsteered[0], _OVERVIEW_CHARACTERS)}"


def _texts(tables: Sequence[SteeringTable], steered: bool) -> list[EvidenceText]:
    return [
        EvidenceText(text=text, stratum=row.prompt)
        for table in tables
        for row in table.samples
        for text in (row.steered if steered else row.unsteered)
    ]


def _pointed_at(payload: AdlPayload) -> list[EvidenceToken]:
    """Beginnings of words that several positions show and the base's own activations do not.

    A word's strength is its votes in the logit lens, one at most a position. To those of a word that the patchscope's
    judge found to belong with others the number of positions is added, so that it comes before all words of the lens.
    """
    rows = payload.patchscope.rows if payload.patchscope else ()
    patched = [(row.difference.selected, row.base.tokens) for row in rows if row.difference and row.base]
    lenses = [([token for token, _ in row.lens.difference], row.lens.base) for row in payload.positions]
    strengths = {word: votes + len(lenses) for word, votes in _votes(patched).items()}
    for word, votes in _votes(lenses).items():
        strengths.setdefault(word, votes)
    ranked = sorted(strengths, key=lambda word: -strengths[word])
    return [EvidenceToken(token=word, strength=strengths[word]) for word in ranked]


def _votes(readings: Sequence[tuple[Sequence[str], TopTokens]]) -> dict[str, float]:
    """Word -> sum of its reciprocal ranks in the readings, of words in enough of them; each comes with its control."""
    ranks: dict[str, list[float]] = {}
    for tokens, control in readings:
        ordinary = {token for token, _ in control[:CONTROL_TOKENS]}
        for rank, token in enumerate(tokens[:_EVIDENCE_TOKENS], 1):
            word = opening_word(token)
            if word and token not in ordinary:
                ranks.setdefault(word, []).append(1 / rank)
    least = min(LEAST_POSITIONS, len(readings))
    return {word: sum(found) for word, found in ranks.items() if len(found) >= least}


def _notes(config: AdlConfig, corpus: Corpus) -> tuple[str, ...]:
    notes = ["coherence judged by a deterministic stand-in (repetition and likelihood), not by an LLM"]
    published = AdlConfig()
    used = min(len(corpus.texts), config.max_texts)
    if used < published.max_texts:
        notes.append(f"scaled down: means over {used} texts (published: {published.max_texts:,})")
    names = ("search_steps", "search_samples", "sample_tokens", "prompts", "samples", "temperature", "strength_max")
    notes += in_brackets(changed_settings(config, names))
    if config.steered_positions != published.steered_positions:
        notes.append("steered positions: " + ", ".join(map(str, config.steered_positions)))
    return (*notes, *patchscope_notes(config.patchscope))


def patchscope_notes(config: PatchscopeConfig | None) -> list[str]:
    """What is noted of the patchscope: left out, stood in for, or with other settings than published."""
    if config is None:
        return ["without the patchscope"]
    published = PatchscopeConfig()
    notes = [] if config.judge else [f"the patchscope's scales chosen by a {EmbeddingCoherence.name}, not by an LLM"]
    changed = changed_settings(config, ("intersection_top", "tokens"))
    if config.scales != published.scales:
        changed.insert(0, f"scales {len(config.scales)} ({len(published.scales)})")
    notes += in_brackets(changed, "patchscope changed")
    if config.positions != published.positions:
        notes.append("patchscope positions: " + ", ".join(map(str, config.positions)))
    return notes


METHOD = AdlMethod()
