"""PCA of activation differences against scikit-learn's exact PCA on hidden states taken from the plain model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.encoding import ContentTokens, Encoded
from diffbench.methods.activations.passes import Batch, Work, run_pass
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.contract import Labels
from diffbench.methods.pca.config import PcaConfig
from diffbench.methods.pca.method import METHOD
from diffbench.methods.pca.payload import SIGNS, EndText, PcaPayload, ProjectedText, TextProjections
from diffbench.methods.store import ArtifactStore
from diffbench.models.requests import Request, Steering
from diffbench.models.targets import Pair

pytest.importorskip("sklearn")
from diffbench.methods.pca.differences import DifferencesCollector, TextSample
from sklearn.decomposition import PCA

HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"
SMALL = PcaConfig(
    components=4, steered_components=2, factors=(0.5, 1.0), prompts=2, samples=2, sample_tokens=6, lens_top=9
)
UNSTEERED = SMALL.model_copy(update={"steered_components": 0})


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def brute_force(pair: Pair, corpus: Corpus, layer: int = 2) -> dict[tuple[str, int], tuple[np.ndarray, list[int]]]:
    """For each item h_f - h_b at all its tokens, [tokens, d_model], and the positions of its author's words."""
    tokenizer = pair.base.network.tokenizer
    found = {}
    texts = [(("text", i), [("", False), (text, True)]) for i, text in enumerate(corpus.texts)]
    for i, chat in enumerate(corpus.chats):
        middle = "<|im_end|>\n<|im_start|>assistant\n"
        texts.append((("chat", i), [(HEAD, False), (chat.prompt, True), (middle, False), (chat.response, True)]))
    for place, parts in texts:
        pieces = [(tokenizer(part, add_special_tokens=False)["input_ids"] if part else [], w) for part, w in parts]
        ids = [token for piece, _ in pieces for token in piece]
        words = [w for piece, w in pieces for _ in piece]
        hidden = []
        for target in pair:
            with target.running() as model:
                states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0]
            hidden.append(states.double().numpy())
        found[place] = (hidden[1] - hidden[0], [j for j, w in enumerate(words) if w and j > 0])
    return found


def payload_of(content: Content) -> PcaPayload:
    assert isinstance(content.payload, PcaPayload)
    return content.payload


