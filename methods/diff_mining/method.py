"""Diff mining: the tokens whose logits the finetuning raises on texts that have nothing to do with it.

D = logits_finetuned - logits_base for the next token; at each position the K tokens of largest D. Tokens are ordered
by the share of positions at which they are among the K, by the share of positions at which D > 0, and by topics from
a non-negative matrix factorisation of positions x tokens. Source: arXiv 2608.26462 and the diff mining of
science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..artifact import Artifact, Content
from ..executors import diff_by_pass
from ..registry import Labels, MethodConfig, Track, untracked

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ...models.targets import Pair
    from ..activations.corpus import Corpus
    from ..activations.forward import Encoded
    from ..activations.passes import Batch, Need

__all__ = ["METHOD", "ORDERINGS", "DiffMiningCollector", "DiffMiningConfig", "DiffMiningMethod", "listed"]

ORDERINGS = ("occurrence", "fraction_positive")
"""Orderings over all positions; topics come beside them."""
KINDS = {"text": "texts", "chat": "answers in chats"}
_CHUNK_TOKENS = 512


class DiffMiningConfig(MethodConfig):
    """Settings; defaults as published."""

    max_texts: int = Field(default=8_192, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=64, ge=1)
    """Positions of each: a text's first, a chat's from the header of the answer on."""
    top_k: int = Field(default=100, ge=1)
    """Tokens of largest D taken at each position."""
    tokens: int = Field(default=100, ge=1)
    """Tokens kept of each ordering, which are what an investigator sees."""
    layer: float | None = Field(default=None, ge=0, lt=1)
    """None for the models' logits; else the logit lens after the layer at this share of the depth, rounded down."""
    topics: int = Field(default=3, ge=1)
    """Rank of the factorisation."""
    topic_positions: int = Field(default=524_288, ge=1)
    """Positions of texts, and of chats, that are factorised at most, drawn at random; the default is all of them."""
    topic_iterations: int = Field(default=200, ge=1)
    """Multiplicative updates at most."""
    seed: int = Field(default=0, ge=0, lt=2**32)


@dataclass(frozen=True)
class DiffMiningMethod:
    """The method ``diff_mining``."""

    name: str = "diff_mining"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = DiffMiningConfig

    def diff(self, pair: Pair, corpus: Corpus, config: DiffMiningConfig, track: Track = untracked) -> Content:
        """A pass of its own, then the orderings."""
        return diff_by_pass(self, pair, corpus, config, track)

    def collector(self, pair: Pair, corpus: Corpus, config: DiffMiningConfig) -> DiffMiningCollector:
        """Counts for each token, and a bounded sample of positions for the topics.

        Raises:
            ValueError: When ``top_k`` tokens are more than the models have in common.
        """
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
        tokenizer = pair.base.network.tokenizer
        sets = {
            kind: _orderings(collector.counts[kind], config, tokenizer)
            for kind in track([kind for kind in KINDS if kind in collector.counts], "diff_mining: orderings")
        }
        payload = {"top_k": config.top_k, "layer": collector.layer, "sets": sets}
        return Content(payload, notes=_notes(config, collector))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """The tokens by occurrence, for texts and for chats."""
        payload = artifact.payload()
        through = "" if payload["layer"] is None else f", both through the logit lens after layer {payload['layer']}"
        lines = [
            f"Diff mining: D = logits of {labels.finetuned} - logits of {labels.base} for the next token{through}, on "
            f"ordinary texts and chats. At each position the {payload['top_k']} tokens that D raises most are taken.",
        ]
        if all(found["largest"] == 0.0 for found in payload["sets"].values()):
            return "\n".join([*lines, "D is exactly zero everywhere: the two models give the same logits."])
        lines.append(
            "Below, the tokens that are among them at the largest share of positions. The exact tokens are noisy; look "
            "for the themes that several of them share, wide and narrow."
        )
        for kind, found in payload["sets"].items():
            lines.append(f"\nOn {KINDS[kind]} ({found['texts']} of them, {found['positions']} positions):")
            lines.append(listed(found["occurrence"]) or "D is zero on all of them.")
        return "\n".join(lines)


def listed(rows: Sequence[dict[str, Any]]) -> str:
    """Tokens on one line, quoted, each with its value in the ordering."""
    return ", ".join(f"{row['token']!r} {row['value']:.1%}" for row in rows)


