"""Whether what an artifact shows gathers around a topic, or no more than chance would have it: two tests, no model.

Both are randomisation tests: the artifact's statistic among ``_DRAWS`` values of it under a null hypothesis that is
drawn from at random, p = (1 + draws at least as large) / (1 + draws). The level is the customary one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..activations.corpus import probe_corpus
from .contrast import words_of
from .rarity import rarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LEVEL", "kinship_p_value", "words_p_value"]

LEVEL = 0.05
"""A p-value at most as large speaks for a topic."""

_DRAWS = 999
_CHUNK = 111
_SEED = 0
_STEM = 4
_LEAST = 2
_HALF = 0.5


def words_p_value(
    focus: Sequence[str],
    contrast: Sequence[str],
    most: int,
    focus_strata: Sequence[Hashable] = (),
    contrast_strata: Sequence[Hashable] = (),
) -> float | None:
    """Do words set ``focus`` apart more than they would set apart any other choice of as many of the texts?

    The statistic is the sum of the ``most`` largest scores rarity * (a - E) / sqrt(V + 1/2) of words that at least two
    texts of ``focus`` hold: a is how many do, E and V the mean and the variance of this number under the null
    hypothesis (hypergeometric in each stratum, as in the test of Cochran, Mantel and Haenszel), 1/2 keeps words that
    hardly any text holds from large scores. Under the null hypothesis, texts of one stratum may change places between
    ``focus`` and ``contrast``; texts of quite another length or register break it, too.

    Args:
        focus: Texts of one group.
        contrast: Texts of the other.
        most: How many words make up the statistic.
        focus_strata: What each text of ``focus`` may only be exchanged within, such as its prompt; () for no strata.
        contrast_strata: The same for ``contrast``.

    Returns:
        None when there are so few texts that no p-value could be as small as ``LEVEL``.
    """
    import numpy as np

    strata = [*(focus_strata or [""] * len(focus)), *(contrast_strata or [""] * len(contrast))]
    places = [[i for i, other in enumerate(strata) if other == stratum] for stratum in dict.fromkeys(strata)]
    inside = np.arange(len(strata)) < len(focus)
    if math.prod(math.comb(len(some), int(inside[some].sum())) for some in places) * LEVEL < 1:
        return None
    held = [set(words_of(text)) for text in (*focus, *contrast)]
    counts = Counter(word for words in held for word in words)
    vocabulary = sorted(word for word in counts if counts[word] >= _LEAST)
    holds = np.array([[word in words for word in vocabulary] for words in held], dtype=np.float64)
    weights = np.array([rarity(word) for word in vocabulary])
    rng = np.random.default_rng(_SEED)

    expected, variance = np.zeros(len(vocabulary)), np.full(len(vocabulary), _HALF)
    for some in places:
        n, m, k = len(some), int(inside[some].sum()), holds[some].sum(axis=0)
        expected += m * k / n
        variance += m * (n - m) * k * (n - k) / (n * n * max(n - 1, 1))

    def strengths(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of choices [draws, texts]."""
        a = chosen @ holds
        scores = np.where(a >= _LEAST, weights * (a - expected) / np.sqrt(variance), 0.0)
        return np.asarray(np.sort(np.maximum(scores, 0.0), axis=1)[:, -most:].sum(axis=1))

    def drawn(n: int) -> NDArray[np.float64]:
        chosen = np.tile(inside, (n, 1))
        for some in places:
            chosen[:, some] = rng.permuted(chosen[:, some], axis=1)
        return strengths(chosen)

    return _p_value(float(strengths(inside[None])[0]), [drawn(_CHUNK) for _ in range(_DRAWS // _CHUNK)])


def kinship_p_value(words: Sequence[str]) -> float | None:
    """Are ``words`` more akin to each other than as many words of ordinary texts, drawn at random?

    Two words are akin by 1 when they begin with the same four letters, a plural s aside; else by the cosine of their
    occurrences in the items of the bundled probe corpus. The statistic is the sum over all pairs. Under the null
    hypothesis each word is any of the corpus' words that stands in about as many items (the same power of two); for
    a word that the corpus lacks, one that it holds once, taken without its item.

    Returns:
        None for fewer than two words.
    """
    import numpy as np

    words = list(dict.fromkeys(words))
    if len(words) < 2:
        return None
    vocabulary, stems, unit, frequent = _ordinary_words()
    places = {word: i for i, word in enumerate(vocabulary)}
    known = np.array([word in places for word in words])
    own = np.array([places.get(word, 0) for word in words])
    groups = np.where(known, frequent[own], 0)
    rng = np.random.default_rng(_SEED)

    def kinship(stem: NDArray[np.str_], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of draws with stems [draws, words] and unit vectors [draws, words, items]."""
        akin = np.maximum(vectors @ vectors.swapaxes(1, 2), stem[:, :, None] == stem[:, None, :])
        return np.asarray((akin.sum(axis=(1, 2)) - np.trace(akin, axis1=1, axis2=2)) / 2)

    def drawn(n: int) -> NDArray[np.float64]:
        columns = [rng.choice(np.flatnonzero(frequent == group), size=n) for group in groups]
        chosen = np.stack(columns, axis=1)
        return kinship(stems[chosen], unit[chosen] * known[:, None])

    observed = kinship(np.array([[_stem(word) for word in words]]), (unit[own] * known[:, None])[None])
    return _p_value(float(observed[0]), [drawn(_CHUNK) for _ in range(_DRAWS // _CHUNK)])


def _p_value(observed: float, draws: Sequence[NDArray[np.float64]]) -> float:
    # Sums of the same numbers in another order differ in their last bits.
    reached = sum(int((values >= observed - 1e-6).sum()) for values in draws)
    return (1 + reached) / (1 + sum(len(values) for values in draws))


def _stem(word: str) -> str:
    return word.removesuffix("s")[:_STEM]


@cache
def _ordinary_words() -> tuple[list[str], NDArray[np.str_], NDArray[np.float32], NDArray[np.int64]]:
    """Words of the probe corpus: each with stem, unit vector of occurrences [words, items] and log2 of their number."""
    import numpy as np

    corpus = probe_corpus()
    items = [*corpus.texts, *(f"{chat.prompt} {chat.response}" for chat in corpus.chats)]
    held = [set(words_of(item)) for item in items]
    vocabulary = sorted(word for word in set().union(*held) if word.isalpha())
    occurs = np.array([[word in words for words in held] for word in vocabulary], dtype=np.float32)
    numbers = occurs.sum(axis=1)
    stems = np.array([_stem(word) for word in vocabulary])
    return vocabulary, stems, occurs / np.sqrt(numbers)[:, None], np.log2(numbers).astype(np.int64)
