"""Principal components of activation differences, read by their extreme texts, by logit lens and by steering.

Incremental PCA (Ross et al. 2008, as in scikit-learn) on the raw differences h_f - h_b of the residual streams at one
layer. Source: the PCA method of science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...records.errors import MendableError
from ...records.progress import Track, untracked
from ..activations.top_texts import ContentTokens
from ..artifact import Artifact, Content
from ..contract import Labels, PassMethod
from ..evidence.evidence import Evidence
from ..notes import changed_settings, in_brackets, scaled_down
from .config import PcaConfig
from .evidence import evidence_of
from .overview import overview_text
from .payload import PcaPayload

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

    from ...models.targets import Pair
    from ...views.panels import Panel
    from ..activations.corpus import Corpus
    from .differences import DifferencesCollector

__all__ = ["METHOD", "PcaMethod"]


class PcaMethod(PassMethod[PcaConfig, PcaPayload, "DifferencesCollector"]):
    """The method ``pca``."""

    name = "pca"
    config_type = PcaConfig
    payload_type = PcaPayload

    def collector(self, pair: Pair, corpus: Corpus, config: PcaConfig) -> DifferencesCollector:
        """Fits the components and draws the texts to be projected."""
        from ..activations.passes import Need
        from .differences import DifferencesCollector

        network = pair.base.network
        layer = int(config.layer * len(network.layers))
        need = Need(frozenset({layer}), max_texts=config.max_texts, max_tokens=config.max_tokens)
        return DifferencesCollector(need, ContentTokens.of(network, corpus), config)

    def content(
        self,
        pair: Pair,
        corpus: Corpus,
        config: PcaConfig,
        collector: DifferencesCollector,
        track: Track = untracked,
    ) -> Content:
        """Variances, extreme texts and lenses of the components, then steered samples.

        Raises:
            MendableError: For too few tokens.
        """
        from .steering import steered_samples
        from .tables import component_tables

        fit = collector.fit()
        sample = collector.sample.kept()
        if not sample:
            raise MendableError(
                f"max_tokens {config.max_tokens} leaves no token of corpus {corpus.name!r} but first ones and those of "
                "the chat template; raise it"
            )
        components, rows = component_tables(pair, fit, sample, config)
        payload = PcaPayload(
            layer=collector.layer,
            layer_count=len(pair.base.network.layers),
            texts=collector.texts,
            tokens=collector.tokens,
            largest_difference=collector.largest,
            mean_norm=float(fit.mean.norm()),
            components=tuple(components),
            rows=tuple(rows),
            steering=steered_samples(pair, corpus, collector.layer, fit, components, config, track),
        )
        tensors = {"components": fit.components, "mean": fit.mean, "explained_variance": fit.variance}
        return Content(payload, tensors, _notes(pair, config, collector))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Variance and lens of each component; extreme texts and steered samples of the first ones."""
        return overview_text(self.payload(artifact), labels)

    def evidence(self, artifact: Artifact) -> Evidence:
        """Steered samples against unsteered ones and the lens of the first components; without samples, texts."""
        return evidence_of(self.payload(artifact))

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """Readers of the components, of the texts at their ends, and of the steered samples."""
        from .readers import toolset

        return toolset(open_artifact, labels)

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """Explained variance, then for each component its lens, its extreme texts and its samples."""
        from .pictures import pictures

        return pictures(self.payload(artifact), labels)


def _notes(pair: Pair, config: PcaConfig, collector: DifferencesCollector) -> tuple[str, ...]:
    notes = [
        "texts are ranked at their content only, not at first tokens nor at those of the chat template",
        "the finetuned model is steered, at all tokens (published: the base too, and at the prompt only); the prompts "
        "are the corpus' own",
    ]
    if config.fit_tokens == "content":
        notes.append("fitted to content tokens only (published: to all tokens)")
    notes += scaled_down(config, PcaConfig(), collector.texts)
    if collector.sample.left_out:
        seen = len(collector.sample.kept())
        notes.append(f"extreme texts come from a seeded sample of {seen} of {seen + collector.sample.left_out} texts")
    if config.batch_tokens < min(pair.base.network.d_model, collector.tokens):
        notes.append(f"fitted in steps of {config.batch_tokens} tokens, fewer than dimensions: an approximation")
    names = ("components", "top_texts", "steered_components", "prompts", "samples", "sample_tokens", "temperature")
    changed = changed_settings(config, names)
    if config.factors != PcaConfig().factors:
        changed.append(f"factors {list(config.factors)} ({list(PcaConfig().factors)})")
    return (*notes, *in_brackets(changed, "other than published"))


METHOD = PcaMethod()
