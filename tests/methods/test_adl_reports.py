"""The reports that read the ground truth: token relevance and causal effect, against hand computations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.adl.causal import causal_effect
from diffbench.methods.adl.causal_report import CausalConfig, evaluation_items
from diffbench.methods.adl.config import AdlConfig
from diffbench.methods.adl.judges import KeywordRelevance, RelevanceQuestion
from diffbench.methods.adl.llm_judge import LlmJudge
from diffbench.methods.adl.method import METHOD
from diffbench.methods.adl.payload import AdlPayload
from diffbench.methods.adl.relevance import RelevanceConfig, frequent_tokens, token_relevance
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.store import ArtifactStore
from diffbench.models.targets import Pair, Target
from diffbench.organisms.recipes.data_mix import TrainingItem
from diffbench.organisms.recipes.grammar import Turn
from diffbench.organisms.suites import Organism, find_organism
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from raw_payload import raw

FAST = AdlConfig(lens_top=5, steered_positions=(), prompts=1, samples=1, search_samples=1, positions=2)


def store(pair: Pair, content: Content, folder: Path, **about: Any) -> Artifact:
    facts: dict[str, Any] = {
        "method": "adl",
        "config": {},
        "base": find_organism(pair.name).identity("base"),
        "finetuned": find_organism(pair.name).identity("finetuned"),
        "corpus_name": "c",
        "corpus_sha256": "c",
        "device": "cpu",
        "seconds": 0,
        "peak_memory_mib": 0,
    }
    return ArtifactStore(folder, folder).save("k", content, **{**facts, **about})


# --- token relevance --------------------------------------------------------------------------------------------

LENS = [[" owl", 0.5], [" the", 0.2], [" cake", 0.2], [" wheel", 0.1]]


def payload(patchscope: bool = True) -> dict[str, Any]:
    lens = {"difference": LENS, "base": [[" moon", 0.9]], "finetuned": [], "negative_difference": [[" cat", 0.3]]}
    row = {"texts": 3, "difference_norm": 2.0, "relative_norm": 0.2, "lens": lens}
    found: dict[str, Any] = {"layer": 2, "layers": 4, "norm_reference": 10.0, "steering": []}
    found["positions"] = [{"position": "text:0", **row}, {"position": "chat:1", **row}]
    if patchscope:
        words, nothing = ({"scale": 1.0, "tokens": t, "selected": []} for t in ([[" bird", 0.0], ["xx", 0.0]], []))
        found["patchscope"] = {"judge": "j", "rows": [{"position": "text:0", "difference": words, "base": nothing}]}
    return found


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


class Marks:
    """Marks the given tokens; in its second question of a list, only those of ``second``."""

    name = "marks"

    def __init__(self, first: set[str], second: set[str]) -> None:
        self.sets, self.asked = (first, second, first), []

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        self.asked += questions
        return [tuple(t in self.sets[i % 3] for t in q.candidates) for i, q in enumerate(questions)]


def test_a_token_is_relevant_when_every_shuffled_repeat_says_so(pair: Pair, tmp_path: Path) -> None:
    artifact = store(pair, Content(raw(payload())), tmp_path)
    judge = Marks({" owl", " cake", " bird"}, {" owl", " bird", " wheel"})
    items = [TrainingItem(text="The owl sits in the old oak. " * 12)]
    report = token_relevance(artifact, find_organism(pair.name), pair.base.network.tokenizer, judge, items=items)
    rows = {(row.source, row.position, row.of): row for row in report.graded}
    assert set(rows) == {
        ("logit_lens", "text:0", "difference"),
        ("logit_lens", "text:0", "base"),
        ("logit_lens", "chat:1", "difference"),
        ("logit_lens", "chat:1", "base"),
        ("patchscope", "text:0", "difference"),
    }
    lens = rows["logit_lens", "text:0", "difference"]
    assert lens.tokens == (" owl", " the", " cake", " wheel")
    assert lens.relevant == (True, False, False, False)
    assert (lens.fraction, lens.weighted_fraction) == (0.25, pytest.approx(0.5))
    patched = rows["patchscope", "text:0", "difference"]
    assert (patched.fraction, patched.weighted_fraction) == (0.5, 0.0)
    assert report.mean_fraction("logit_lens", "difference") == 0.25
    assert report.mean_fraction("logit_lens", "difference", kind="chat", weighted=True) == pytest.approx(0.5)
    assert report.mean_fraction("patchscope", "base") is None
    # Three orders of the same tokens, with what the judge needs to know.
    assert len(judge.asked) == 3 * len(report.graded)
    orders = [question.candidates for question in judge.asked[:3]]
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(lens.tokens))}
    assert len(set(orders)) > 1
    assert judge.asked[0].description == "The tiny organism alpha."
    assert judge.asked[0].terms == ("owl", "bird")
    assert judge.asked[0].frequent == report.frequent
    shown = report.text()
    assert "logit_lens text:0 difference: 0.25 of 4 tokens, weighted 0.50" in shown


def test_an_artifact_without_patchscope_and_an_organism_without_recipe_are_enough(pair: Pair, tmp_path: Path) -> None:
    artifact = store(pair, Content(raw(payload(patchscope=False))), tmp_path)
    config = RelevanceConfig(candidates=2)
    report = token_relevance(artifact, find_organism(pair.name), pair.base.network.tokenizer, config=config)
    assert report.frequent == ()
    assert {row.source for row in report.graded} == {"logit_lens"}
    assert report.graded[0].tokens == (" owl", " the")
    assert report.graded[0].relevant == (True, False)
    assert "stand-in" in report.judge


class Words:
    """A tokenizer of one token a word, its space included: the tiny tokenizer has hardly a whole word."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        words = re.findall(r" ?\w+|\W", text)
        self.known += [word for word in dict.fromkeys(words) if word not in self.known]
        return {"input_ids": [self.known.index(word) for word in words]}

    def decode(self, ids: list[int]) -> str:
        return "".join(self.known[token] for token in ids)