def aligned(components: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Signs that turn ``components`` to the side of ``exact``, [components]."""
    return np.sign((components * exact).sum(-1))


@pytest.mark.parametrize("batch_tokens", [32_768, 60, 37])
@pytest.mark.parametrize("fit_tokens", ["all", "content"])
def test_components_equal_exact_pca(pair: Pair, corpus: Corpus, batch_tokens: int, fit_tokens: str) -> None:
    settings = {"batch_tokens": batch_tokens, "fit_tokens": fit_tokens}
    content = METHOD.diff(pair, corpus, PcaConfig.model_validate(UNSTEERED.model_dump() | settings))
    items = brute_force(pair, corpus).values()
    rows = np.concatenate([d if fit_tokens == "all" else d[words] for d, words in items])
    assert payload_of(content).tokens == len(rows)
    exact = PCA(n_components=4, svd_solver="full").fit(rows)
    found = content.tensors["components"].double().numpy()
    signs = aligned(found, exact.components_)
    # In steps of at least d_model tokens it is as good as exact; the tiny model has 32 dimensions.
    np.testing.assert_allclose(signs[:, None] * found, exact.components_, atol=2e-3)
    np.testing.assert_allclose(content.tensors["mean"].double().numpy(), exact.mean_, atol=1e-4)
    tables = payload_of(content).components
    for name in ("explained_variance", "explained_variance_ratio"):
        measured = [getattr(table, name) for table in tables]
        assert measured == pytest.approx(getattr(exact, f"{name}_").tolist(), rel=1e-3)
    assert payload_of(content).mean_norm == pytest.approx(np.linalg.norm(exact.mean_), rel=1e-4)


def test_components_are_orthonormal_and_their_sign_is_fixed(pair: Pair, corpus: Corpus) -> None:
    components = METHOD.diff(pair, corpus, UNSTEERED).tensors["components"]
    torch.testing.assert_close(components @ components.T, torch.eye(4), atol=1e-5, rtol=0)
    farthest = components.gather(1, components.abs().argmax(1, keepdim=True))
    assert (farthest > 0).all()


def test_extreme_texts_equal_projecting_and_sorting(pair: Pair, corpus: Corpus) -> None:
    content = METHOD.diff(pair, corpus, UNSTEERED.model_copy(update={"top_texts": 3}))
    components, mean = (content.tensors[name].double().numpy() for name in ("components", "mean"))
    items = brute_force(pair, corpus)
    payload = payload_of(content)
    for i, table in enumerate(payload.components):
        values = {place: ((d - mean) @ components[i])[words] for place, (d, words) in items.items()}
        assert table.maximum == pytest.approx(max(v.max() for v in values.values()), rel=2e-3)
        assert table.minimum == pytest.approx(min(v.min() for v in values.values()), rel=2e-3)
        top, bottom = (payload.end(table, sign) for sign in SIGNS)
        assert [row.text.place for row in top] == sorted(values, key=lambda p: -values[p].max())[:3]
        assert [row.text.place for row in bottom] == sorted(values, key=lambda p: values[p].min())[:3]
        for row in (*top, *bottom):
            d, words = items[row.text.place]
            # From float16 differences.
            assert row.row.projections == pytest.approx(values[row.text.place], rel=5e-3, abs=5e-3)
            first = len(d) - len(row.text.tokens)
            assert [position + first for position in row.text.positions] == words


def test_lenses_equal_a_manual_lens(pair: Pair, corpus: Corpus) -> None:
    content = METHOD.diff(pair, corpus, UNSTEERED)
    network = pair.base.network
    norm, epsilon = network.model.get_decoder().norm.weight.detach(), network.model.config.rms_norm_eps
    embedding = network.model.get_input_embeddings().weight.detach()
    for table, component in zip(payload_of(content).components, content.tensors["components"], strict=True):
        for sign, vector in zip(SIGNS, (component, -component), strict=True):
            logits = embedding @ (norm * vector / (vector.square().mean() + epsilon).sqrt())
            probabilities = torch.softmax(logits, -1)
            order = probabilities.argsort(descending=True)[:9]
            lens = table.lens[sign]
            assert [p for _, p in lens] == pytest.approx(probabilities[order].tolist(), rel=1e-2, abs=2e-6)
            assert lens[0][0] == network.tokenizer.decode([int(order[0])])


@pytest.mark.parametrize("system", [None, "You are a baker."])
def test_steered_samples_are_reproduced_one_by_one(pair: Pair, corpus: Corpus, system: str | None) -> None:
    pair = Pair(pair.name, pair.base, pair.finetuned, system)
    content = METHOD.diff(pair, corpus, SMALL)
    steering, tables = payload_of(content).steering, payload_of(content).components
    network = pair.finetuned.network
    assert steering.prompts == (corpus.chats[0].prompt, corpus.chats[1].prompt)
    conditions = [(t.component, t.sign, t.factor) for t in steering.tables]
    assert conditions == [(c, s, f) for c in (1, 2) for s in "+-" for f in (0.5, 1.0)]

    def sampled(prompt: int, sample: int, steered: Steering | None) -> str:
        messages = [{"role": "system", "content": system}] if system else []
        text = network.render_chat([*messages, {"role": "user", "content": steering.prompts[prompt]}])
        seed = 2 * prompt + sample
        request = Request(text, pair.finetuned.adapter, max_tokens=6, temperature=1.0, seed=seed, steering=steered)
        return network.generate([request])[0].text.strip()

    for prompt, sample in ((0, 0), (1, 1)):
        assert steering.unsteered[prompt][sample] == sampled(prompt, sample, None)
        for table in (steering.tables[1], steering.tables[6]):
            number = table.component - 1
            largest = max(tables[number].maximum, -tables[number].minimum)
            assert table.strength == pytest.approx(table.factor * largest)
            sign = 1 if table.sign == "+" else -1
            vector = sign * table.factor * largest * content.tensors["components"][number]
            assert table.samples[prompt][sample] == sampled(prompt, sample, Steering(2, vector))


def test_a_shared_pass_and_other_batches_do_not_matter(pair: Pair, corpus: Corpus) -> None:
    config = UNSTEERED.model_copy(update={"max_tokens": 30})
    alone = METHOD.diff(pair, corpus, config)
    collector = METHOD.collector(pair, corpus, config)
    wider = METHOD.collector(pair, corpus, UNSTEERED.model_copy(update={"layer": 0.75}))
    run_pass([Work(pair, [wider, collector])], corpus, batch_size=3)
    shared = METHOD.content(pair, corpus, config, collector)
    assert payload_of(shared).tokens == payload_of(alone).tokens
    torch.testing.assert_close(shared.tensors["components"], alone.tensors["components"], atol=2e-3, rtol=0)
    assert [c.top for c in payload_of(shared).components] == [c.top for c in payload_of(alone).components]


def collect(config: PcaConfig, differences: list[torch.Tensor]) -> DifferencesCollector:
    """A collector that saw texts with these differences, each [tokens, d_model], one batch a text."""
    from diffbench.methods.activations.passes import Need

    collector = DifferencesCollector(Need(frozenset({0})), ContentTokens(), config)
    for i, d in enumerate(differences):
        item = Encoded(i, "text", tuple(range(len(d))))
        collector.residuals(Batch([item], {0: torch.zeros(1, *d.shape)}, {0: d.unsqueeze(0)}))
    return collector


def test_one_direction_is_found_by_hand() -> None:
    """d = mean + a * u with a = +-3: one component, u; its variance is that of a."""
    u, mean = torch.tensor([0.6, 0.8, 0.0]), torch.tensor([1.0, 0.0, 2.0])
    fit = collect(PcaConfig(), [torch.stack([mean + 3 * u, mean - 3 * u]) for _ in range(4)]).fit()
    torch.testing.assert_close(fit.components, u.unsqueeze(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(fit.mean, mean, atol=1e-6, rtol=0)
    assert float(fit.variance[0]) == pytest.approx(8 * 9 / 7, rel=1e-4)
    assert float(fit.ratio[0]) == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(fit.project(mean + 2 * u.unsqueeze(0)), torch.tensor([[2.0]]), atol=1e-5, rtol=0)


def test_a_constant_difference_has_no_components() -> None:
    fit = collect(PcaConfig(), [torch.tensor([[0.1, 0.7, 2.3]] * 5)] * 3).fit()
    assert fit.components.shape == (0, 3)
    torch.testing.assert_close(fit.mean, torch.tensor([0.1, 0.7, 2.3]))


def test_the_fit_does_not_hold_the_corpus() -> None:
    generator = torch.Generator().manual_seed(0)
    config = PcaConfig(batch_tokens=64, kept_tokens=100, max_tokens=50)
    collector = DifferencesCollectorSizes(config, [torch.randn(50, 8, generator=generator) for _ in range(40)])
    assert max(collector.waiting) < 64
    assert max(collector.held) <= 100


class DifferencesCollectorSizes:
    """Tokens held after each text."""

    def __init__(self, config: PcaConfig, differences: list[torch.Tensor]) -> None:
        from diffbench.methods.activations.passes import Need

        collector = DifferencesCollector(Need(frozenset({0})), ContentTokens(), config)
        self.waiting, self.held = [], []
        for i, d in enumerate(differences):
            item = Encoded(i, "text", tuple(range(len(d))))
            collector.residuals(Batch([item], {0: torch.zeros(1, *d.shape)}, {0: d.unsqueeze(0)}))
            self.waiting.append(sum(map(len, collector._waiting)))
            self.held.append(sum(len(kept.columns) for kept in collector.sample.kept()))


def test_the_sample_does_not_depend_on_the_order_and_fits() -> None:
    sizes = [7, 3, 12, 5, 9, 4, 1, 8, 6, 2] * 3
    chosen = []
    for seed in (0, 1):
        kept = []
        for order in (range(30), range(29, -1, -1), sorted(range(30), key=lambda i: sizes[i])):
            sample = TextSample(40, seed)
            for i in order:
                item = Encoded(i, "text", (1,) * sizes[i])
                sample.offer(item, range(sizes[i]), torch.full((sizes[i], 2), float(i)))
            kept.append([k.item.index for k in sample.kept()])
            assert sum(sizes[i] for i in kept[-1]) <= 40
            assert sample.left_out == 30 - len(kept[-1])
        assert kept[0] == kept[1] == kept[2]
        chosen.append(kept[0])
    assert chosen[0] != chosen[1]
    assert len(chosen[0]) > 2


def test_kept_differences_survive_float16_at_any_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-12, 1.0, 1e9):
        sample = TextSample(100, 0)
        d = scale * torch.randn(5, 16, generator=generator)
        sample.offer(Encoded(0, "text", (1,) * 5), range(5), d)
        error = (sample.kept()[0].differences - d).abs().amax(-1) / d.abs().amax(-1)
        assert float(error.max()) <= 2**-11
    sample = TextSample(100, 0)
    sample.offer(Encoded(0, "text", (1,)), [0], torch.zeros(1, 4))
    assert torch.count_nonzero(sample.kept()[0].differences) == 0


def stored(content: Any, folder: Path) -> Artifact:
    about = {"method": "m", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c", "corpus_sha256": "c"}
    return ArtifactStore(folder, folder).save("k", content, **about, device="cpu", seconds=0, peak_memory_mib=0)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_identical_pair_has_no_components(pair_of: Callable[[str], Pair], corpus: Corpus, tmp_path: Path) -> None:
    content = METHOD.diff(pair_of("same"), corpus, SMALL)
    payload = payload_of(content)
    assert (payload.components, payload.steering.tables) == ((), ())
    assert (payload.largest_difference, payload.mean_norm) == (0.0, 0.0)
    assert "exactly zero" in METHOD.overview(stored(content, tmp_path), Labels())


def test_overview_uses_the_labels_and_stays_short(pair: Pair, corpus: Corpus, tmp_path: Path) -> None:
    content = METHOD.diff(pair, corpus, SMALL)
    text = METHOD.overview(stored(content, tmp_path), Labels("model A", "model B"))
    assert "h_model B - h_model A" in text
    assert "Samples of model B steered by 1 x" in text
    assert "finetuned" not in text
    assert "exactly zero" not in text
    assert len(text) < 12_000


def test_marks_count_in_the_direction_of_the_end() -> None:
    text = ProjectedText(kind="text", index=0, tokens=("x", " y", " z"), positions=(1, 2))
    row = TextProjections(text=0, max=5.0, min=-4.0, projections=(5.0, -4.0))
    assert [EndText(text, row, sign).marked(most=1) for sign in SIGNS] == ["x[ y|5] z", "x y[ z|4]"]
    assert [EndText(text, row, sign).farthest for sign in SIGNS] == [5.0, -4.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factors": ()}, "all above 0"),
        ({"factors": (-1.0,)}, "all above 0"),
        ({"kept_tokens": 10, "max_tokens": 20}, "kept_tokens 10 is less than max_tokens 20"),
        ({"layer": 1.0}, "less than 1"),
        ({"components": 0}, "components"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PcaConfig(**settings)


def test_too_small_a_corpus_is_refused(pair: Pair, corpus: Corpus) -> None:
    chats = Corpus(name="chats", chats=corpus.chats)
    with pytest.raises(ValueError, match="leaves no token of corpus 'chats'"):
        METHOD.diff(pair, chats, UNSTEERED.model_copy(update={"max_tokens": 4}))
    with pytest.raises(ValueError, match="at least two tokens, there is 0"):
        METHOD.diff(pair, chats, UNSTEERED.model_copy(update={"max_tokens": 4, "fit_tokens": "content"}))


def test_scale_is_noted(pair: Pair, corpus: Corpus) -> None:
    settings = UNSTEERED.model_dump() | {"batch_tokens": 20, "kept_tokens": 40, "max_tokens": 40}
    notes = "\n".join(METHOD.diff(pair, corpus, PcaConfig.model_validate(settings)).notes)
    assert "scaled down: 8 texts of at most 40 tokens (published: 200,000 x 1,024)" in notes
    assert "steps of 20 tokens" in notes
    assert "a seeded sample of" in notes
    assert "sample_tokens 6 (512)" in notes
    assert "factors [0.5, 1.0]" in notes
    assert "content tokens only" not in notes
