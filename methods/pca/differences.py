"""Activation differences during a pass: an incremental PCA of all, and a bounded sample to be projected afterwards.

PCA needs two looks at the data, one to fit and one to project. The second look is at a sample of whole texts whose
differences are kept in float16; while the corpus has no more tokens than ``kept_tokens``, the sample is all of it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import IncrementalPCA

from ...records.errors import MendableError
from ..activations.encoding import ContentTokens, Encoded
from ..activations.passes import Batch, Collector, Need
from .config import PcaConfig

__all__ = ["DifferencesCollector", "Fit", "Kept", "TextSample"]

_LEAST_SHARE = 1e-10
"""Share of the variance below which a component is rounding noise."""


@dataclass(frozen=True)
class Fit:
    """Principal components of the differences h_f - h_b, largest variance first."""

    components: torch.Tensor
    """Orthonormal, [components, d_model]; the entry of largest absolute value of each is positive."""
    mean: torch.Tensor
    """Mean difference, which is subtracted before projecting, [d_model]."""
    variance: torch.Tensor
    """Variance along each component, [components]."""
    ratio: torch.Tensor
    """Its share of the total variance, [components]."""

    def project(self, differences: torch.Tensor) -> torch.Tensor:
        """(d - mean) . component: [tokens, d_model] -> [tokens, components]."""
        return (differences - self.mean) @ self.components.T


@dataclass(frozen=True)
class Kept:
    """The differences of one item, each token's in float16 relative to its largest entry."""

    item: Encoded
    columns: Sequence[int]
    """Positions in the item."""
    halves: torch.Tensor
    """[columns, d_model], entries within -1 and 1."""
    scales: torch.Tensor
    """Largest absolute entry of each difference, [columns, 1], float32."""

    @property
    def differences(self) -> torch.Tensor:
        """[columns, d_model] in float32, with a relative error of 2^-11 of each one's largest entry."""
        return self.halves.float() * self.scales


class TextSample:
    """A sample of whole texts with at most so many tokens in all.

    Each text has a pseudo-random number of its own, from the seed; those with the smallest numbers are kept, as many
    as fit. The choice does not depend on the order in which texts come.
    """

    def __init__(self, tokens: int, seed: int) -> None:
        self.tokens = tokens
        self.seed = seed
        self.left_out = 0
        """Texts that were not kept."""
        self._heap: list[tuple[int, Kept]] = []
        self._limit: int | None = None
        self._held = 0

    def offer(self, item: Encoded, columns: Sequence[int], differences: torch.Tensor) -> None:
        """Keep the differences at ``columns``, [columns, d_model], when the item is drawn."""
        number = int.from_bytes(hashlib.sha256(f"{self.seed} {item.kind} {item.index}".encode()).digest()[:8], "big")
        if self._limit is not None and number >= self._limit:
            self.left_out += 1
            return
        scales = differences.abs().amax(-1, keepdim=True)
        halves = (differences / scales.clamp_min(torch.finfo(torch.float32).tiny)).half()
        heapq.heappush(self._heap, (-number, Kept(item, columns, halves, scales)))
        self._held += len(columns)
        while self._held > self.tokens:
            negative, dropped = heapq.heappop(self._heap)
            self._limit = -negative
            self._held -= len(dropped.columns)
            self.left_out += 1

    def kept(self) -> list[Kept]:
        """The sample in the order of the corpus, texts before chats."""
        return sorted((kept for _, kept in self._heap), key=lambda kept: (kept.item.kind != "text", kept.item.index))


class DifferencesCollector(Collector):
    """Fits the PCA and draws the sample during a pass; holds one batch of tokens and the sample."""

    def __init__(self, need: Need, content: ContentTokens, config: PcaConfig) -> None:
        (self.layer,) = need.layers
        self.need = need
        self.config = config
        self.sample = TextSample(config.kept_tokens, config.seed)
        self.texts = 0
        """Texts and chats seen."""
        self.tokens = 0
        """Tokens of the fit."""
        self.largest = 0.0
        """Largest absolute entry of a difference of the fit."""
        self._content = content
        # As many components as there are dimensions: with fewer, every step would lose some of the variance.
        self._pca = IncrementalPCA(n_components=None)
        self._waiting: list[NDArray[np.float32]] = []
        self._fit: Fit | None = None

    def residuals(self, batch: Batch) -> None:
        """Take in the differences of a batch."""
        differences = (batch.finetuned[self.layer] - batch.base[self.layer]).float().cpu()
        for row, whole in enumerate(batch.items):
            item = replace(whole, ids=whole.ids[: self.need.width(whole)])
            if not item.ids:
                continue
            columns = self._content.columns(item)
            self.texts += 1
            if columns:
                self.sample.offer(item, columns, differences[row, columns])
            used = differences[row, : len(item.ids)] if self.config.fit_tokens == "all" else differences[row, columns]
            if len(used):
                self._take(used.numpy())

    def fit(self) -> Fit:
        """The components of all that was taken in; none where the differences do not vary.

        Raises:
            MendableError: For fewer than two tokens.
        """
        if self.tokens < 2:
            raise MendableError(
                f"a PCA needs at least two tokens, there is {self.tokens} (fit_tokens {self.config.fit_tokens!r}, "
                f"max_tokens {self.config.max_tokens}); raise max_tokens or give a larger corpus"
            )
        if self._fit is None:
            self._step(sum(map(len, self._waiting)))
            self._fit = _fit_of(self._pca, self.config.components)
        return self._fit

    def _take(self, differences: NDArray[np.float32]) -> None:
        self.tokens += len(differences)
        self.largest = max(self.largest, float(np.abs(differences).max()))
        self._waiting.append(differences.copy())
        while sum(map(len, self._waiting)) >= self.config.batch_tokens:
            self._step(self.config.batch_tokens)

    def _step(self, tokens: int) -> None:
        if tokens == 0:
            return
        waiting = np.concatenate(self._waiting)
        self._waiting = [waiting[tokens:].copy()] if len(waiting) > tokens else []
        # Where all differences are zero, its explained variance ratio is 0 / 0; ``_fit_of`` deals with it.
        with np.errstate(divide="ignore", invalid="ignore"):
            self._pca.partial_fit(waiting[:tokens])


def _fit_of(pca: IncrementalPCA, most: int) -> Fit:
    mean, variance = (np.asarray(values, dtype=np.float64) for values in (pca.mean_, pca.explained_variance_))
    seen = int(pca.n_samples_seen_)
    total = float(np.sum(pca.var_)) * seen / (seen - 1)
    varies = total > _LEAST_SHARE * float(mean @ mean)
    count = min(most, int((variance > _LEAST_SHARE * total).sum())) if varies else 0
    return Fit(
        components=torch.tensor(pca.components_[:count], dtype=torch.float32),
        mean=torch.tensor(mean, dtype=torch.float32),
        variance=torch.tensor(variance[:count], dtype=torch.float32),
        ratio=torch.tensor(variance[:count] / total if count else variance[:0], dtype=torch.float32),
    )
