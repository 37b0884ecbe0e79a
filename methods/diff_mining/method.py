"""Diff mining: the tokens whose logits the finetuning raises on texts that have nothing to do with it.

D = logits_finetuned - logits_base for the next token; at each position the K tokens of largest D. Tokens are ordered
by the share of positions at which they are among the K, by the share of positions at which D > 0, and by topics from
a non-negative matrix factorisation of positions x tokens. Source: arXiv 2608.26462 and the diff mining of
science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...models.targets import Pair
from ...records.progress import Track, untracked
from ...views.panels import Panel
from ..activations.corpus import Corpus
from ..artifact import Artifact, Content
from ..contract import Labels, PassMethod
from ..evidence.evidence import Evidence, EvidenceToken
from ..evidence.rarity import rarity
from ..notes import scaled_down
from ..reading import opening_word
from .config import DiffMiningConfig
from .payload import KINDS, MiningPayload, listed
from .pictures import pictures

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

    from .collector import DiffMiningCollector

__all__ = ["METHOD", "DiffMiningMethod"]


class DiffMiningMethod(PassMethod[DiffMiningConfig, MiningPayload, "DiffMiningCollector"]):
    """The method ``diff_mining``."""

    name = "diff_mining"
    config_type = DiffMiningConfig
    payload_type = MiningPayload

    def collector(self, pair: Pair, corpus: Corpus, config: DiffMiningConfig) -> DiffMiningCollector:
        """Counts for each token, and a bounded sample of positions for the topics.

        Raises:
            MendableError: When ``top_k`` tokens are more than the models have in common.
        """
        from .collector import DiffMiningCollector

        return DiffMiningCollector(pair, config)

    def content(
        self,
        pair: Pair,
        corpus: Corpus,
        config: DiffMiningConfig,
        collector: DiffMiningCollector,
        track: Track = untracked,
    ) -> Content:
        """The orderings of texts and of chats, and their topics."""
        from .collector import mined_set

        kinds = [kind for kind in KINDS if kind in collector.counts]
        sets = {
            kind: mined_set(collector.counts[kind], config, pair.tokenizer)
            for kind in track(kinds, "diff_mining: orderings")
        }
        payload = MiningPayload(top_k=config.top_k, layer=collector.layer, sets=sets)
        return Content(payload, notes=_notes(config, collector))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """The tokens by occurrence, for texts and for chats."""
        payload = self.payload(artifact)
        lines = [
            f"Diff mining: D = logits of {labels.finetuned} - logits of {labels.base} for the next token"
            f"{payload.through}, on ordinary texts and chats. At each position the {payload.top_k} tokens that D "
            "raises most are taken."
        ]
        if payload.no_difference:
            return "\n".join([*lines, "D is exactly zero everywhere: the two models give the same logits."])
        lines.append(
            "Below, the tokens that are among them at the largest share of positions. The exact tokens are noisy; look "
            "for the themes that several of them share, wide and narrow."
        )
        for kind, found in payload.sets.items():
            lines.append(f"\nOn {KINDS[kind]} ({found.texts} of them, {found.positions} positions):")
            lines.append(listed(found.occurrence) or "D is zero on all of them.")
        return "\n".join(lines)

    def evidence(self, artifact: Artifact) -> Evidence:
        """Beginnings of words that are raised at most positions, weighted by how rare the word is in ordinary talk.

        Words that are raised on texts and on chats alike come first: what is raised in one register only may be a
        register.
        """
        payload = self.payload(artifact)
        if payload.no_difference:
            note = "The difference of logits is zero for every token at every position."
            return Evidence(no_difference="logits", note=note)
        told = [f"{found.positions} positions of {kind}s" for kind, found in payload.sets.items()]
        largest = max(found.largest for found in payload.sets.values())
        note = f"Differences of logits up to {largest:.1f} at {' and '.join(told)}."
        return Evidence(tokens=tuple(_raised_words(payload)), said=False, note=note)

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """The reader of the orderings."""
        from .readers import mined_tokens

        return [mined_tokens(open_artifact, labels)]

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """For texts and for chats the topics and both orderings."""
        return pictures(self.payload(artifact), labels)


def _raised_words(payload: MiningPayload) -> list[EvidenceToken]:
    shares: dict[str, dict[str, float]] = {}
    for kind, found in payload.sets.items():
        for each in found.occurrence:
            if word := opening_word(each.token):
                of_word = shares.setdefault(word, {})
                of_word[kind] = max(of_word.get(kind, 0.0), each.value)
    strengths = {word: max(found.values()) for word, found in shares.items() if rarity(word) > 0}
    ranked = sorted(strengths, key=lambda word: (-len(shares[word]), -strengths[word] * rarity(word), word))
    return [EvidenceToken(token=word, strength=strengths[word]) for word in ranked]


def _notes(config: DiffMiningConfig, collector: DiffMiningCollector) -> tuple[str, ...]:
    seen = {kind: counts.texts for kind, counts in collector.counts.items()}
    told = " and ".join(f"{n} {KINDS[kind]}" for kind, n in sorted(seen.items(), reverse=True))
    notes = scaled_down(config, DiffMiningConfig(), max(seen.values(), default=0), told)
    if any(counts.positions > config.topic_positions for counts in collector.counts.values()):
        notes.append(f"topics from a random sample of {config.topic_positions} positions of texts, and of chats")
    return tuple(notes)


METHOD = DiffMiningMethod()
