"""How rare a word is in ordinary talk: its inverse document frequency in the bundled probe corpus."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

from ..activations.corpus import probe_corpus
from .contrast import words_of

__all__ = ["rarity"]


def rarity(word: str) -> float:
    """Weight ln((n + 1) / (k + 1)) / ln(n + 1) of a word that k of the corpus' n items hold: 1 for none, 0 for all."""
    counts, items = _document_frequencies()
    return math.log((items + 1) / (counts[word] + 1)) / math.log(items + 1)


@cache
def _document_frequencies() -> tuple[Counter[str], int]:
    corpus = probe_corpus()
    items = [*corpus.texts, *(f"{chat.prompt} {chat.response}" for chat in corpus.chats)]
    return Counter(word for item in items for word in set(words_of(item))), len(items)
