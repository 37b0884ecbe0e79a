"""The orderings of the tokens, and their topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .collector import TokenCounts
from .config import DiffMiningConfig
from .payload import MinedSet, MinedToken, Topic, Topics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

__all__ = ["mined_set", "topics_of"]


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
    import warnings

    import numpy as np
    from scipy.sparse import csr_array
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

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
    import numpy as np

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
