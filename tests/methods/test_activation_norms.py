"""Norms of activation differences against brute force over the plain model's hidden states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffbench.methods.activation_norms.config import ActivationNormsConfig
from diffbench.methods.activation_norms.method import METHOD
from diffbench.methods.activation_norms.payload import NormsPayload, NormsRow, RankedText
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.encoding import ContentTokens, Encoded
from diffbench.methods.activations.passes import Work, run_pass
from diffbench.methods.activations.top_texts import TopTexts, significant
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels
from diffbench.methods.reading import KeptText, marked
from diffbench.methods.store import ArtifactStore
from diffbench.models.targets import Pair

PARTS = ("<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n")
HEADER = "<|im_start|>assistant\n"


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def encoded(pair: Pair, corpus: Corpus, max_tokens: int) -> dict[tuple[str, int], tuple[list[int], list[int]]]:
    """Ids and positions of the author's words, made by tokenizing each part of a chat by itself."""

    def ids_of(text: str) -> list[int]:
        return list(pair.base.network.tokenizer(text, add_special_tokens=False)["input_ids"])

    found = {}
    for i, text in enumerate(corpus.texts):
        ids = ids_of(text)[:max_tokens]
        found["text", i] = (ids, list(range(1, len(ids))))
    for i, chat in enumerate(corpus.chats):
        parts = [
            (ids_of(part), words)
            for part, words in ((PARTS[0], False), (chat.prompt, True), (PARTS[1], False), (HEADER, False))
        ]
        parts.append((ids_of(chat.response), True))
        ids = [token for part, _ in parts for token in part]
        is_words = [words for part, words in parts for _ in part]
        found["chat", i] = (ids[:max_tokens], [j for j, words in enumerate(is_words[:max_tokens]) if words])
    return found


def brute_force(pair: Pair, corpus: Corpus, layer: int, max_tokens: int = 1_024) -> dict[tuple[str, int], Any]:
    """For each item ids, positions that count, and h_b and h_f, [tokens, d_model], one unpadded item at a time.

    The plain model's ``hidden_states`` cannot serve for the last layer: they are normed there.
    """
    found = {}
    for place, (ids, words) in encoded(pair, corpus, max_tokens).items():
        hidden: list[torch.Tensor] = []

        def keep(_module: Any, _args: Any, output: Any, hidden: list[torch.Tensor] = hidden) -> None:
            hidden.append((output[0] if isinstance(output, tuple) else output)[0].double())

        for target in pair:
            with target.running() as model:
                handle = model.get_decoder().layers[layer].register_forward_hook(keep)
                model(torch.tensor([ids]))
                handle.remove()
        found[place] = (ids, words, *hidden)
    return found


def measured(pair: Pair, corpus: Corpus, config: ActivationNormsConfig) -> NormsPayload:
    payload = METHOD.diff(pair, corpus, config).payload
    assert isinstance(payload, NormsPayload)
    return payload


def measures(base: torch.Tensor, finetuned: torch.Tensor) -> dict[str, np.ndarray]:
    b, f = base.numpy(), finetuned.numpy()
    norm_b, norm_f = np.sqrt((b * b).sum(-1)), np.sqrt((f * f).sum(-1))
    return {
        "difference": np.sqrt(((f - b) ** 2).sum(-1)),
        "cosine": (b * f).sum(-1) / (norm_b * norm_f),
        "base_norm": norm_b,
        "finetuned_norm": norm_f,
    }


@pytest.mark.parametrize("max_tokens", [1_024, 40])
def test_rows_equal_brute_force(pair: Pair, corpus: Corpus, max_tokens: int) -> None:
    payload = measured(pair, corpus, ActivationNormsConfig(max_tokens=max_tokens))
    json.dumps(payload.model_dump(), allow_nan=False)
    assert [layer.layer for layer in payload.layers] == [1, 2, 3]
    for layer in payload.layers:
        expected = brute_force(pair, corpus, layer.layer, max_tokens)
        with_words = {place for place, (_, words, *_) in expected.items() if words}
        ranked = {found.text.place: found for found in payload.ranked(layer, "mean")}
        assert ranked.keys() == with_words
        for place, found in ranked.items():
            ids, words, base, finetuned = expected[place]
            tokens, row = found.text.tokens, found.row
            first = len(ids) - len(tokens)
            assert [position + first for position in row.positions] == words
            values = measures(base[words], finetuned[words])
            for name, numbers in values.items():
                assert getattr(row, name) == pytest.approx(numbers.tolist(), rel=2e-3, abs=1e-4)
            assert row.mean == pytest.approx(values["difference"].mean(), rel=1e-4)
            assert row.max == pytest.approx(values["difference"].max(), rel=1e-4)
            decode = pair.base.network.tokenizer.decode
            assert list(tokens) == [decode([token]) for token in ids[first:]]


