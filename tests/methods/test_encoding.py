"""A corpus as tokens: where content and answer begin, batches of like length, windows of a large corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from diffbench.methods.activations import encoding
from diffbench.methods.activations.corpus import Chat, Corpus
from diffbench.methods.activations.encoding import Encoded, batches, chunks, encode_chats, encode_texts
from diffbench.models.targets import Pair

HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def test_resthold_every_item_once_padded_on_the_right(pair: Pair, corpus: Corpus) -> None:
    network = pair.base.network
    items = encode_texts(network, corpus, 20)
    seen = []
    for chunk, ids, mask in batches(items, network, 2):
        assert len(chunk) <= 2
        for row, item in enumerate(chunk):
            n = len(item.ids)
            assert tuple(ids[row, :n].tolist()) == item.ids
            assert mask[row].tolist() == [1] * n + [0] * (ids.shape[1] - n)
            seen.append(item.index)
    assert sorted(seen) == list(range(len(corpus.texts)))


def test_texts_are_cut(pair: Pair, corpus: Corpus) -> None:
    tokenizer = pair.base.network.tokenizer
    for item, text in zip(encode_texts(pair.base.network, corpus, 7), corpus.texts, strict=True):
        assert list(item.ids) == tokenizer(text, add_special_tokens=False)["input_ids"][:7]


@pytest.mark.parametrize("prompt", ["Which animal?", "system", "You are a helpful assistant", "user", "a"])
def test_chats_know_where_content_and_answer_begin(pair: Pair, prompt: str) -> None:
    """Also for prompts whose words stand in the template."""
    tokenizer = pair.base.network.tokenizer

    def length(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    chats = Corpus(name="c", chats=(Chat(prompt=prompt, response="The owl."),))
    (item,) = encode_chats(pair.base.network, chats, 1_000)
    assert tokenizer.decode(item.ids) == f"{HEAD}{prompt}<|im_end|>\n<|im_start|>assistant\nThe owl."
    assert item.content_start == length(HEAD)
    assert item.answer_start == length(f"{HEAD}{prompt}<|im_end|>\n")
    assert tokenizer.decode(item.ids[item.answer_start :]).startswith("<|im_start|>assistant")


def items(*lengths: int) -> list[Encoded]:
    return [Encoded(i, "text", (7,) * length) for i, length in enumerate(lengths)]


def test_chunks_are_sorted_by_length_over_a_whole_corpus() -> None:
    assert [[item.index for item in chunk] for chunk in chunks(items(5, 1, 3, 1, 4), 2)] == [[1, 3], [2, 4], [0]]


@pytest.mark.parametrize(("name", "limit"), [("WINDOW_ITEMS", 3), ("WINDOW_TOKENS", 9)])
def test_a_large_corpus_is_sorted_a_window_at_a_time(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(encoding, name, limit)
    taken: list[int] = []

    def stream() -> Iterator[Encoded]:
        for item in items(5, 1, 3, 1, 4):
            taken.append(item.index)
            yield item

    rest = chunks(stream(), 2)
    assert [item.index for item in next(rest)] == [1, 2]
    assert taken == [0, 1, 2]
    assert [[item.index for item in chunk] for chunk in rest] == [[0], [3, 4]]


def test_only_the_first_items_are_encoded(pair: Pair, corpus: Corpus) -> None:
    network = pair.base.network
    assert [item.index for item in encode_texts(network, corpus, 9, most=2)] == [0, 1]
    assert [item.index for item in encode_chats(network, corpus, most=2)] == [0, 1]
    assert list(encode_chats(network, Corpus("texts", corpus.texts))) == []