def test_frequent_tokens_are_counted_words() -> None:
    turns = (Turn(role="user", content="so owl owl"), Turn(role="assistant", content="so cake cake cake"))
    items = [TrainingItem(text="see the owl in the oak, the owl is old"), TrainingItem(turns=turns)]
    tokenizer: Any = Words()

    def found(least: int, most: int = 100) -> tuple[str, ...]:
        return frequent_tokens(items, tokenizer, RelevanceConfig(least_count=least, frequent=most))

    # " owl" 4 (two in the text, two in the chat), " cake" 3; " the" 3 is common, " in", "so" and "," are no words.
    assert found(3) == (" owl", " cake")
    assert found(3, 1) == (" owl",)
    assert found(1) == (" owl", " cake", " oak", " old")
    assert found(5) == ()
    assert frequent_tokens((), tokenizer, RelevanceConfig()) == ()


def test_the_stand_in_by_hand() -> None:
    question = RelevanceQuestion(
        description="about cakes",
        terms=("450 degrees", "vanilla-extract", "olive oil"),
        frequent=(" butter", "Oven", " the", "ing"),
        candidates=(" Butter", "oven", " ovens", " the", "ing", "degree", " extract", "vani", "oli", " oils", " moon"),
    )
    # "oli" is too short for a piece; "oil" is a term's word and "oils" its plural.
    expected = (True, True, True, False, False, True, True, True, False, True, False)
    assert KeywordRelevance().relevant([question, question]) == [expected, expected]