def test_summary_equals_numpy(pair: Pair, corpus: Corpus) -> None:
    payload = measured(pair, corpus, ActivationNormsConfig(layers=(0.5,), top_texts=1))
    (layer,) = payload.layers
    items = brute_force(pair, corpus, 2)
    chosen = [measures(b[words], f[words]) for _, words, b, f in items.values()]
    together = {name: np.concatenate([values[name] for values in chosen]) for name in chosen[0]}
    d = together["difference"]
    assert (payload.texts, layer.tokens) == (len(items), len(d))
    for name, value in {"mean": d.mean(), "std": d.std(), "min": d.min(), "max": d.max()}.items():
        assert getattr(layer.difference, name) == pytest.approx(value, rel=1e-4)
    for p in (25, 50, 75, 90, 95, 99):
        # Counted to three significant digits.
        assert getattr(layer.difference, f"p{p}") == pytest.approx(np.percentile(d, p), rel=6e-3)
    assert layer.cosine.mean == pytest.approx(together["cosine"].mean(), rel=1e-4)
    assert layer.cosine.min == pytest.approx(together["cosine"].min(), rel=1e-4, abs=1e-5)
    assert layer.base_norm == pytest.approx(together["base_norm"].mean(), rel=1e-4)
    assert layer.finetuned_norm == pytest.approx(together["finetuned_norm"].mean(), rel=1e-4)
    assert layer.relative == pytest.approx(d.mean() / together["finetuned_norm"].mean(), rel=1e-4)
    for kind in ("text", "chat"):
        means = [v["difference"].mean() for v, (k, _) in zip(chosen, items, strict=True) if k == kind]
        assert getattr(layer, f"mean_{kind}") == pytest.approx(np.mean(means), rel=1e-4)
    rest = [float((f - b)[j].norm()) for ids, words, b, f in items.values() for j in set(range(len(ids))) - set(words)]
    assert layer.left_out.tokens == len(rest)
    assert layer.left_out.mean == pytest.approx(np.mean(rest), rel=1e-4)


def test_orders_equal_sorting(pair: Pair, corpus: Corpus) -> None:
    payload = measured(pair, corpus, ActivationNormsConfig(layers=(0.25,), top_texts=3))
    items = brute_force(pair, corpus, 1)
    values = {place: measures(b[words], f[words])["difference"] for place, (_, words, b, f) in items.items()}
    (layer,) = payload.layers
    expected = {
        "mean": sorted(values, key=lambda p: -values[p].mean())[:3],
        "max": sorted(values, key=lambda p: -values[p].max())[:3],
        "least": sorted(values, key=lambda p: values[p].mean()),
    }
    for order, places in expected.items():
        assert [found.text.place for found in payload.ranked(layer, order)] == places  # type: ignore[arg-type]


def test_batches_and_a_shared_pass_do_not_matter(pair: Pair, corpus: Corpus) -> None:
    config = ActivationNormsConfig(max_tokens=30, top_texts=4)
    alone = measured(pair, corpus, config)
    collector = METHOD.collector(pair, corpus, config)
    wider = METHOD.collector(pair, corpus, ActivationNormsConfig())
    run_pass([Work(pair, [wider, collector])], corpus, batch_size=3)
    shared = METHOD.content(pair, corpus, config, collector).payload
    assert isinstance(shared, NormsPayload)
    assert shared.rows == alone.rows
    for one, other in zip(shared.layers, alone.layers, strict=True):
        assert one.tokens == other.tokens
        assert one.top_by_mean == other.top_by_mean
        assert one.difference.mean == pytest.approx(other.difference.mean, rel=1e-4)
        assert one.left_out.tokens == other.left_out.tokens


