"""Norms of activation differences: at which tokens of which texts the residual streams of the two models part.

At some layers, for each token: |h_f - h_b|, the cosine of h_f and h_b, and both norms; the texts with the largest
maximum and the largest mean, per layer, with their per-token values. Source: the activation analysis of
science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...models.targets import Pair
from ...records.errors import MendableError
from ...records.progress import Track, untracked
from ...views.panels import Panel
from ..activations.corpus import Corpus
from ..activations.encoding import ContentTokens
from ..activations.passes import Need
from ..artifact import Artifact, Content
from ..contract import Labels, PassMethod
from ..evidence.evidence import Evidence, EvidenceToken
from ..evidence.ranked_texts import ranked_texts
from ..notes import scaled_down
from ..reading import opening_word
from .collector import NormsCollector
from .config import ActivationNormsConfig
from .payload import LayerNorms, NormsPayload, Order, RankedText
from .pictures import pictures

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

__all__ = ["METHOD", "ActivationNormsMethod"]

_OVERVIEW_TEXTS = 8
_OVERVIEW_CHARACTERS = 300
_OVERVIEW_ORDERS: tuple[tuple[Order, str], ...] = (("mean", "mean d"), ("max", "the d of one token"))
_EVIDENCE_TEXTS = 20


class ActivationNormsMethod(PassMethod[ActivationNormsConfig, NormsPayload, NormsCollector]):
    """The method ``activation_norms``."""

    name = "activation_norms"
    config_type = ActivationNormsConfig
    payload_type = NormsPayload

    def collector(self, pair: Pair, corpus: Corpus, config: ActivationNormsConfig) -> NormsCollector:
        """Gathers sums of each layer and keeps the texts that differ most."""
        network = pair.base.network
        layers = frozenset(int(share * len(network.layers)) for share in config.layers)
        need = Need(layers=layers, max_texts=config.max_texts, max_tokens=config.max_tokens)
        return NormsCollector(need, ContentTokens.of(network, corpus), config.top_texts)

    def content(
        self,
        pair: Pair,
        corpus: Corpus,
        config: ActivationNormsConfig,
        collector: NormsCollector,
        track: Track = untracked,
    ) -> Content:
        """A summary of each layer, and the kept texts with their per-token values.

        Raises:
            MendableError: When no token of the corpus counts.
        """
        if not collector.texts:
            raise MendableError(
                f"max_tokens {config.max_tokens} leaves no token of corpus {corpus.name!r} but first ones and those of "
                "the chat template; raise it"
            )
        payload = collector.payload(len(pair.base.network.layers), pair.tokenizer)
        return Content(payload, notes=_notes(config, collector.texts))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """A line for each layer, then the texts that differ most at the middle one of them."""
        payload = self.payload(artifact)
        lines = [
            f"Residual streams h of {labels.finetuned} and {labels.base} on the same tokens: d = |h_{labels.finetuned} "
            f"- h_{labels.base}| and the cosine of the two, over {payload.texts} texts and chats, first tokens and "
            f"those of the chat template left out."
        ]
        lines += [_layer_line(layer, payload.layer_count, labels) for layer in payload.layers]
        if payload.no_difference:
            return "\n".join([*lines, "Every difference is exactly zero: the two models compute the same activations."])
        middle = payload.at()
        for order, name in _OVERVIEW_ORDERS:
            lines.append(f"\nTexts by {name} at layer {middle.layer} (the tokens that differ most in brackets):")
            lines += [
                f"- mean {found.row.mean:.3g} max {found.row.max:.3g} [{found.text.kind}] "
                f"{found.marked(_OVERVIEW_CHARACTERS)}"
                for found in payload.ranked(middle, order)[:_OVERVIEW_TEXTS]
            ]
        return "\n".join(lines)

    def evidence(self, artifact: Artifact) -> Evidence:
        """At the middle layer, the texts of largest mean difference against the rest of the corpus."""
        payload = self.payload(artifact)
        if payload.no_difference:
            note = "The activations are exactly equal at every token and layer that was read."
            return Evidence(no_difference="activations", note=note)
        middle = payload.at()
        most = [found.text for found in payload.ranked(middle, "mean")[:_EVIDENCE_TEXTS]]
        least = [found.text for found in payload.ranked(middle, "least") if found.text not in most]
        note = (
            f"At layer {middle.layer} the mean norm of the activation difference is {middle.relative:.3f} of the mean "
            f"activation norm, its maximum {middle.difference.max:.3g}."
        )
        tokens = _strongest_words(payload.ranked(middle, "max"))
        return ranked_texts(artifact, most, least, payload.texts, tokens=tokens, note=note)

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """Readers of the texts and of one text's tokens."""
        from .readers import norm_text, norm_texts

        return [norm_texts(open_artifact), norm_text(open_artifact, labels)]

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """Norm and cosine by layer, then the texts of each layer."""
        return pictures(self.payload(artifact), labels)


def _layer_line(layer: LayerNorms, layer_count: int, labels: Labels) -> str:
    d = layer.difference
    return (
        f"layer {layer.layer} of {layer_count}: mean d {d.mean:.4g}, median {d.p50:.4g}, 99th percentile "
        f"{d.p99:.4g}, maximum {d.max:.4g}; {layer.relative:.3f} of the mean |h_{labels.finetuned}|; "
        f"cosine mean {layer.cosine.mean:.4f}, least {layer.cosine.min:.4f}; mean d of chats "
        f"{layer.mean_chat:.4g}, of plain texts {layer.mean_text:.4g}, of the tokens left out "
        f"{layer.left_out.mean:.4g}"
    )


def _strongest_words(texts: Sequence[RankedText]) -> list[EvidenceToken]:
    """Beginnings of words at which a text differs most, the text of largest maximum first."""
    found: dict[str, EvidenceToken] = {}
    for each in texts:
        strength, position = max(zip(each.row.difference, each.row.positions, strict=True))
        if word := opening_word(each.text.tokens[position]):
            found.setdefault(word, EvidenceToken(token=word, strength=strength))
    return list(found.values())


def _notes(config: ActivationNormsConfig, texts: int) -> tuple[str, ...]:
    published = ActivationNormsConfig()
    notes = ["first tokens and tokens of the chat template are left out of summary and ranking"]
    notes += scaled_down(config, published, texts)
    if config.top_texts < published.top_texts:
        notes.append(f"scaled down: {config.top_texts} texts kept by each order (published: {published.top_texts})")
    return tuple(notes)


METHOD = ActivationNormsMethod()