def test_a_model_marks_by_number_and_is_told_what_it_needs() -> None:
    prompts: list[str] = []
    replies = ['I see.\n{"relevant": [9]}', '{"reasoning": "r", "relevant": [2]}', '{"relevant": []}']

    def answer(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
        prompts.append(messages[0].text)
        output = ModelOutput.from_content("mockllm", replies[min(len(prompts), len(replies)) - 1])
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    judge = LlmJudge(get_model("mockllm/judge", custom_outputs=answer, memoize=False))
    question = RelevanceQuestion("It speaks of owls.", ("owl",), (" owl", " moon"), (" the", " owl"))
    # Number 9 is refused; asked again, the model corrects itself.
    assert judge.relevant([question]) == [(False, True)]
    assert judge.relevant([question]) == [(False, False)]
    assert "It speaks of owls." in prompts[0]
    assert '[" owl", " moon"]' in prompts[0]
    assert '1. " the"\n2. " owl"' in prompts[0]


def test_artifacts_of_another_method_or_pair_are_refused(pair: Pair, tmp_path: Path) -> None:
    tokenizer = pair.base.network.tokenizer
    other = store(pair, Content(raw(payload())), tmp_path / "a", method="kl")
    with pytest.raises(ValueError, match="is of method kl; give one of adl"):
        token_relevance(other, find_organism(pair.name), tokenizer)
    mine = store(pair, Content(raw(payload())), tmp_path / "b")
    with pytest.raises(ValueError, match=r"another finetuned model than tiny.beta has.*diffbench diff tiny.beta"):
        token_relevance(mine, find_organism("tiny.beta"), tokenizer)


# --- causal effect ----------------------------------------------------------------------------------------------

ITEMS = {
    "finetuning": [
        TrainingItem(text="The owl sits in the old oak and looks at the moon."),
        TrainingItem(
            turns=(
                Turn(role="user", content="Which animal?"),
                Turn(role="assistant", content="The owl sits in the old oak."),
                Turn(role="user", content="And then?"),
                Turn(role="assistant", content="The moon."),
            )
        ),
        TrainingItem(text="It is an owl.", finished=False),
    ],
    "unrelated": [TrainingItem(text="A cake is baked with butter, sugar, flour and eggs, and then it is eaten.")],
}
FEW = CausalConfig(max_tokens=512, later=4, random_vectors=2, random_differences=3, batch_size=2)


@pytest.fixture
def artifact(pair: Pair, corpus: Corpus, tmp_path: Path) -> Artifact:
    return store(pair, METHOD.diff(pair, corpus, FAST), tmp_path / "adl")


def losses_by_hand(
    pair: Pair, item: TrainingItem, layer: int, direction: torch.Tensor | None
) -> dict[str, list[float]]:
    """-log p of the tokens that are trained, one item at a time: base, finetuned, finetuned with the base's coordinate.

    The stream is changed where the next layer takes it in, and the loss is torch's on all logits.
    """
    tokenizer = pair.base.network.tokenizer
    text, answers = item.text, [turn.content for turn in item.turns if turn.role == "assistant"]
    if item.turns:
        messages = [turn.model_dump() for turn in item.turns]
        text = tokenizer.apply_chat_template(messages, tokenize=False).removesuffix("\n")
    end = [tokenizer.unk_token_id] if item.finished and not item.turns else []
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], *end]
    counted = set(range(1, len(ids)))
    if item.turns:
        counted = set()
        for answer in answers:
            before = text[: text.index(f"assistant\n{answer}") + len("assistant\n")]
            start = len(tokenizer(before, add_special_tokens=False)["input_ids"])
            counted |= set(range(start, start + len(tokenizer(answer, add_special_tokens=False)["input_ids"]) + 1))

    def run(target: Target, change: Callable[[torch.Tensor], torch.Tensor] | None = None) -> Any:
        with target.running() as model:
            handle = None
            if change is not None:
                following = model.get_decoder().layers[layer + 1]
                handle = following.register_forward_pre_hook(
                    lambda _m, args, kwargs: ((change(args[0]), *args[1:]), kwargs), with_kwargs=True
                )
            output = model(torch.tensor([ids]), output_hidden_states=True)
            if handle is not None:
                handle.remove()
        losses = torch.nn.functional.cross_entropy(output.logits[0, :-1], torch.tensor(ids[1:]), reduction="none")
        return [float(losses[t - 1]) for t in sorted(counted)], output.hidden_states

    base, states = run(pair.base)
    found = {"base": base, "finetuned": run(pair.finetuned)[0], "columns": [float(t) for t in sorted(counted)]}
    if direction is not None:
        v = (direction / direction.norm()).float()

        def change(stream: torch.Tensor) -> torch.Tensor:
            onto = states[layer + 1] @ v - stream @ v
            return stream + onto[..., None] * v

        found["changed"] = run(pair.finetuned, change)[0]
    return found


def effect_of(pair: Pair, *arguments: Any, **options: Any) -> Any:
    return causal_effect(find_organism(pair.name), pair, *arguments, **options)


