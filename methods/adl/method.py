"""Activation difference lens: mean activation differences, read by logit lens, by patchscope and by steering.

Source: "Narrow Finetuning Leaves Clearly Readable Traces in Activation Differences" (arXiv 2510.13900) and the
diffing toolkit of science-of-finetuning. Token relevance (``relevance.py``) and the causal effect (``causal.py``) read
the ground truth: they are reports on an artifact and no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...records.progress import Track, untracked
from ..artifact import Artifact, Content
from ..contract import Labels, PassMethod
from ..evidence.evidence import Evidence
from .config import AdlConfig
from .evidence import evidence_of
from .notes import notes_of
from .overview import overview_text
from .payload import AdlPayload

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

    from ...models.targets import Pair
    from ...views.panels import Panel
    from ..activations.corpus import Corpus
    from .differences import DifferenceCollector

__all__ = ["METHOD", "AdlMethod"]


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

        from .lens import lens_rows
        from .patchscope import patchscope_of
        from .steering import steering_samples

        means = collector.means()
        positions = list(means.base)
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
            "difference": torch.stack([means.difference(p) for p in positions]),
            "base": torch.stack([means.base[p] for p in positions]),
            "finetuned": torch.stack([means.finetuned[p] for p in positions]),
        }
        return Content(payload, tensors, notes_of(config, corpus))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Norms and the lens of each position, then some steered samples beside unsteered ones."""
        return overview_text(self.payload(artifact), labels)

    def evidence(self, artifact: Artifact) -> Evidence:
        """Steered samples against unsteered ones, and tokens of the difference that the base itself does not show."""
        return evidence_of(self.payload(artifact))

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """Readers of lens, patchscope and samples; steering where the case has interactions and the weights."""
        from .readers import toolset

        return toolset(open_artifact, labels)

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """Norms, lens of the difference, patchscope, steered samples, and last the controls."""
        from .pictures import pictures

        return pictures(self.payload(artifact), labels)


METHOD = AdlMethod()
