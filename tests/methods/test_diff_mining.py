"""Diff mining against brute force: unpadded texts, counts by numpy, topics by scikit-learn on a dense matrix."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.passes import Work, run_pass
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels, PassMethod
from diffbench.methods.diff_mining.collector import PositionSample, TokenCounts, topics_of
from diffbench.methods.diff_mining.config import DiffMiningConfig
from diffbench.methods.diff_mining.method import METHOD
from diffbench.methods.diff_mining.payload import MinedSet, MiningPayload
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.store import ArtifactStore
from diffbench.models.targets import Pair
from sklearn.decomposition import NMF

HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"
SMALL = DiffMiningConfig(top_k=20, tokens=300, max_tokens=64)


def brute_force(
    pair: Pair, corpus: Corpus, max_tokens: int, layer: int | None = None, max_texts: int = 10_000
) -> dict[str, np.ndarray]:
    """D of texts and of chats, [positions, vocabulary], in the corpus' order."""
    tokenizer = pair.base.network.tokenizer
    items = [("text", text, 0) for text in corpus.texts[:max_texts]]
    for chat in corpus.chats[:max_texts]:
        asked = f"{HEAD}{chat.prompt}<|im_end|>\n"
        start = len(tokenizer(asked, add_special_tokens=False)["input_ids"])
        items.append(("chat", f"{asked}<|im_start|>assistant\n{chat.response}", start))
    rows: dict[str, list[np.ndarray]] = {"text": [], "chat": []}
    for kind, text, start in items:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])[:, : start + max_tokens]
        logits = []
        for target in pair:
            with target.running() as model:
                output = model(ids, output_hidden_states=True)
                lens = output.logits
                if layer is not None:
                    lens = model.lm_head(model.model.norm(output.hidden_states[layer + 1]))
                logits.append(lens[0, start:].double())
        rows[kind].append((logits[1] - logits[0]).numpy())
    return {kind: np.concatenate(parts) for kind, parts in rows.items()}


def check(found: MinedSet, difference: np.ndarray, top_k: int) -> None:
    """Both orderings of one kind of positions, counted anew from D."""
    positions, vocabulary = difference.shape
    top = np.argsort(-difference, axis=1)[:, :top_k]
    expected = {
        "occurrence": np.array([(top == token).any(1).mean() for token in range(vocabulary)]),
        "fraction_positive": (difference > 0).mean(0),
    }
    assert found.positions == positions
    assert found.largest == pytest.approx(np.abs(difference).max(), rel=1e-4)
    for name, values in expected.items():
        rows = getattr(found, name)
        assert len(rows) == (values > 0).sum()
        shown = [row.value for row in rows]
        assert shown == sorted(shown, reverse=True)
        for row in rows:
            assert row.value == pytest.approx(values[row.id], abs=1e-6)
            assert row.mean == pytest.approx(difference[:, row.id].mean(), abs=2e-4)
        for one, two in pairwise(rows):
            assert one.value > two.value or one.mean >= two.mean, "ties are ordered by mean D"


