"""Activation difference lens: mean activation differences, read by logit lens, by patchscope and by steering.

Source: "Narrow Finetuning Leaves Clearly Readable Traces in Activation Differences" (arXiv 2510.13900) and the
diffing toolkit of science-of-finetuning. Token relevance (``relevance.py``) and the causal effect (``causal.py``) read
the ground truth: they are reports on an artifact and no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..artifact import Artifact, Content
from ..executors import diff_by_pass
from ..registry import Labels, MethodConfig, Track, untracked
from .config import AdlConfig, Position
from .patchscope import overview_lines, patchscope_notes, patchscope_table

if TYPE_CHECKING:
    from ...models.targets import Pair
    from ..activations.corpus import Corpus
    from .differences import DifferenceCollector

__all__ = ["METHOD", "AdlConfig", "AdlMethod", "Position", "readable"]

_OVERVIEW_TOKENS = 20
_OVERVIEW_SAMPLES = 6
_OVERVIEW_CHARACTERS = 260


@dataclass(frozen=True)
class AdlMethod:
    """The method ``adl``."""

    name: str = "adl"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = AdlConfig

    def diff(self, pair: Pair, corpus: Corpus, config: AdlConfig, track: Track = untracked) -> Content:
        """Mean differences, logit lens with controls, steering samples at a searched strength."""
        return diff_by_pass(self, pair, corpus, config, track, config.batch_size)

    def collector(self, pair: Pair, corpus: Corpus, config: AdlConfig) -> DifferenceCollector:
        """Averages the residual streams of both models at the first positions."""
        from .differences import DifferenceCollector

        return DifferenceCollector(pair, corpus, config)

    def content(
        self, pair: Pair, corpus: Corpus, config: AdlConfig, collector: DifferenceCollector, track: Track = untracked
    ) -> Content:
        """Logit lens and patchscope of the mean differences with controls, steered samples at a searched strength."""
        import torch

        from .lens import lens_tables
        from .steering import steering_samples

        means = collector.means()
        positions = list(means.base)
        payload: dict[str, Any] = {
            "layer": means.layer,
            "layers": len(pair.base.network.layers),
            "norm_reference": means.norm_reference,
            "positions": lens_tables(pair, means, config),
            "steering": steering_samples(pair, corpus, means, config, track),
        }
        if config.patchscope is not None:
            payload["patchscope"] = patchscope_table(pair, means, config.patchscope, track)
        tensors = {
            "difference": torch.stack([means.difference(p) for p in positions]),
            "base": torch.stack([means.base[p] for p in positions]),
            "finetuned": torch.stack([means.finetuned[p] for p in positions]),
        }
        return Content(payload, tensors, _notes(config, corpus))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Norms and the lens of each position, then some steered samples beside unsteered ones."""
        payload = artifact.payload()
        positions = payload["positions"]
        lines = [
            f"Mean activation difference d = mean(h_{labels.finetuned} - h_{labels.base}) after layer "
            f"{payload['layer']} of {payload['layers']}, at the first tokens of texts (text:j) and from the header of "
            f"the assistant's turn (chat:j). Norms are relative to the mean |h_{labels.finetuned}|.",
        ]
        if all(row["difference_norm"] == 0 for row in positions):
            return "\n".join([*lines, "Every difference is exactly zero: the two models compute the same activations."])
        lines.append("\nLogit lens of +d, most probable tokens first:")
        for row in positions:
            tokens = readable(row["lens"].get("difference", []), _OVERVIEW_TOKENS)
            lines.append(f"- {row['position']} (relative norm {row['relative_norm']:.3f}): {tokens}")
        lines.append(f"\nThe same lens of the mean h_{labels.base} itself, as a control:")
        lines += [f"- {row['position']}: {readable(row['lens']['base'], 8)}" for row in positions]
        if payload.get("patchscope"):
            lines += overview_lines(payload["patchscope"], labels)
        lines += _steering_lines(payload["steering"], labels)
        return "\n".join(lines)


def readable(table: list[list[Any]], n: int) -> str:
    """Tokens of a lens on one line, quoted, most probable first."""
    return " ".join(repr(token) for token, _ in table[:n])


def _steering_lines(tables: list[dict[str, Any]], labels: Labels) -> list[str]:
    lines = []
    for table in tables:
        lines.append(
            f"\nSamples of {labels.finetuned} steered by {table['strength']:.2f} x d at {table['position']}, "
            "each beside an unsteered one:"
        )
        step = max(1, len(table["samples"]) // _OVERVIEW_SAMPLES)
        for row in table["samples"][::step][:_OVERVIEW_SAMPLES]:
            lines.append(f"- prompt: {row['prompt']}")
            lines.append(f"  steered: {_short(row['steered'][0])}")
            lines.append(f"  unsteered: {_short(row['unsteered'][0])}")
    return lines


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _OVERVIEW_CHARACTERS else flat[:_OVERVIEW_CHARACTERS] + " …"


def _notes(config: AdlConfig, corpus: Corpus) -> tuple[str, ...]:
    notes = ["coherence judged by a deterministic stand-in (repetition and likelihood), not by an LLM"]
    published = AdlConfig()
    used = min(len(corpus.texts), config.max_texts)
    if used < published.max_texts:
        notes.append(f"scaled down: means over {used} texts (published: {published.max_texts:,})")
    fields = ("search_steps", "search_samples", "sample_tokens", "prompts", "samples", "temperature", "strength_max")
    changed = [
        f"{f} {getattr(config, f)} ({getattr(published, f)})"
        for f in fields
        if getattr(config, f) != getattr(published, f)
    ]
    if changed:
        notes.append("scaled down, published value in brackets: " + ", ".join(changed))
    if config.steered_positions != published.steered_positions:
        notes.append("steered positions: " + ", ".join(map(str, config.steered_positions)))
    return (*notes, *patchscope_notes(config.patchscope))


METHOD = AdlMethod()
