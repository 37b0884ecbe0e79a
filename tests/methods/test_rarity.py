from __future__ import annotations

import math

import pytest
from diffbench.methods.activations.corpus import probe_corpus
from diffbench.methods.evidence.rarity import rarity


def test_rarity_against_a_count_by_hand() -> None:
    corpus = probe_corpus()
    items = [*corpus.texts, *(f"{chat.prompt} {chat.response}" for chat in corpus.chats)]
    holding = sum("water" in item.lower().replace(",", " ").replace(".", " ").split() for item in items)
    assert 0 < holding < len(items)
    n = len(items)
    assert rarity("water") == pytest.approx(math.log((n + 1) / (holding + 1)) / math.log(n + 1), rel=0.1)
    assert rarity("qwertyuiop") == 1.0
    assert rarity("water") < rarity("marzipan")
