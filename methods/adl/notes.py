"""What the manifest of an artifact of ``adl`` notes: what stood in for something, and what was scaled down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..notes import changed_settings, in_brackets
from .config import AdlConfig, PatchscopeConfig
from .scale_judge import EmbeddingCoherence

if TYPE_CHECKING:
    from ..activations.corpus import Corpus

__all__ = ["notes_of", "patchscope_notes"]


def notes_of(config: AdlConfig, corpus: Corpus) -> tuple[str, ...]:
    """The notes of an artifact that was computed with some settings on a corpus."""
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