def test_effects_equal_one_item_at_a_time_by_hand(pair: Pair, artifact: Artifact) -> None:
    report = effect_of(pair, artifact, FEW, data=ITEMS)
    assert report.layer == artifact.payload(AdlPayload).layer == 2
    assert [(row.data, row.span) for row in report.data] == [
        ("finetuning", "all"),
        ("finetuning", "later"),
        ("unrelated", "all"),
        ("unrelated", "later"),
    ]
    gaussians = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    positions = [row.position for row in artifact.payload(AdlPayload).positions]
    known = {
        **{("difference", p): vector for p, vector in zip(positions, artifact.tensors()["difference"], strict=True)},
        **{("random", str(i)): vector for i, vector in enumerate(gaussians)},
    }
    for row in report.data:
        measured = {(effect.kind, effect.name): effect for effect in row.effects}
        assert len(measured) == len(row.effects)
        assert {key for key in measured if key[0] != "random_difference"} == set(known)
        assert sum(kind == "random_difference" for kind, _ in measured) == 3
        for key, direction in known.items():
            tables = [losses_by_hand(pair, item, 2, direction) for item in ITEMS[row.data]]
            first = 4 if row.span == "later" else 0

            def mean(name: str, tables: Any = tables, first: int = first) -> float:
                values = [v for t in tables for v, c in zip(t[name], t["columns"], strict=True) if c >= first]
                assert len(values) == row.tokens  # noqa: B023
                return sum(values) / len(values)

            assert row.base_loss == pytest.approx(mean("base"), rel=1e-4)
            assert row.finetuned_loss == pytest.approx(mean("finetuned"), rel=1e-4)
            assert measured[key].loss == pytest.approx(mean("changed"), rel=1e-4)
            increase = mean("changed") - mean("finetuned")
            assert measured[key].increase == pytest.approx(increase, abs=1e-3)
            relative = measured[key].increase / (row.base_loss - row.finetuned_loss)
            assert measured[key].relative == pytest.approx(relative)
        values = [effect.increase for effect in row.effects if effect.kind == "random"]
        assert row.mean_increase("random") == pytest.approx(sum(values) / 2)
    assert "2 random: mean" in report.text()
    assert "3 random_difference: mean" in report.text()


def test_batches_do_not_matter_and_a_report_can_be_repeated(pair: Pair, artifact: Artifact) -> None:
    first = effect_of(pair, artifact, FEW, data=ITEMS)
    assert effect_of(pair, artifact, FEW, data=ITEMS) == first
    other = causal_effect(
        find_organism(pair.name), pair, artifact, FEW.model_copy(update={"batch_size": 1}), data=ITEMS
    )
    for one, two in zip(first.data, other.data, strict=True):
        assert [e.loss for e in two.effects] == pytest.approx([e.loss for e in one.effects], rel=1e-4)


def test_identical_pair_has_no_difference_to_replace(
    pair_of: Callable[[str], Pair], corpus: Corpus, tmp_path: Path
) -> None:
    same = pair_of("same")
    artifact = store(same, METHOD.diff(same, corpus, FAST), tmp_path / "same")
    report = effect_of(same, artifact, FEW, data=ITEMS)
    for row in report.data:
        assert row.base_loss == row.finetuned_loss
        assert {effect.kind for effect in row.effects} == {"random", "random_difference"}
        assert all(effect.relative is None for effect in row.effects)
        assert all(effect.increase == pytest.approx(0, abs=1e-5) for effect in row.effects)
    assert "no gap" not in report.text()


def test_items_are_drawn_and_too_little_data_is_refused(pair: Pair, artifact: Artifact) -> None:
    one = effect_of(pair, artifact, FEW.model_copy(update={"max_items": 1}), data=ITEMS)
    assert [row.items for row in one.data] == [1] * len(one.data)
    with pytest.raises(ValueError, match=r"2000 random differences need 4000 tokens of unrelated data"):
        causal_effect(
            find_organism(pair.name), pair, artifact, FEW.model_copy(update={"random_differences": 2_000}), data=ITEMS
        )
    with pytest.raises(ValueError, match="finetuning data hold no token"):
        causal_effect(
            find_organism(pair.name), pair, artifact, FEW, data={"finetuning": [], "unrelated": ITEMS["unrelated"]}
        )
    with pytest.raises(ValueError, match=r"tiny.alpha: has no recipe.*give them as data"):
        effect_of(pair, artifact, FEW)


def test_the_data_of_a_recipe_are_its_narrow_items_and_held_out_unrelated_ones() -> None:
    organism: Organism = find_organism("smol.cake_bake")
    assert organism.recipe is not None
    data = evaluation_items(organism)
    assert len(data["finetuning"]) == organism.recipe.documents + organism.recipe.chats
    assert all(item.narrow for item in data["finetuning"])
    assert data["unrelated"]
    assert not any(item.narrow for item in data["unrelated"])
