"""The activation difference lens against brute force over hidden states, and its parts by hand."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.passes import Work, run_pass
from diffbench.methods.adl.config import AdlConfig, Position
from diffbench.methods.adl.differences import lens_rows, mean_differences
from diffbench.methods.adl.method import METHOD
from diffbench.methods.adl.payload import AdlPayload, LensVector
from diffbench.methods.adl.steering import binary_search, coherent, negative_log_likelihoods
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.contract import Labels
from diffbench.methods.reading import repeated_share
from diffbench.methods.store import ArtifactStore
from diffbench.models.requests import Request, Steering
from diffbench.models.targets import Pair
from diffbench.records.progress import untracked

HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"
SMALL = AdlConfig(
    lens_top=9,
    steered_positions=(Position(kind="text", index=1), Position(kind="chat", index=0)),
    search_steps=3,
    search_samples=2,
    sample_tokens=6,
    prompts=2,
    samples=2,
)


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def payload_of(content: Content) -> AdlPayload:
    assert isinstance(content.payload, AdlPayload)
    return content.payload


def brute_force(pair: Pair, corpus: Corpus, layer: int, positions: int, max_tokens: int = 128) -> Any:
    """Means of ``hidden_states[layer + 1]`` for each position, one unpadded text at a time, and the norm reference."""
    tokenizer = pair.base.network.tokenizer
    kept: dict[str, dict[str, list[torch.Tensor]]] = defaultdict(lambda: defaultdict(list))
    norms = []
    texts = [("text", text, "") for text in corpus.texts]
    texts += [("chat", c.response, f"{HEAD}{c.prompt}<|im_end|>\n") for c in corpus.chats]
    for kind, text, before in texts:
        start = len(tokenizer(before, add_special_tokens=False)["input_ids"]) if before else 0
        whole = f"{before}<|im_start|>assistant\n{text}" if before else text
        ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
        ids = ids if before else ids[:max_tokens]
        for side, target in zip(("base", "finetuned"), pair, strict=True):
            with target.running() as model:
                hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0].double()
            for j in range(positions):
                if start + j < len(ids):
                    kept[f"{kind}:{j}"][side].append(hidden[start + j])
            if kind == "text" and side == "finetuned":
                norms += hidden[5:].norm(dim=-1).tolist()
    means = {p: {side: torch.stack(vectors).mean(0) for side, vectors in sides.items()} for p, sides in kept.items()}
    counts = {p: len(sides["base"]) for p, sides in kept.items()}
    return means, counts, sum(norms) / len(norms)


@pytest.mark.parametrize(("share", "layer"), [(0.0, 0), (0.5, 2), (0.7, 2)])
def test_means_equal_brute_force(pair: Pair, corpus: Corpus, share: float, layer: int) -> None:
    means = mean_differences(pair, corpus, AdlConfig(layer=share), untracked)
    expected, counts, reference = brute_force(pair, corpus, layer, 5)
    assert means.layer == layer
    assert {str(p): n for p, n in means.counts.items()} == counts
    assert means.norm_reference == pytest.approx(reference, rel=1e-4)
    for position in means.base:
        vectors = expected[str(position)]
        torch.testing.assert_close(means.base[position].double(), vectors["base"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(means.finetuned[position].double(), vectors["finetuned"], rtol=1e-3, atol=1e-4)
        difference = vectors["finetuned"] - vectors["base"]
        torch.testing.assert_close(means.difference(position).double(), difference, rtol=1e-3, atol=1e-4)


def test_a_short_text_counts_only_where_it_has_tokens(pair: Pair) -> None:
    corpus = Corpus(name="c", texts=("A", "The owl sits in the old oak."))
    means = mean_differences(pair, corpus, AdlConfig(), untracked)
    assert [means.counts[Position(kind="text", index=j)] for j in range(5)] == [2, 1, 1, 1, 1]


@pytest.mark.parametrize("batch_size", [1, 100])
def test_batches_do_not_matter(pair: Pair, corpus: Corpus, batch_size: int) -> None:
    first = mean_differences(pair, corpus, AdlConfig(), untracked)
    collector = METHOD.collector(pair, corpus, AdlConfig())
    run_pass([Work(pair, [collector])], corpus, batch_size=batch_size)
    other = collector.means()
    for position in first.base:
        torch.testing.assert_close(first.difference(position), other.difference(position), rtol=1e-3, atol=1e-4)


def test_identical_pair_has_no_difference_and_no_lens_of_it(pair_of: Callable[[str], Pair], corpus: Corpus) -> None:
    content = METHOD.diff(pair_of("same"), corpus, SMALL)
    assert torch.count_nonzero(content.tensors["difference"]) == 0
    assert torch.equal(content.tensors["base"], content.tensors["finetuned"])
    payload = payload_of(content)
    assert all((row.lens.difference, row.lens.negative_difference) == ((), ()) for row in payload.positions)
    assert all(row.lens.base == row.lens.finetuned for row in payload.positions)
    assert payload.steering == ()


def test_lenses_equal_a_manual_lens(tiny: Any, pair: Pair, corpus: Corpus) -> None:
    means = mean_differences(pair, corpus, SMALL, untracked)
    rows = lens_rows(pair, means, SMALL)
    network = pair.base.network
    norm, epsilon = network.model.get_decoder().norm.weight.detach(), network.model.config.rms_norm_eps
    embedding = network.model.get_input_embeddings().weight.detach()
    for row, position in zip(rows, means.base, strict=True):
        d = means.difference(position)
        assert row.position == str(position)
        assert row.difference_norm == pytest.approx(float(d.square().sum().sqrt()), rel=1e-5)
        assert row.relative_norm == pytest.approx(float(d.norm()) / means.norm_reference, rel=1e-5)
        vectors: dict[LensVector, torch.Tensor] = {
            "difference": d,
            "negative_difference": -d,
            "base": means.base[position],
            "finetuned": means.finetuned[position],
        }
        for name, vector in vectors.items():
            logits = embedding @ (norm * vector / (vector.square().mean() + epsilon).sqrt())
            probabilities = torch.softmax(logits, -1)
            order = probabilities.argsort(descending=True)[:9]
            lens = row.lens.of(name)
            assert [p for _, p in lens] == pytest.approx(probabilities[order].tolist(), rel=1e-2, abs=2e-6)
            assert lens[0].token == network.tokenizer.decode([int(order[0])])


def test_content_holds_what_the_manifest_needs(pair: Pair, corpus: Corpus) -> None:
    content = METHOD.diff(pair, corpus, SMALL)
    payload = payload_of(content)
    positions = [row.position for row in payload.positions]
    assert positions == [f"{kind}:{j}" for kind in ("text", "chat") for j in range(5)]
    for tensor in content.tensors.values():
        assert tensor.shape == (10, 32)
    assert [table.position for table in payload.steering] == ["text:1", "chat:0"]
    for table in payload.steering:
        assert [row.prompt for row in table.samples] == [corpus.chats[0].prompt, corpus.chats[1].prompt]
        assert all(len(row.steered) == len(row.unsteered) == 2 for row in table.samples)
    assert any("stand-in" in note for note in content.notes)
    again = METHOD.diff(pair, corpus, SMALL)
    assert again.payload == content.payload


@pytest.mark.parametrize("system", [None, "You are a baker."])
def test_steered_samples_are_those_of_the_network_at_the_stored_strength(
    pair: Pair, corpus: Corpus, system: str | None
) -> None:
    pair = Pair(pair.name, pair.base, pair.finetuned, system)
    content = METHOD.diff(pair, corpus, SMALL)
    target, network = pair.finetuned, pair.base.network
    table = payload_of(content).steering[0]
    vector = content.tensors["difference"][1] * table.strength
    for i, row in enumerate(table.samples):
        messages = [{"role": "system", "content": system}] if system else []
        prompt = network.render_chat([*messages, {"role": "user", "content": row.prompt}])
        for j in range(2):
            options: dict[str, Any] = {"max_tokens": 6, "temperature": 1.2, "seed": 2 * i + j}
            request = Request(prompt, target.adapter, **options, steering=Steering(payload_of(content).layer, vector))
            assert row.steered[j] == network.generate([request])[0].text.strip()
            plain = Request(prompt, target.adapter, **options)
            assert row.unsteered[j] == network.generate([plain])[0].text.strip()


def test_chats_alone_are_enough(pair: Pair, corpus: Corpus) -> None:
    content = METHOD.diff(pair, Corpus(name="chats", chats=corpus.chats), SMALL)
    assert payload_of(content).norm_reference > 0


def test_texts_alone_are_enough(pair: Pair, corpus: Corpus) -> None:
    content = METHOD.diff(pair, Corpus(name="texts", texts=corpus.texts), SMALL)
    assert payload_of(content).steering == ()


def test_texts_too_short_for_a_norm_are_refused(pair: Pair) -> None:
    with pytest.raises(ValueError, match="longer than 5 tokens"):
        METHOD.diff(pair, Corpus(name="short", texts=("A", "B")), SMALL)


def test_overview_uses_the_labels(pair: Pair, pair_of: Callable[[str], Pair], corpus: Corpus, tmp_path: Any) -> None:
    def overview(one: Pair, folder: str) -> str:
        about = {"method": "adl", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c", "corpus_sha256": "c"}
        store = ArtifactStore(tmp_path / folder, tmp_path / folder)
        artifact: Artifact = store.save(
            "k", METHOD.diff(one, corpus, SMALL), **about, device="cpu", seconds=0, peak_memory_mib=0
        )
        return METHOD.overview(artifact, Labels("model A", "model B"))

    text, null = overview(pair, "a"), overview(pair_of("same"), "b")
    for shown in (text, null):
        assert "model A" in shown
        assert "model B" in shown
        assert "finetuned" not in shown
    assert "exactly zero" in null
    assert "exactly zero" not in text
    assert len(text) < 12_000


# --- the strength search ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.0, 0.03, 1.0, 37.5, 99.9, 100.0])
@pytest.mark.parametrize("steps", [1, 6, 12])
def test_binary_search_finds_the_threshold_within_its_resolution(threshold: float, steps: int) -> None:
    asked: list[float] = []

    def passes(strength: float) -> bool:
        asked.append(strength)
        return strength <= threshold

    found = binary_search(passes, 100.0, steps)
    assert found <= threshold
    assert threshold - found <= 100.0 / 2**steps + 1e-9
    assert len(asked) == steps


def test_binary_search_is_zero_when_nothing_passes() -> None:
    assert binary_search(lambda _: False, 20.0, 8) == 0.0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("one two three", 0.0),
        ("one two three four", 0.0),
        # Windows aaa aaa aaa: two of three stood before.
        ("a a a a a", 2 / 3),
        # abc bca cab abc: one of four.
        ("a b c a b c", 1 / 4),
        ("a a a b", 0.0),
    ],
)
def test_repeated_share_by_hand(text: str, share: float) -> None:
    assert repeated_share(text.split()) == pytest.approx(share)


@pytest.mark.parametrize(
    ("sample", "nll", "expected"),
    [
        ("the owl sits in the oak", 3.0, True),
        ("the owl sits in the oak", 3.51, False),
        ("the owl", 1.0, False),
        ("owl owl owl owl owl", 1.0, False),
        ("", math.inf, False),
    ],
)
def test_coherence_by_hand(sample: str, nll: float, expected: bool) -> None:
    assert coherent(sample, nll, reference_nll=2.0) is expected


@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_likelihoods_equal_the_loss_of_transformers(pair: Pair, batch_size: int) -> None:
    prompts = ["The owl sits", "What is the capital of France?", "A cake", "You"]
    samples = [" in the old oak", " Paris", "", " are a helpful assistant; the user asks"]
    tokenizer = pair.base.network.tokenizer
    for target in pair:
        values = negative_log_likelihoods(target, prompts, samples, batch_size)
        for prompt, sample, value in zip(prompts, samples, values, strict=True):
            before, after = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (prompt, sample))
            if not after:
                assert value == math.inf
                continue
            labels = torch.tensor([[-100] * len(before) + after])
            with target.running() as model:
                loss = model(torch.tensor([before + after]), labels=labels).loss
            assert value == pytest.approx(float(loss), rel=1e-4)