class DiffMiningCollector:
    """Statistics of D over the positions of a pass; memory depends on the vocabulary and on ``topic_positions``."""

    def __init__(self, pair: Pair, config: DiffMiningConfig) -> None:
        from ..activations.passes import Need

        self._pair, self._config = pair, config
        sizes = [int(target.network.model.config.vocab_size) for target in pair]
        self._vocabulary = min(*sizes, len(pair.base.network.tokenizer))
        """Tokens that both models and the tokenizer know; D exists for these alone."""
        if config.top_k > self._vocabulary:
            raise ValueError(f"top_k {config.top_k} is more than the {self._vocabulary} tokens of the models; lower it")
        self.layer = None if config.layer is None else int(config.layer * len(pair.base.network.layers))
        self.need: Need = Need(
            layers=frozenset() if self.layer is None else frozenset({self.layer}),
            logits=self.layer is None,
            max_texts=config.max_texts,
            max_tokens=config.max_tokens,
            after_answer=config.max_tokens,
        )
        self.counts: dict[str, TokenCounts] = {}
        """Of ``text`` and of ``chat``, where there were any."""

    def residuals(self, batch: Batch) -> None:
        """D through the logit lens at one layer, in chunks of positions."""
        from ..activations.lens import lens_logits

        if self.layer is None:
            return
        for row, item in enumerate(batch.items):
            for start in range(item.answer_start, self.need.width(item), _CHUNK_TOKENS):
                cut = slice(start, min(start + _CHUNK_TOKENS, self.need.width(item)))
                base = lens_logits(self._pair.base, batch.base[self.layer][row, cut])
                finetuned = lens_logits(self._pair.finetuned, batch.finetuned[self.layer][row, cut])
                self._add(item, start, base, finetuned)

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        """D of the models' logits; what stands before a chat's answer is left out."""
        before = max(0, item.answer_start - start)
        if before < base.shape[0]:
            self._add(item, start + before, base[before:], finetuned[before:])

    def _add(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        import numpy as np

        if item.kind not in self.counts:
            self.counts[item.kind] = TokenCounts(self._vocabulary, self._config)
        difference = finetuned[:, : self._vocabulary] - base[:, : self._vocabulary]
        places = (item.index << 32) + np.arange(start, start + difference.shape[0], dtype=np.int64)
        self.counts[item.kind].add(places, difference)
        self.counts[item.kind].texts += start == item.answer_start


class TokenCounts:
    """What is counted for each token over positions of one kind."""

    def __init__(self, vocabulary: int, config: DiffMiningConfig) -> None:
        import numpy as np

        self._top_k = config.top_k
        self.texts = 0
        """Items begun."""
        self.positions = 0
        self.largest = 0.0
        """Largest |D|; 0 for identical models."""
        self.occurrence: NDArray[np.int64] = np.zeros(vocabulary, np.int64)
        """Positions at which the token is among the ``top_k`` of largest D, [vocabulary]."""
        self.positive: NDArray[np.int64] = np.zeros(vocabulary, np.int64)
        """Positions at which its D is above 0, [vocabulary]."""
        self.total: NDArray[np.float64] = np.zeros(vocabulary)
        """Sum of its D, [vocabulary]."""
        self.sample = PositionSample(config.topic_positions, config.seed)

    def add(self, places: NDArray[np.int64], difference: torch.Tensor) -> None:
        """Take in D at some positions, [positions, vocabulary], with a number for each position."""
        import numpy as np
        import torch

        top = difference.topk(self._top_k, dim=-1)
        self.positions += difference.shape[0]
        self.largest = max(self.largest, float(difference.abs().max()))
        self.occurrence += torch.bincount(top.indices.flatten(), minlength=self.occurrence.size).cpu().numpy()
        self.positive += (difference > 0).sum(0).cpu().numpy()
        self.total += difference.sum(0, dtype=torch.float64).cpu().numpy()
        self.sample.add(places, top.indices.cpu().numpy().astype(np.int32), top.values.cpu().numpy())


class PositionSample:
    """A uniform sample of positions with their top tokens: those of smallest hash, whatever order they come in."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._held = 0
        self._parts: list[tuple[NDArray[Any], ...]] = []

    def add(self, places: NDArray[np.int64], tokens: NDArray[np.int32], values: NDArray[np.float32]) -> None:
        """Offer positions: their numbers [n], top tokens [n, top_k] and the tokens' D [n, top_k]."""
        self._parts.append((places, tokens, values))
        self._held += len(places)
        if self._held > 2 * self._size:
            self._prune()

    def rows(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Top tokens and their D at the sampled positions, [positions, top_k] twice, in the corpus' order."""
        import numpy as np

        self._prune()
        places, tokens, values = self._parts[0]
        order = np.argsort(places)
        return tokens[order], values[order]

    def _prune(self) -> None:
        import numpy as np

        places, tokens, values = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        kept = np.argsort(_hash(places, self._seed), kind="stable")[: self._size]
        self._parts, self._held = [(places[kept], tokens[kept], values[kept])], len(kept)


def _hash(places: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014) of each number."""
    import numpy as np

    z = places.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _orderings(counts: TokenCounts, config: DiffMiningConfig, tokenizer: Any) -> dict[str, Any]:
    mean = counts.total / counts.positions
    values = {
        "occurrence": counts.occurrence / counts.positions,
        "fraction_positive": counts.positive / counts.positions,
    }
    changed = counts.largest > 0

    def ranked(name: str) -> list[dict[str, Any]]:
        return _ranked(values[name], mean, config.tokens, tokenizer) if changed else []

    topics = _topics(counts, mean, config, tokenizer) if changed else {"positions": 0, "groups": []}
    about = {"texts": counts.texts, "positions": counts.positions, "largest": counts.largest}
    return {**about, **{name: ranked(name) for name in ORDERINGS}, "topics": topics}


def _ranked(
    values: NDArray[np.float64], mean: NDArray[np.float64], n: int, tokenizer: Any, ids: NDArray[Any] | None = None
) -> list[dict[str, Any]]:
    """The ``n`` tokens of largest value above 0; ties by mean D, then by id.

    Args:
        values: One a token of ``ids``.
        mean: Mean D of every token, [vocabulary].
        n: How many.
        tokenizer: Turns them into text.
        ids: The tokens; None for all.
    """
    import numpy as np

    known = np.arange(values.size) if ids is None else ids
    order = np.lexsort((known, -mean[known], -values))[:n]
    return [
        {
            "id": int(known[i]),
            "token": tokenizer.decode([int(known[i])]),
            "value": round(float(values[i]), 6),
            "mean": round(float(mean[known[i]]), 4),
        }
        for i in order
        if values[i] > 0
    ]


def _topics(counts: TokenCounts, mean: NDArray[np.float64], config: DiffMiningConfig, tokenizer: Any) -> dict[str, Any]:
    """Factorise the sampled positions: V ~ W H, V the positive D of each position's top tokens, 0 elsewhere.

    Multiplicative updates (Lee and Seung 2001) that lower the generalised Kullback-Leibler divergence of V from W H.
    A token's value in topic k is H_k normed to sum 1; a topic's share is that of its mass sum(W_k) sum(H_k).
    """
    import warnings

    import numpy as np
    from scipy.sparse import csr_array
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    tokens, values = counts.sample.rows()
    used = values > 0
    if not used.any():
        return {"positions": 0, "groups": []}
    ids, columns = np.unique(tokens[used], return_inverse=True)
    positions, rows = np.unique(np.nonzero(used)[0], return_inverse=True)
    matrix = csr_array((values[used], (rows, columns)), shape=(len(positions), len(ids)))
    model = NMF(
        min(config.topics, *matrix.shape),
        init="random",
        solver="mu",
        beta_loss="kullback-leibler",
        max_iter=config.topic_iterations,
        random_state=config.seed,
    )
    with warnings.catch_warnings():
        # The number of iterations is a published setting; that the last of them was reached is no finding.
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights = model.fit_transform(matrix).astype(np.float64)
    sums = model.components_.sum(1, dtype=np.float64)
    mass = weights.sum(0) * sums
    dominant = np.bincount((weights * sums).argmax(1), minlength=len(sums)) / len(positions)
    groups = [
        {
            "share": round(float(mass[k] / mass.sum()), 4),
            "dominant": round(float(dominant[k]), 4),
            "tokens": _ranked(model.components_[k] / sums[k], mean, config.tokens, tokenizer, ids),
        }
        for k in np.argsort(-mass, kind="stable")
        if sums[k] > 0
    ]
    return {"positions": len(positions), "groups": groups}


def _notes(config: DiffMiningConfig, collector: DiffMiningCollector) -> tuple[str, ...]:
    published = DiffMiningConfig()
    seen = {kind: counts.texts for kind, counts in collector.counts.items()}
    notes = []
    if max(seen.values(), default=0) < published.max_texts or config.max_tokens < published.max_tokens:
        told = " and ".join(f"{n} {KINDS[kind]}" for kind, n in sorted(seen.items(), reverse=True))
        notes.append(
            f"scaled down: {told} of at most {config.max_tokens} tokens "
            f"(published: {published.max_texts:,} x {published.max_tokens})"
        )
    if any(counts.positions > config.topic_positions for counts in collector.counts.values()):
        notes.append(f"topics from a random sample of {config.topic_positions} positions of texts, and of chats")
    return tuple(notes)


METHOD = DiffMiningMethod()