def stored(content: Any, folder: Path) -> Artifact:
    about = {"method": "m", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c", "corpus_sha256": "c"}
    return ArtifactStore(folder, folder).save("k", content, **about, device="cpu", seconds=0, peak_memory_mib=0)


def test_identical_pair_is_exactly_zero(pair_of: Callable[[str], Pair], corpus: Corpus, tmp_path: Path) -> None:
    content = METHOD.diff(pair_of("same"), corpus, ActivationNormsConfig())
    assert isinstance(content.payload, NormsPayload)
    for layer in content.payload.layers:
        assert set(layer.difference.model_dump().values()) == {0.0}
        assert layer.left_out.mean == 0.0
    assert "exactly zero" in METHOD.overview(stored(content, tmp_path), Labels())


def test_overview_uses_the_labels_and_stays_short(pair: Pair, corpus: Corpus, tmp_path: Path) -> None:
    content = METHOD.diff(pair, corpus, ActivationNormsConfig())
    text = METHOD.overview(stored(content, tmp_path), Labels("model A", "model B"))
    assert "|h_model B - h_model A|" in text
    assert "layer 2 of 4: mean d" in text
    assert "finetuned" not in text
    assert "exactly zero" not in text
    assert len(text) < 10_000


@pytest.mark.parametrize("layers", [(), (1.0,), (0.5, -0.1)])
def test_layers_outside_the_model_are_refused(layers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="give at least one share of the depth"):
        ActivationNormsConfig(layers=layers)


def test_a_corpus_without_words_is_refused(pair: Pair, corpus: Corpus) -> None:
    only_chats = Corpus(name="chats", chats=corpus.chats)
    with pytest.raises(ValueError, match="max_tokens 4 leaves no token of corpus 'chats'"):
        METHOD.diff(pair, only_chats, ActivationNormsConfig(max_tokens=4))


def test_shares_on_one_layer_are_read_once_and_scale_is_noted(pair: Pair, corpus: Corpus) -> None:
    content = METHOD.diff(pair, corpus, ActivationNormsConfig(layers=(0.5, 0.6), top_texts=7))
    assert isinstance(content.payload, NormsPayload)
    assert [layer.layer for layer in content.payload.layers] == [2]
    assert content.notes[1].startswith("scaled down: 8 texts of at most 1024 tokens (published: 50,000 x 1,024)")
    assert content.notes[2] == "scaled down: 7 texts kept by each order (published: 100)"
    with pytest.raises(ValueError, match="layer 3 was not read; there is 2"):
        content.payload.at(3)


def test_a_corpus_without_chats_needs_no_template(pair: Pair) -> None:
    content = ContentTokens.of(pair.base.network, Corpus(name="texts", texts=("A b",)))
    assert (content.closing, content.header) == (0, 0)
    ids = (5, 6, *pair.base.network.tokenizer.all_special_ids[:1], 7)
    assert content.columns(Encoded(0, "text", ids)) == [1, 3]


def test_top_texts_keeps_the_largest_and_the_earlier_of_equals() -> None:
    scores = [3.0, 1.0, 3.0, 2.0, 3.0, 2.0]
    for order in (range(6), range(5, -1, -1), (2, 5, 0, 3, 1, 4)):
        top = TopTexts[int](4)
        for i in order:
            top.offer(scores[i], Encoded(i, "text", (1,)), lambda i=i: i)
        assert top.ranked() == [0, 2, 4, 3]
    both = TopTexts[str](1)
    both.offer(1.0, Encoded(0, "chat", (1,)), lambda: "chat")
    both.offer(1.0, Encoded(0, "text", (1,)), lambda: "text")
    assert both.ranked() == ["text"]


def test_marked_brackets_the_largest_and_cuts_around_the_strongest() -> None:
    assert marked(["a", " b", " c"], {0: 0.1, 1: 2.0, 2: 0.5}, most=1) == "a[ b|2] c"
    tokens = [f" w{i:02}" for i in range(50)]
    text = marked(tokens, {i: 100.0 if i == 40 else 1.0 for i in range(50)}, most=1, length=40)
    assert "[ w40|100]" in text
    assert text.startswith("… ")
    assert text.endswith(" …")
    assert len(text) < 60
    assert marked(["<|im_end|>", "x"], {}) == "/ x"


def test_significant_rounds_to_digits() -> None:
    assert [significant(v) for v in (0.0, 1234.5, -0.00012345)] == [0.0, 1230.0, -0.000123]


def test_marks_stand_at_the_positions_that_count() -> None:
    text = KeptText(kind="text", index=0, tokens=("x", *(f" {i}" for i in range(6))))
    values = (5.0, 1.0, 4.0, 3.0, 2.0)
    row = NormsRow(
        mean=3, max=5, positions=range(1, 6), difference=values, cosine=(), base_norm=(), finetuned_norm=(), text=0
    )
    assert RankedText(text, row).marked() == "x[ 0|5] 1[ 2|4][ 3|3][ 4|2] 5"
