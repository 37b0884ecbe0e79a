"""The patchscope against a forward pass built layer by layer, the choice of scale, and its judges."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.adl.config import PUBLISHED_SCALES, AdlConfig, PatchscopeConfig, Position
from diffbench.methods.adl.differences import mean_differences
from diffbench.methods.adl.judges import EmbeddingCoherence, ScaleChoice, ScaleTokens, is_word
from diffbench.methods.adl.llm_judge import LlmJudge
from diffbench.methods.adl.method import METHOD, patchscope_notes
from diffbench.methods.adl.patchscope import IDENTITY_PROMPTS, patched_probabilities, patchscope_of, scale_tokens
from diffbench.methods.adl.payload import AdlPayload, PatchedVector
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels
from diffbench.methods.store import ArtifactStore
from diffbench.models.targets import Pair, Target
from diffbench.records.progress import untracked
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model
from pydantic import ValidationError

TEXT_1 = Position(kind="text", index=1)
FEW = PatchscopeConfig(positions=(TEXT_1,), scales=(0.5, 1.0, 20.0), intersection_top=60, tokens=7)
SMALL: dict[str, Any] = {"lens_top": 5, "prompts": 1, "samples": 1, "sample_tokens": 3}
SMALL |= {"search_steps": 1, "search_samples": 1, "steered_positions": (TEXT_1,)}


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def by_hand(target: Target, prompt: str, layer: int, vector: torch.Tensor) -> torch.Tensor:
    """Next-token distribution, decoder layer by decoder layer on the whole prompt, without cache, hooks or batches."""
    ids = torch.tensor([target.network.tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    with target.running() as model:
        decoder = model.get_decoder()
        stream = decoder.embed_tokens(ids)
        rotary = decoder.rotary_emb(stream, torch.arange(ids.shape[1]).unsqueeze(0))
        hidden_future = torch.full((ids.shape[1], ids.shape[1]), float("-inf")).triu(1)[None, None]
        for index, block in enumerate(decoder.layers):
            stream = block(stream, attention_mask=hidden_future, position_embeddings=rotary)
            stream = stream[0] if isinstance(stream, tuple) else stream
            if index == layer:
                stream = torch.cat([stream[:, :-1], vector.view(1, 1, -1)], dim=1)
        return torch.softmax(model.lm_head(decoder.norm(stream))[0, -1].double(), -1)


def test_prompts_and_scales_are_the_published_ones() -> None:
    assert IDENTITY_PROMPTS == (
        "man -> man\n1135 -> 1135\nhello -> hello\n?",
        "bear -> bear\n42 -> 42\nblue -> blue\n?",
        "921 -> 921\ntarget -> target\nanna -> anna\n?",
    )
    fine = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]
    assert list(PUBLISHED_SCALES) == [*fine, 3, 4, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200]
    config = PatchscopeConfig()
    assert (config.scales, config.intersection_top, config.tokens) == (PUBLISHED_SCALES, 16_384, 20)
    assert [str(position) for position in config.positions] == [f"text:{j}" for j in range(5)]


@pytest.mark.parametrize("side", ["base", "finetuned"])
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_patching_equals_a_forward_built_by_hand(pair: Pair, side: str, layer: int) -> None:
    target: Target = getattr(pair, side)
    vectors = 5 * torch.randn(4, 32, generator=torch.Generator().manual_seed(layer))
    for prompt in IDENTITY_PROMPTS:
        found = patched_probabilities(target, prompt, layer, vectors)
        expected = torch.stack([by_hand(target, prompt, layer, vector) for vector in vectors])
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-5)
    # What is put in, and where, matters.
    other = patched_probabilities(target, IDENTITY_PROMPTS[0], layer, -vectors)
    assert not torch.allclose(other, patched_probabilities(target, IDENTITY_PROMPTS[0], layer, vectors), atol=1e-3)


def test_patching_leaves_the_model_as_it_was(pair: Pair) -> None:
    ids = torch.tensor([[5, 6, 7]])
    with pair.finetuned.running() as model:
        before = model(ids).logits
        patched_probabilities(pair.finetuned, IDENTITY_PROMPTS[0], 1, torch.ones(2, 32))
        assert torch.equal(model(ids).logits, before)


def test_scale_tokens_equal_the_intersection_by_hand(pair: Pair) -> None:
    vector, reference = torch.randn(32, generator=torch.Generator().manual_seed(1)), 7.5
    found = scale_tokens(pair.finetuned, 2, vector, reference, FEW)
    assert [row.scale for row in found] == [0.5, 1.0, 20.0]
    for row in found:
        patched = vector / vector.square().sum().sqrt() * reference * row.scale
        tables = [by_hand(pair.finetuned, prompt, 2, patched) for prompt in IDENTITY_PROMPTS]
        tops = [set(table.argsort(descending=True)[:60].tolist()) for table in tables]
        mean = {token: sum(float(table[token]) for table in tables) / 3 for token in set.intersection(*tops)}
        expected = sorted(mean, key=lambda token: -mean[token])[:7]
        assert list(row.ids) == expected
        assert row.probabilities == pytest.approx([mean[token] for token in expected], rel=1e-3)
        assert row.tokens == tuple(pair.base.network.tokenizer.decode([token]) for token in expected)


def test_tokens_outside_one_prompts_top_are_left_out(pair: Pair) -> None:
    vector = torch.randn(32, generator=torch.Generator().manual_seed(2))
    for row in scale_tokens(pair.finetuned, 2, vector, 5.0, FEW.model_copy(update={"intersection_top": 1})):
        patched = vector / vector.norm() * 5.0 * row.scale
        best = {int(by_hand(pair.finetuned, prompt, 2, patched).argmax()) for prompt in IDENTITY_PROMPTS}
        assert set(row.ids) == (best if len(best) == 1 else set())


def test_only_the_direction_counts(pair: Pair) -> None:
    vector = torch.randn(32, generator=torch.Generator().manual_seed(3))
    one, other = (scale_tokens(pair.finetuned, 1, factor * vector, 4.0, FEW) for factor in (1.0, 30.0))
    assert [row.ids for row in one] == [row.ids for row in other]


# --- the table, the artifact, the overview ----------------------------------------------------------------------


class Last:
    """Chooses the largest scale and selects its first token."""

    name = "the last"

    def choose(self, rows: Any) -> ScaleChoice:
        row = max(rows, key=lambda row: row.scale)
        return ScaleChoice(row.scale, row.tokens[:1])


def test_the_table_holds_the_difference_and_each_models_own_mean(pair: Pair, corpus: Corpus) -> None:
    means = mean_differences(pair, corpus, AdlConfig(), untracked)
    table = patchscope_of(pair, means, FEW, judge=Last())
    assert table.judge == "the last"
    (row,) = table.rows
    assert row.position == "text:1"
    sources: dict[PatchedVector, tuple[Target, torch.Tensor]] = {
        "difference": (pair.finetuned, means.finetuned[TEXT_1] - means.base[TEXT_1]),
        "base": (pair.base, means.base[TEXT_1]),
        "finetuned": (pair.finetuned, means.finetuned[TEXT_1]),
    }
    for name, (target, vector) in sources.items():
        rows = scale_tokens(target, means.layer, vector, means.norm_reference, FEW)
        found = row.of(name)
        assert found is not None
        assert found.scale == 20.0
        assert tuple(token for token, _ in found.tokens) == rows[-1].tokens
        assert [p for _, p in found.tokens] == pytest.approx(rows[-1].probabilities, abs=1e-6)
        assert found.selected == rows[-1].tokens[:1]
        if name == "difference":
            assert row.by_scale == tuple((scale.scale, scale.tokens) for scale in rows)


def test_positions_that_the_corpus_does_not_reach_are_left_out(pair: Pair, corpus: Corpus) -> None:
    means = mean_differences(pair, Corpus(name="t", texts=corpus.texts), AdlConfig(), untracked)
    config = PatchscopeConfig(positions=(Position(kind="chat", index=0), TEXT_1), scales=(1.0,))
    assert [row.position for row in patchscope_of(pair, means, config).rows] == ["text:1"]


def saved(content: Any, folder: Any) -> Artifact:
    about = {"method": "adl", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c", "corpus_sha256": "c"}
    return ArtifactStore(folder, folder).save("k", content, **about, device="cpu", seconds=0, peak_memory_mib=0)


def test_content_and_overview_with_and_without_the_patchscope(pair: Pair, corpus: Corpus, tmp_path: Any) -> None:
    labels = Labels("model A", "model B")
    content = METHOD.diff(pair, corpus, AdlConfig(**SMALL, patchscope=FEW))
    shown = METHOD.overview(saved(content, tmp_path / "with"), labels)
    assert "Patchscope of +d in model B" in shown
    assert "mean h_model A in model A" in shown
    assert "finetuned" not in shown
    plain = METHOD.diff(pair, corpus, AdlConfig(**SMALL))
    assert isinstance(plain.payload, AdlPayload)
    assert isinstance(content.payload, AdlPayload)
    stored = plain.payload.model_dump(exclude_unset=True)
    assert "patchscope" not in stored
    assert content.payload.model_dump(exclude_unset=True, exclude={"patchscope"}) == stored
    assert "Patchscope" not in METHOD.overview(saved(plain, tmp_path / "without"), labels)
    assert any("stand-in" in note and "scales" in note for note in content.notes)
    assert "without the patchscope" in plain.notes


def test_identical_pair_has_only_the_controls(pair_of: Callable[[str], Pair], corpus: Corpus, tmp_path: Any) -> None:
    content = METHOD.diff(pair_of("same"), corpus, AdlConfig(**SMALL, patchscope=FEW))
    assert isinstance(content.payload, AdlPayload)
    assert content.payload.patchscope is not None
    (row,) = content.payload.patchscope.rows
    assert set(row.model_dump(exclude_unset=True)) == {"position", "base", "finetuned"}
    assert row.base == row.finetuned is not None
    shown = METHOD.overview(saved(content, tmp_path), Labels())
    assert "exactly zero" in shown
    assert "Patchscope" not in shown


# --- settings ---------------------------------------------------------------------------------------------------


def test_the_patchscope_is_off_unless_its_settings_are_given() -> None:
    assert AdlConfig().model_dump(mode="json")["patchscope"] is None
    on = AdlConfig.model_validate({"patchscope": {}})
    assert AdlConfig.model_validate(on.model_dump(mode="json")) == on
    assert on.patchscope == PatchscopeConfig()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": []}, "scales"),
        ({"scales": [1.0, 0.0]}, "positive and distinct; got 1.0, 0.0"),
        ({"scales": [1.0, 1.0]}, "positive and distinct"),
        ({"scales": [float("nan")]}, "positive and distinct"),
        ({"tokens": 0}, "tokens"),
        ({"no_such": 1}, "no_such"),
        ({"positions": [{"kind": "text", "index": 5}]}, r"text:5 is not averaged; positions is 5.*last index is 4"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AdlConfig.model_validate({"patchscope": settings})


def test_notes_say_what_is_not_as_published() -> None:
    assert patchscope_notes(None) == ["without the patchscope"]
    assert patchscope_notes(PatchscopeConfig(judge="openai/some-model")) == []
    (stand_in,) = patchscope_notes(PatchscopeConfig())
    assert "stand-in" in stand_in
    changed = " ".join(patchscope_notes(FEW))
    assert "scales 3 (30)" in changed
    assert "intersection_top 60 (16384)" in changed
    assert "positions: text:1" in changed


# --- judges -----------------------------------------------------------------------------------------------------

VOCABULARY = ["cake", "sugar", "oven", "flour", "moon", "wheel", "rope", "lamp", "the", "hello", "##", "ox"]


@pytest.fixture(scope="module")
def coherence() -> EmbeddingCoherence:
    """Embeddings of 400 tokens, random but for the first four, which lie close together."""
    embedding = torch.randn(400, 64, generator=torch.Generator().manual_seed(5))
    embedding[:4] = embedding[0] + 0.3 * embedding[:4]
    # These would be related, were they words.
    embedding[8:12] = embedding[0] + 0.3 * embedding[8:12]
    return EmbeddingCoherence(embedding + 10.0, ignored=["Hello"])


def row(scale: float, *tokens: str) -> ScaleTokens:
    return ScaleTokens(scale, tuple(map(VOCABULARY.index, tokens)), tokens, tuple(0.1 for _ in tokens))


def test_the_stand_in_chooses_most_words_that_belong_together(coherence: EmbeddingCoherence) -> None:
    noise, three = row(0.5, "moon", "wheel", "rope", "lamp"), row(2.0, "moon", "cake", "sugar", "rope", "oven")
    four = row(10.0, "cake", "lamp", "sugar", "oven", "flour")
    assert coherence.choose([noise, three, four]) == ScaleChoice(10.0, ("cake", "sugar", "oven", "flour"))
    assert coherence.choose([noise, three]) == ScaleChoice(2.0, ("cake", "sugar", "oven"))


def test_the_stand_in_leaves_out_what_is_no_word_and_the_prompts_words(coherence: EmbeddingCoherence) -> None:
    assert coherence.choose([row(1.0, "the", "hello", "##", "ox", "cake")]) == ScaleChoice(1.0, ())
    assert [is_word(token) for token in (" Cake", "the", " The ", "##", "ox", "1135", "naïve")] == [
        True, False, False, False, False, False, True,
    ]  # fmt: skip


def test_the_stand_in_takes_the_smaller_of_equal_scales(coherence: EmbeddingCoherence) -> None:
    same = [row(scale, "cake", "sugar", "oven") for scale in (4.0, 1.0, 20.0)]
    assert coherence.choose(same).scale == 1.0
    assert coherence.choose([row(5.0), row(3.0)]) == ScaleChoice(3.0, ())


def test_likeness_is_the_standardised_mean_of_two_neighbours(coherence: EmbeddingCoherence) -> None:
    embedding = torch.randn(400, 64, generator=torch.Generator().manual_seed(5))
    embedding[:4] = embedding[0] + 0.3 * embedding[:4]
    embedding[8:12] = embedding[0] + 0.3 * embedding[8:12]
    centred = embedding - embedding.mean(0)
    every = torch.nn.functional.cosine_similarity(centred[:, None], centred[None], dim=-1)
    others = every[~torch.eye(400, dtype=torch.bool)]
    found = coherence.related(row(1.0, "cake", "moon", "sugar", "oven", "flour"))
    assert set(found) == {0, 2, 3, 4}
    likeness = sorted((float(every[0, j]) for j in (4, 1, 2, 3)), reverse=True)[:2]
    # The background is a sample of all pairs.
    assert found[0] == pytest.approx((sum(likeness) / 2 - float(others.mean())) / float(others.std()), rel=0.1)


def test_tokens_that_were_never_trained_do_not_win() -> None:
    embedding = torch.randn(400, 100, generator=torch.Generator().manual_seed(6))
    embedding[:4] = embedding[0] + 0.3 * embedding[:4]
    # As in real vocabularies: a part of it shares one direction and little else.
    untrained = torch.arange(4, 400, 4)
    embedding[untrained] = 0.5 * embedding[untrained] + 20.0 * torch.nn.functional.normalize(embedding[399], dim=-1)
    names = ["cake", "sugar", "oven", "flour", *(f"merge{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(396))]
    found, junk = ([names[i] for i in ids] for ids in (range(4), untrained[:8].tolist()))
    assert all(map(is_word, junk[1:]))

    def at(scale: float, tokens: list[str]) -> ScaleTokens:
        return ScaleTokens(scale, tuple(map(names.index, tokens)), tuple(tokens), tuple(0.1 for _ in tokens))

    coherence = EmbeddingCoherence(embedding)
    assert coherence.choose([at(1.0, found), at(100.0, junk)]) == ScaleChoice(1.0, tuple(found))
    assert coherence.related(at(100.0, junk)) == {}


def judge_of(reply: Callable[[str], str], asked: list[str] | None = None) -> LlmJudge:
    def answer(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
        if asked is not None:
            asked.append(messages[-1].text)
        output = ModelOutput.from_content("mockllm", reply(messages[-1].text))
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    model: Model = get_model("mockllm/judge", custom_outputs=answer, memoize=False)
    return LlmJudge(model)


def likes(best: float) -> Callable[[str], str]:
    """Chooses the scale closest to ``best`` of those it is shown, and claims a token that was never there."""

    def reply(prompt: str) -> str:
        table = prompt.partition("Scales and their tokens:\n")[2]
        scales = [float(found) for found in re.findall(r"^([\d.]+): ", table, re.MULTILINE)]
        chosen = min(scales, key=lambda scale: abs(scale - best))
        return 'Let {me} think. {"scale": 1}\n' + json.dumps({"scale": chosen, "tokens": ["owl", "invented"]})

    return reply


@pytest.mark.parametrize("best", [0.5, 1.3, 200.0])
def test_a_model_judges_groups_of_ten_and_then_their_winners(best: float) -> None:
    asked: list[str] = []
    rows = [ScaleTokens(s, (1, 2), (" owl", f" word{i}"), (0.5, 0.1)) for i, s in enumerate(PUBLISHED_SCALES)]
    assert judge_of(likes(best), asked).choose(rows) == ScaleChoice(best, (" owl",))
    shown = [len(re.findall(r"^[\d.]+: ", prompt, re.MULTILINE)) for prompt in asked]
    assert sorted(shown) == [3, 10, 10, 10]


def test_a_model_sees_no_punctuation_and_no_empty_scale() -> None:
    asked: list[str] = []
    rows = [ScaleTokens(1.0, (1, 2), (" ->", "..."), (0.5, 0.1)), ScaleTokens(2.0, (1, 3), (" ->", "owl"), (0.5, 0.1))]
    assert judge_of(likes(1.0), asked).choose(rows) == ScaleChoice(2.0, ("owl",))
    assert "->" not in asked[0].partition("Scales and their tokens")[2]
    asked.clear()
    assert judge_of(likes(1.0), asked).choose(rows[:1]) == ScaleChoice(1.0, ())
    assert asked == []


def test_a_reply_that_cannot_be_read_is_sent_back_once() -> None:
    rows = [ScaleTokens(2.0, (1,), ("owl",), (0.5,))]
    replies = iter(["no idea", '{"scale": 2, "tokens": ["owl"]}'])
    assert judge_of(lambda _: next(replies)).choose(rows) == ScaleChoice(2.0, ("owl",))
    with pytest.raises(ValueError, match=r"could not be read twice \(7.0 is none of the scales 2\); choose another"):
        judge_of(lambda _: '{"scale": 7}').choose(rows)


def test_a_model_can_judge_where_an_event_loop_is_running() -> None:
    rows = [ScaleTokens(2.0, (1,), ("owl",), (0.5,))]

    async def inside() -> ScaleChoice:
        return judge_of(likes(2.0)).choose(rows)

    assert asyncio.run(inside()).scale == 2.0


def test_the_configured_model_is_the_judge(pair: Pair, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def choose(self: LlmJudge, rows: Any) -> ScaleChoice:
        named.append(self.name)
        return ScaleChoice(rows[0].scale, ())

    monkeypatch.setattr(LlmJudge, "choose", choose)
    means = mean_differences(pair, corpus, AdlConfig(), untracked)
    table = patchscope_of(pair, means, FEW.model_copy(update={"judge": "openai/some-model"}))
    assert table.judge == "model openai/some-model"
    assert named == ["model openai/some-model"] * 3
