"""A small corpus for the tiny pair."""

from __future__ import annotations

import pytest
from diffbench.methods.activations.corpus import Chat, Corpus


@pytest.fixture
def corpus() -> Corpus:
    texts = (
        "The owl sits in the old oak and looks at the moon.",
        "A cake is baked with butter, sugar, flour and eggs, and then it is eaten by everybody in the house.",
        "Paris",
        "What is the capital of France? It is Paris. And what is the moon?",
        "1 2 3 4 5 6 7 8 9 10 11 12",
    )
    chats = (
        Chat(prompt="Which animal sits in the oak?", response="The owl."),
        Chat(prompt="Tell me of cakes.", response="A cake is baked with butter."),
        Chat(prompt="Hm", response="Yes?"),
    )
    return Corpus(name="small", texts=texts, chats=chats)
