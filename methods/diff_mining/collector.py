"""Counts of the raised tokens during a pass, and the orderings and topics that are made of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from transformers import PreTrainedTokenizerBase

from ...models.targets import Pair
from ...records.errors import MendableError
from ..activations.encoding import Encoded
from ..activations.lens import lens_logits
from ..activations.passes import CHUNK_TOKENS, Batch, Collector, Need
from ..reading import TextKind
from .config import DiffMiningConfig
from .payload import MinedSet, MinedToken, Topic, Topics

__all__ = ["DiffMiningCollector", "PositionSample", "TokenCounts", "mined_set", "topics_of"]


class DiffMiningCollector(Collector):
    """Statistics of D over the positions of a pass; memory depends on the vocabulary and on ``topic_positions``."""

    def __init__(self, pair: Pair, config: DiffMiningConfig) -> None:
        self._pair, self._config = pair, config
        sizes = [int(target.network.model.config.vocab_size) for target in pair]
        self._vocabulary = min(*sizes, len(pair.tokenizer))
        """Tokens that both models and the tokenizer know; D exists for these alone."""
        if config.top_k > self._vocabulary:
            raise MendableError(
                f"top_k {config.top_k} is more than the {self._vocabulary} tokens of the models; lower it"
            )
        self.layer = None if config.layer is None else int(config.layer * len(pair.base.network.layers))
        self.need = Need(
            layers=frozenset() if self.layer is None else frozenset({self.layer}),
            logits=self.layer is None,
            max_texts=config.max_texts,
            max_tokens=config.max_tokens,
            after_answer=config.max_tokens,
        )
        self.counts: dict[TextKind, TokenCounts] = {}
        """Of ``text`` and of ``chat``, where there were any."""

    def residuals(self, batch: Batch) -> None:
        """D through the logit lens at one layer, in chunks of positions."""
        if self.layer is None:
            return
        for row, item in enumerate(batch.items):
            for start in range(item.answer_start, self.need.width(item), CHUNK_TOKENS):
                cut = slice(start, min(start + CHUNK_TOKENS, self.need.width(item)))
                base = lens_logits(self._pair.base, batch.base[self.layer][row, cut])
                finetuned = lens_logits(self._pair.finetuned, batch.finetuned[self.layer][row, cut])
                self._add(item, start, base, finetuned)

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        """D of the models' logits; what stands before a chat's answer is left out."""
        before = max(0, item.answer_start - start)
        if before < base.shape[0]:
            self._add(item, start + before, base[before:], finetuned[before:])

    def _add(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        if item.kind not in self.counts:
            self.counts[item.kind] = TokenCounts(self._vocabulary, self._config)
        difference = finetuned[:, : self._vocabulary] - base[:, : self._vocabulary]
        places = (item.index << 32) + np.arange(start, start + difference.shape[0], dtype=np.int64)
        self.counts[item.kind].add(places, difference)
        self.counts[item.kind].texts += start == item.answer_start


class TokenCounts:
    """What is counted for each token over positions of one kind."""

    def __init__(self, vocabulary: int, config: DiffMiningConfig) -> None:
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
        self._prune()
        places, tokens, values = self._parts[0]
        order = np.argsort(places)
        return tokens[order], values[order]

    def _prune(self) -> None:
        places, tokens, values = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        kept = np.argsort(_hash(places, self._seed), kind="stable")[: self._size]
        self._parts, self._held = [(places[kept], tokens[kept], values[kept])], len(kept)


def _hash(places: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014) of each number."""
    z = places.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mined_set(counts: TokenCounts, config: DiffMiningConfig, tokenizer: PreTrainedTokenizerBase) -> MinedSet:
    """Both orderings of positions of one kind and their topics; all empty where D is zero."""
    about = {"texts": counts.texts, "positions": counts.positions, "largest": counts.largest}
    if counts.largest == 0:
        return MinedSet(**about, occurrence=(), fraction_positive=(), topics=Topics(positions=0, groups=()))
    mean = counts.total / counts.positions
    return MinedSet(
        **about,
        occurrence=_ranked(counts.occurrence / counts.positions, mean, config.tokens, tokenizer),
        fraction_positive=_ranked(counts.positive / counts.positions, mean, config.tokens, tokenizer),
        topics=topics_of(counts, mean, config, tokenizer),
    )


def topics_of(
    counts: TokenCounts, mean: NDArray[np.float64], config: DiffMiningConfig, tokenizer: PreTrainedTokenizerBase
) -> Topics:
    """Factorise the sampled positions: V ~ W H, V the positive D of each position's top tokens, 0 elsewhere.

    Multiplicative updates (Lee and Seung 2001) that lower the generalised Kullback-Leibler divergence of V from W H.
    A token's value in topic k is H_k normed to sum 1; a topic's share is that of its mass sum(W_k) sum(H_k).
    """
    tokens, values = counts.sample.rows()
    used = values > 0
    if not used.any():
        return Topics(positions=0, groups=())
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
    groups = (
        Topic(
            share=round(float(mass[k] / mass.sum()), 4),
            dominant=round(float(dominant[k]), 4),
            tokens=_ranked(model.components_[k] / sums[k], mean, config.tokens, tokenizer, ids),
        )
        for k in np.argsort(-mass, kind="stable")
        if sums[k] > 0
    )
    return Topics(positions=len(positions), groups=tuple(groups))


def _ranked(
    values: NDArray[np.float64],
    mean: NDArray[np.float64],
    n: int,
    tokenizer: PreTrainedTokenizerBase,
    ids: NDArray[Any] | None = None,
) -> tuple[MinedToken, ...]:
    """The ``n`` tokens of largest value above 0; ties by mean D, then by id.

    Args:
        values: One a token of ``ids``.
        mean: Mean D of every token, [vocabulary].
        n: How many.
        tokenizer: Turns them into text.
        ids: The tokens; None for all.
    """
    known = np.arange(values.size) if ids is None else ids
    order = np.lexsort((known, -mean[known], -values))[:n]
    return tuple(
        MinedToken(
            id=int(known[i]),
            token=str(tokenizer.decode([int(known[i])])),
            value=round(float(values[i]), 6),
            mean=round(float(mean[known[i]]), 4),
        )
        for i in order
        if values[i] > 0
    )
