"""The KL method against brute force: one text at a time, the whole model, torch's own divergence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.encoding import Encoded
from diffbench.methods.activations.passes import Need, Work, run_pass
from diffbench.methods.activations.top_texts import quantile
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels
from diffbench.methods.kl.collector import KlCollector, token_kl
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import METHOD
from diffbench.methods.kl.payload import KlPayload, KlText
from diffbench.methods.store import ArtifactStore
from diffbench.models.targets import Pair
from torch.distributions import Categorical, kl_divergence

HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"


def brute_force(pair: Pair, corpus: Corpus, max_tokens: int = 1_024) -> dict[tuple[str, int], list[float]]:
    """KL(finetuned || base) after each token, one unpadded text at a time."""
    tokenizer = pair.base.network.tokenizer
    texts = [(("text", i), text, 0) for i, text in enumerate(corpus.texts)]
    head = len(tokenizer(HEAD, add_special_tokens=False)["input_ids"])
    for i, chat in enumerate(corpus.chats):
        whole = f"{HEAD}{chat.prompt}<|im_end|>\n<|im_start|>assistant\n{chat.response}"
        texts.append((("chat", i), whole, head))
    values = {}
    for key, text, start in texts:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"][:max_tokens]])
        logits = []
        for target in (pair.finetuned, pair.base):
            with target.running() as model:
                logits.append(model(ids).logits[0].double())
        finetuned, base = (Categorical(logits=x) for x in logits)
        values[key] = kl_divergence(finetuned, base)[start:].tolist()
    return values


def rows_of(payload: Any) -> dict[tuple[str, int], KlText]:
    assert isinstance(payload, KlPayload)
    return {row.place: row for row in payload.rows}


def chunked(pair: Pair, corpus: Corpus, config: KlConfig, batch_size: int, chunk_tokens: int) -> KlPayload:
    """The payload of a pass in batches and stretches of these sizes."""
    collector = METHOD.collector(pair, corpus, config)
    run_pass([Work(pair, [collector])], corpus, batch_size=batch_size, chunk_tokens=chunk_tokens)
    payload = METHOD.content(pair, corpus, config, collector).payload
    assert isinstance(payload, KlPayload)
    return payload


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def test_token_kl_equals_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    base, finetuned = (3 * torch.randn(40, 300, generator=generator) for _ in range(2))
    expected = kl_divergence(Categorical(logits=finetuned.double()), Categorical(logits=base.double()))
    torch.testing.assert_close(token_kl(base, finetuned).double(), expected, rtol=1e-4, atol=1e-5)
    # The other direction is another number.
    assert not torch.allclose(token_kl(finetuned, base).double(), expected, rtol=1e-2)


def test_token_kl_by_hand() -> None:
    base, finetuned = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.25, 0.5]]).log()
    # 0.25 ln(1/2) + 0 + 0.5 ln 2
    assert float(token_kl(base, finetuned)) == pytest.approx(0.25 * 0.6931472, rel=1e-5)
    assert float(token_kl(base, base + 3)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("max_tokens", "batch_size"), [(1_024, 3), (64, 16)])
def test_values_equal_brute_force(pair: Pair, corpus: Corpus, max_tokens: int, batch_size: int) -> None:
    payload = chunked(pair, corpus, KlConfig(max_tokens=max_tokens), batch_size, chunk_tokens=7)
    expected = brute_force(pair, corpus, max_tokens)
    rows = rows_of(payload)
    assert rows.keys() == expected.keys()
    for key, values in expected.items():
        assert rows[key].kl == pytest.approx(values, rel=1e-3, abs=2e-4)
        assert rows[key].mean == pytest.approx(sum(values) / len(values), rel=1e-3)
        assert rows[key].max == pytest.approx(max(values), rel=1e-3)
    everything = torch.tensor([v for values in expected.values() for v in values], dtype=torch.float64)
    summary = payload.summary
    assert (summary.texts, summary.tokens) == (len(expected), everything.numel())
    assert summary.mean == pytest.approx(float(everything.mean()), rel=1e-3)
    assert summary.max == pytest.approx(float(everything.max()), rel=1e-3)
    assert summary.p99 == pytest.approx(float(everything.quantile(0.99)), rel=1e-3)
    for kind in ("text", "chat"):
        means = [sum(v) / len(v) for (k, _), v in expected.items() if k == kind]
        assert getattr(summary, f"mean_{kind}") == pytest.approx(sum(means) / len(means), rel=1e-3)


def test_tokens_stand_beside_their_values(pair: Pair, corpus: Corpus) -> None:
    for row in METHOD.diff(pair, corpus, KlConfig()).payload.rows:
        assert len(row.tokens) == len(row.kl)
        text = "".join(row.tokens)
        whole = corpus.texts[row.index] if row.kind == "text" else corpus.chats[row.index].prompt
        assert text.startswith(whole)


@pytest.mark.parametrize(("chunk_tokens", "batch_size"), [(6, 1), (5, 2), (10_000, 100)])
def test_chunks_and_batches_do_not_matter(pair: Pair, corpus: Corpus, chunk_tokens: int, batch_size: int) -> None:
    reference = rows_of(METHOD.diff(pair, corpus, KlConfig()).payload)
    other = rows_of(chunked(pair, corpus, KlConfig(), batch_size, chunk_tokens))
    for key, row in reference.items():
        assert other[key].kl == pytest.approx(row.kl, rel=1e-3, abs=2e-4)


def test_identical_pair_is_exactly_zero(pair_of: Callable[[str], Pair], pair: Pair, corpus: Corpus) -> None:
    content = METHOD.diff(pair_of("same"), corpus, KlConfig())
    assert all(value == 0.0 for row in content.payload.rows for value in row.kl)
    summary = content.payload.summary
    assert (summary.mean, summary.max, summary.p99) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99, 1.0])
def test_quantiles_of_counts_are_those_of_the_values(seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    values = generator.exponential(size=1 + 3 * seed).round(1).tolist()
    assert quantile(Counter(values), share) == pytest.approx(np.quantile(values, share), abs=1e-12)
    assert quantile({2.5: 10**9}, share) == 2.5


def test_memory_holds_the_top_texts_only() -> None:
    """A thousand texts, of which the two with the largest mean and the two with the largest maximum are kept."""
    collector = KlCollector(Need(logits=True), KlConfig(top_texts=2))
    generator = torch.Generator().manual_seed(3)
    means, maxima = [], []
    for index in range(1_000):
        base, finetuned = (torch.randn(4, 5, generator=generator) for _ in range(2))
        item = Encoded(index, "text", (0, 1, 2, 3))
        for start in (0, 2):
            collector.logits(item, start, base[start : start + 2], finetuned[start : start + 2])
        values = kl_divergence(Categorical(logits=finetuned), Categorical(logits=base))
        means.append(float(values.mean()))
        maxima.append(float(values.max()))
    assert collector.texts == 1_000
    for order, measured in (("mean", means), ("max", maxima)):
        best = sorted(range(1_000), key=lambda i: -measured[i])[:2]
        assert [row.item.index for row in getattr(collector, f"by_{order}").ranked()] == best


def test_top_rows_are_those_with_the_largest_values(pair: Pair, corpus: Corpus) -> None:
    expected = brute_force(pair, corpus)
    payload = METHOD.diff(pair, corpus, KlConfig(top_texts=3)).payload
    for order, measure in (("mean", lambda v: sum(v) / len(v)), ("max", max)):
        ranked = sorted(expected, key=lambda key: -measure(expected[key]))[:3]
        assert [row.place for row in payload.top(order)] == ranked
    assert payload.summary.texts == len(expected)


def test_max_texts_cuts_texts_and_chats_each(pair: Pair, corpus: Corpus) -> None:
    rows = rows_of(METHOD.diff(pair, corpus, KlConfig(max_texts=2)).payload)
    assert set(rows) == {("text", 0), ("text", 1), ("chat", 0), ("chat", 1)}


def test_chats_cut_within_the_template_are_left_out(pair: Pair, corpus: Corpus) -> None:
    payload = METHOD.diff(pair, corpus, KlConfig(max_tokens=5)).payload
    assert {kind for kind, _ in rows_of(payload)} == {"text"}
    only_chats = Corpus(name="chats", chats=corpus.chats)
    with pytest.raises(ValueError, match="max_tokens"):
        METHOD.diff(pair, only_chats, KlConfig(max_tokens=5))


def stored(content: Any, folder: Path) -> Artifact:
    about = {"method": "kl", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c", "corpus_sha256": "c"}
    return ArtifactStore(folder, folder).save("k", content, **about, device="cpu", seconds=0, peak_memory_mib=0)


def test_overview_says_exact_equality_only_of_equal_models(
    fresh_network: Any, pair_of: Callable[[str], Pair], corpus: Corpus, make_adapter: Any, tmp_path: Path
) -> None:
    """A change too small for the rounded values is no equality."""
    from diffbench.models.targets import Target
    from safetensors.torch import load_file, save_file

    folder = make_adapter("faint", seed=5)
    weights = {
        name: 1e-4 * t if "lora_B" in name else t for name, t in load_file(folder / "adapter_model.safetensors").items()
    }
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    fresh_network.load_adapter("faint", str(folder))
    same = pair_of("same")
    faint = Pair(same.name, Target(fresh_network), Target(fresh_network, "faint"))
    content = METHOD.diff(faint, corpus, KlConfig())
    assert 0 < max(v for values in brute_force(faint, corpus).values() for v in values) < 5e-5
    claim = "exactly the same"
    assert claim not in METHOD.overview(stored(content, tmp_path / "a"), Labels())
    identical = METHOD.diff(same, corpus, KlConfig())
    assert claim in METHOD.overview(stored(identical, tmp_path / "b"), Labels())


def test_overview_uses_the_labels_and_stays_short(pair: Pair, corpus: Corpus, tmp_path: Path) -> None:
    text = METHOD.overview(stored(METHOD.diff(pair, corpus, KlConfig()), tmp_path), Labels("model A", "model B"))
    assert "KL(model B || model A)" in text
    assert "finetuned" not in text
    assert len(text) < 8_000


def test_marked_brackets_the_largest_values() -> None:
    tokens, kl = ["a", *(f" {i}" for i in range(4)), "<|im_end|>", "."], [0.1, 2.0, 0.5, 0.0, 3.04, 0.2, 0.05]
    text = KlText(kind="text", index=0, mean=0.5, max=3.04, tokens=tokens, kl=kl)
    assert text.marked() == "a[ 0|2.0][ 1|0.5] 2[ 3|3.0][ / |0.2]."
    long = KlText(kind="text", index=0, mean=0.5, max=1, tokens=["word "] * 100, kl=[0.0] * 99 + [1.0])
    assert long.marked() == ("[word |0.0]" * 3 + "word " * 90)[:420].strip() + " …"


def test_scale_is_noted(pair: Pair, corpus: Corpus) -> None:
    assert METHOD.diff(pair, corpus, KlConfig()).notes[0].startswith("scaled down: 8 texts")
