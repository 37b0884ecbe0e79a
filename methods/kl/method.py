"""Per-token KL divergence between the finetuned and the base model on the same texts.

KL(p_finetuned || p_base) of the next-token distributions at temperature 1, for each token; per-text mean and
maximum; the top texts by each with their per-token values. Source: the KL method of science-of-finetuning's
diffing toolkit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...models.targets import Pair
from ...records.errors import MendableError
from ...records.progress import Track, untracked
from ...views.panels import Panel
from ..activations.corpus import Corpus
from ..activations.passes import Need
from ..artifact import Artifact, Content
from ..contract import Labels, PassMethod
from ..evidence.evidence import Evidence
from ..evidence.ranked_texts import ranked_texts
from ..notes import scaled_down
from .collector import KlCollector
from .config import KlConfig
from .payload import KlPayload
from .pictures import pictures

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

__all__ = ["METHOD", "KlMethod"]

_OVERVIEW_TEXTS = 12
_EVIDENCE_TEXTS = 20


class KlMethod(PassMethod[KlConfig, KlPayload, KlCollector]):
    """The method ``kl``."""

    name = "kl"
    config_type = KlConfig
    payload_type = KlPayload

    def collector(self, pair: Pair, corpus: Corpus, config: KlConfig) -> KlCollector:
        """Gathers the KL of each token and keeps the texts that diverge most."""
        return KlCollector(Need(logits=True, max_texts=config.max_texts, max_tokens=config.max_tokens), config)

    def content(
        self, pair: Pair, corpus: Corpus, config: KlConfig, collector: KlCollector, track: Track = untracked
    ) -> Content:
        """Totals, and the kept texts with their per-token values."""
        if not collector.texts:
            raise MendableError(f"max_tokens {config.max_tokens} cuts every chat before its first word; raise it")
        notes = scaled_down(config, KlConfig(), collector.texts)
        return Content(collector.payload(pair.tokenizer), notes=tuple(notes))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Totals and the texts that diverge most, with their most divergent tokens."""
        payload = self.payload(artifact)
        total = payload.summary
        lines = [
            f"Per-token KL({labels.finetuned} || {labels.base}) of the next-token distributions, in nats, over "
            f"{total.texts} texts and chats ({total.tokens} tokens).",
            f"mean {total.mean:.4f}, median {total.median:.4f}, 99th percentile {total.p99:.3f}, "
            f"maximum {total.max:.3f}; chats {total.mean_chat:.4f}, plain texts {total.mean_text:.4f}",
        ]
        if total.no_difference:
            return "\n".join([*lines, "The two models give exactly the same probabilities everywhere."])
        lines.append("\nTexts by mean KL (the tokens after which the models differ most in brackets):")
        lines += [
            f"- {text.mean:.3f} (max {text.max:.2f}) [{text.kind}] {text.marked()}"
            for text in payload.top("mean")[:_OVERVIEW_TEXTS]
        ]
        return "\n".join(lines)

    def evidence(self, artifact: Artifact) -> Evidence:
        """The texts of largest mean KL against the rest of the corpus."""
        payload = self.payload(artifact)
        total = payload.summary
        if total.no_difference:
            return Evidence(no_difference="probabilities", note="The per-token KL is zero on every text.")
        texts = payload.top("mean")
        half = max(1, min(_EVIDENCE_TEXTS, len(texts) // 2))
        note = f"Mean per-token KL {total.mean:.3f} nats, maximum {total.max:.2f}."
        return ranked_texts(artifact, texts[:half], texts[half:], total.texts, note=note)

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """Readers of the texts and of one text's tokens."""
        from .readers import kl_text, kl_texts

        return [kl_texts(open_artifact), kl_text(open_artifact)]

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """A summary, then the top texts by mean and by maximum."""
        return pictures(self.payload(artifact), labels)


METHOD = KlMethod()