def stored(content: Any, folder: Path) -> Artifact:
    about = {"method": "diff_mining", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c"}
    numbers = {"corpus_sha256": "c", "device": "cpu", "seconds": 1.0, "peak_memory_mib": 1.0}
    return ArtifactStore(folder).save("k" * 24, content, **about, **numbers)


def mined(content: Any) -> MiningPayload:
    assert isinstance(content.payload, MiningPayload)
    return content.payload


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


@pytest.mark.parametrize(("top_k", "max_tokens"), [(20, 64), (100, 64), (1, 64), (20, 5), (20, 1)])
def test_orderings_equal_brute_force(top_k: int, max_tokens: int, pair: Pair, corpus: Corpus) -> None:
    config = DiffMiningConfig(top_k=top_k, max_tokens=max_tokens, tokens=300)
    payload = mined(METHOD.diff(pair, corpus, config))
    for kind, difference in brute_force(pair, corpus, max_tokens).items():
        check(payload.sets[kind], difference, top_k)
    assert (payload.sets["text"].texts, payload.sets["chat"].texts) == (5, 3)


@pytest.mark.parametrize(("share", "layer"), [(0.75, 3), (0.5, 2), (0.0, 0)])
def test_the_lens_reads_an_earlier_layer(share: float, layer: int, pair: Pair, corpus: Corpus) -> None:
    payload = mined(METHOD.diff(pair, corpus, SMALL.model_copy(update={"layer": share})))
    assert payload.layer == layer
    for kind, difference in brute_force(pair, corpus, 64, layer).items():
        check(payload.sets[kind], difference, 20)


def test_the_number_of_texts_and_of_tokens_kept(pair: Pair, corpus: Corpus) -> None:
    config = DiffMiningConfig(top_k=20, tokens=7, max_texts=2)
    payload = mined(METHOD.diff(pair, corpus, config))
    every = mined(METHOD.diff(pair, corpus, config.model_copy(update={"tokens": 300})))
    for kind, difference in brute_force(pair, corpus, 64, max_texts=2).items():
        check(every.sets[kind], difference, 20)
        for name in ("occurrence", "fraction_positive"):
            assert getattr(payload.sets[kind], name) == getattr(every.sets[kind], name)[:7]


def test_topics_equal_scikit_learn_on_the_dense_matrix(pair: Pair, corpus: Corpus) -> None:
    payload = mined(METHOD.diff(pair, corpus, SMALL))
    for kind, difference in brute_force(pair, corpus, 64).items():
        top = np.argsort(-difference, axis=1)[:, :20]
        dense = np.zeros_like(difference)
        np.put_along_axis(dense, top, np.take_along_axis(difference, top, 1).clip(0), 1)
        columns = np.flatnonzero(dense.any(0))
        options: dict[str, Any] = {"solver": "mu", "beta_loss": "kullback-leibler", "max_iter": 200, "random_state": 0}
        model = NMF(3, init="random", **options)
        weights = model.fit_transform(dense[:, columns])
        mass = weights.sum(0) * model.components_.sum(1)
        groups = payload.sets[kind].topics.groups
        assert payload.sets[kind].topics.positions == len(dense)
        assert sum(group.share for group in groups) == pytest.approx(1, abs=1e-3)
        for group, k in zip(groups, np.argsort(-mass), strict=True):
            expected = dict(zip(columns, model.components_[k] / model.components_[k].sum(), strict=True))
            assert group.share == pytest.approx(mass[k] / mass.sum(), abs=5e-3)
            for row in group.tokens:
                assert row.value == pytest.approx(expected[row.id], abs=5e-3)


def test_topics_recover_groups_of_tokens_that_rise_together(pair: Pair) -> None:
    generator = torch.Generator().manual_seed(0)
    groups, sizes = (range(10, 25), range(100, 115), range(200, 215)), (60, 120, 30)
    counts = TokenCounts(300, config := DiffMiningConfig(top_k=15))
    start = 0
    for group, size in zip(groups, sizes, strict=True):
        difference = -torch.rand(size, 300, generator=generator)
        difference[:, list(group)] = 1 + torch.rand(size, 15, generator=generator)
        counts.add(np.arange(start, start + size), difference)
        start += size
    topics = topics_of(counts, np.zeros(300), config, pair.base.network.tokenizer)
    assert topics.positions == 210
    for found, (group, size) in zip(topics.groups, [(groups[i], sizes[i]) for i in (1, 0, 2)], strict=True):
        top = {row.id for row in found.tokens[:15]}
        assert top == set(group)
        assert sum(row.value for row in found.tokens[:15]) > 0.99
        assert found.dominant == pytest.approx(size / 210, abs=1e-4)
        assert found.share == pytest.approx(size / 210, abs=0.02)


@pytest.mark.parametrize(("chunk_tokens", "batch_size"), [(1, 1), (7, 3), (10_000, 100)])
def test_batches_chunks_and_company_do_not_matter(
    chunk_tokens: int, batch_size: int, pair: Pair, corpus: Corpus
) -> None:
    config = SMALL.model_copy(update={"topic_positions": 40})
    reference = mined(METHOD.diff(pair, corpus, config))
    collector = METHOD.collector(pair, corpus, config)
    wide = KL.collector(pair, corpus, KlConfig())
    run_pass([Work(pair, [wide, collector])], corpus, batch_size=batch_size, chunk_tokens=chunk_tokens)
    other = mined(METHOD.content(pair, corpus, config, collector))
    for kind, expected in reference.sets.items():
        found = other.sets[kind]
        for name in ("occurrence", "fraction_positive"):
            values = [{row.id: row.value for row in rows} for rows in (getattr(found, name), getattr(expected, name))]
            assert values[0] == values[1]
        assert found.topics.positions == expected.topics.positions == min(40, found.positions)
        for one, two in zip(found.topics.groups, expected.topics.groups, strict=True):
            assert one.share == pytest.approx(two.share, abs=1e-3)


def test_the_sample_of_positions_is_bounded_uniform_and_the_same_in_any_order() -> None:
    generator = np.random.default_rng(0)
    places = generator.permutation(20_000).astype(np.int64)
    tokens = np.stack([places, places + 1], 1).astype(np.int32)

    def sampled(order: np.ndarray, step: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        sample = PositionSample(500, seed)
        for i in range(0, len(order), step):
            cut = order[i : i + step]
            sample.add(places[cut], tokens[cut], tokens[cut].astype(np.float32))
            assert sample._held <= 1_000 + step
        return sample.rows()

    one, values = sampled(np.arange(20_000), 64)
    two, _ = sampled(generator.permutation(20_000), 999)
    assert (one == two).all()
    assert (values == one).all(), "tokens and values stay together"
    assert len(one) == len(set(one[:, 0])) == 500
    assert (np.diff(one[:, 0]) > 0).all()
    # Uniform: the mean of 500 draws from 0..19,999 has a standard error of 258.
    assert abs(one[:, 0].mean() - 10_000) < 3 * 258
    assert len(set(one[:, 0]) & set(sampled(np.arange(20_000), 64, seed=1)[0][:, 0])) < 50


def test_tokens_that_the_tokenizer_lacks_are_left_out(pair: Pair, corpus: Corpus) -> None:
    """Models often have more rows of logits than tokens."""
    collector = METHOD.collector(pair, corpus, SMALL)
    run_pass([Work(pair, [collector])], corpus)
    padded = METHOD.collector(pair, corpus, SMALL)
    original = padded.logits
    padded.logits = lambda item, start, base, finetuned: original(  # type: ignore[method-assign]
        item, start, torch.nn.functional.pad(base, (0, 4)), torch.nn.functional.pad(finetuned, (0, 9), value=50.0)
    )
    run_pass([Work(pair, [padded])], corpus)
    for kind, counts in collector.counts.items():
        assert (padded.counts[kind].occurrence == counts.occurrence).all()
        assert padded.counts[kind].largest == counts.largest


def test_identical_pair_is_exactly_zero(pair_of: Callable[[str], Pair], corpus: Corpus, tmp_path: Path) -> None:
    for number, layer in enumerate((None, 0.75)):
        content = METHOD.diff(pair_of("same"), corpus, SMALL.model_copy(update={"layer": layer}))
        for found in mined(content).sets.values():
            assert found.largest == 0.0
            assert found.occurrence == found.fraction_positive == found.topics.groups == ()
        text = METHOD.overview(stored(content, tmp_path / str(number)), Labels())
        assert "exactly zero everywhere" in text


def test_overview_uses_the_labels_and_shows_a_hundred_tokens(pair: Pair, corpus: Corpus, tmp_path: Path) -> None:
    content = METHOD.diff(pair, corpus, DiffMiningConfig())
    text = METHOD.overview(stored(content, tmp_path), Labels("model A", "model B"))
    assert "D = logits of model B - logits of model A" in text
    assert "finetuned" not in text
    assert len(text) < 8_000
    for found in mined(content).sets.values():
        assert len(found.occurrence) == 100
        for row in found.occurrence:
            assert f"{row.token!r} {row.value:.1%}" in text


def test_a_corpus_of_texts_alone(pair: Pair, corpus: Corpus, tmp_path: Path) -> None:
    content = METHOD.diff(pair, Corpus(name="texts", texts=corpus.texts), SMALL)
    assert list(mined(content).sets) == ["text"]
    assert "chat" not in METHOD.overview(stored(content, tmp_path), Labels()).partition("taken")[2]


def test_settings_that_cannot_be_are_refused(pair: Pair, corpus: Corpus) -> None:
    with pytest.raises(ValueError, match=r"top_k 301 is more than the 300 tokens"):
        METHOD.diff(pair, corpus, DiffMiningConfig(top_k=301))
    for field, value in (("top_k", 0), ("layer", 1.0), ("topics", 0), ("seed", -1), ("max_tokens", 0), ("k", 3)):
        with pytest.raises(ValueError, match=field):
            DiffMiningConfig.model_validate({field: value})


def test_scale_is_noted(pair: Pair, corpus: Corpus) -> None:
    assert isinstance(METHOD, PassMethod)
    assert METHOD.diff(pair, corpus, DiffMiningConfig()).notes == (
        "scaled down: 5 texts and 3 answers in chats of at most 64 tokens (published: 8,192 x 64)",
    )
    notes = METHOD.diff(pair, corpus, DiffMiningConfig(topic_positions=9)).notes
    assert notes[1] == "topics from a random sample of 9 positions of texts, and of chats"
