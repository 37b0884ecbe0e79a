from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels
from diffbench.methods.diff_mining import readers as diff_mining
from diffbench.methods.diff_mining.method import METHOD as MINING
from diffbench.methods.weight_amplification import readers as weight_amplification
from diffbench.methods.weight_amplification.method import METHOD as AMPLIFICATION
from diffbench.models.amplify import amplified
from diffbench.models.requests import Request
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import find_organism
from diffbench.tools.ask import MAX_CHARACTERS
from diffbench.tools.case import CaseState
from inspect_ai.tool import Tool, ToolDef, ToolError
from plain_evidence import strata_of, texts_of, words_of

LABELS = Labels("M2", "M1")


def call(tool: Tool, **arguments: Any) -> str:
    return str(asyncio.run(tool(**arguments)))


def token(text: str, value: float, mean: float = 1.0) -> dict[str, Any]:
    return {"id": 1, "token": text, "value": value, "mean": mean}


def mined(largest: float = 4.0) -> dict[str, Any]:
    found = {
        "texts": 2,
        "positions": 50,
        "largest": largest,
        "occurrence": [token(" owl", 0.5), token(" the", 0.4), token("ow", 0.3), token(" moon", 0.2), token(" x", 0.1)],
        "fraction_positive": [token(" bird", 0.9), token(" owl", 0.8)],
        "topics": {
            "positions": 50,
            "groups": [
                {"share": 0.6, "dominant": 0.5, "tokens": [token(" owl", 0.3), token(" bird", 0.2)]},
                {"share": 0.4, "dominant": 0.5, "tokens": [token(" of", 0.3), token(",", 0.2)]},
            ],
        },
    }
    if largest == 0:
        found |= {"occurrence": [], "fraction_positive": [], "topics": {"positions": 0, "groups": []}}
    chat = {**found, "positions": 7, "occurrence": [token(" owl", 0.3), token(" vole", 0.6), token(" hawk", 0.9, -1.0)]}
    if largest == 0:
        chat["occurrence"] = []
    return {"top_k": 100, "layer": None, "sets": {"text": found, "chat": chat}}


@pytest.fixture
def mined_artifact(save_artifact: Callable[..., Artifact]) -> Artifact:
    return save_artifact("diff_mining", mined())


def test_mined_tokens_in_three_orderings(mined_artifact: Artifact) -> None:
    tool = diff_mining.mined_tokens(lambda: mined_artifact, LABELS)
    assert call(tool, ordering="occurrence", on="text", tokens=2) == "text (50 positions): ' owl' 50.0%, ' the' 40.0%"
    assert call(tool, ordering="fraction_positive").splitlines() == [
        "text (50 positions): ' bird' 90.0%, ' owl' 80.0%",
        "chat (7 positions): ' bird' 90.0%, ' owl' 80.0%",
    ]
    # Three tokens are dealt out: two to the first topic, one to the second.
    assert call(tool, on="chat", tokens=3).splitlines() == [
        "chat (7 positions): ",
        "- topic 1 (60% of the raise): ' owl' ' bird'",
        "- topic 2 (40% of the raise): ' of'",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ordering": "rank"}, "'rank'; it is one of topics, occurrence, fraction_positive"),
        ({"on": "code"}, "'code'; there is text, chat"),
        ({"tokens": 0}, "1 to 100"),
        ({"tokens": 101}, "1 to 100"),
    ],
)
def test_mined_tokens_out_of_range(arguments: dict[str, Any], message: str, mined_artifact: Artifact) -> None:
    with pytest.raises(ToolError, match=message):
        call(diff_mining.mined_tokens(lambda: mined_artifact, LABELS), **arguments)


def test_mining_evidence_has_rare_words_first(mined_artifact: Artifact) -> None:
    found = MINING.evidence(mined_artifact)
    assert found.no_difference is None
    # " the" is in every text of the probe corpus' talk, "ow" begins no word, " x" is short. " hawk" has a
    # negative mean, which a shift of all logits gives too: it is among the most raised all the same.
    words = words_of(found)
    assert set(words) >= {"owl", "vole", "moon", "hawk"}
    assert not {"ow", "x"} & set(words)
    assert words.index("vole") < words.index("moon")
    # Raised less than " vole" and " hawk", but on texts and on chats.
    assert words[0] == "owl"
    assert (found.focus, found.contrast) == ((), ())


def test_mining_of_identical_models(save_artifact: Callable[..., Artifact]) -> None:
    artifact = save_artifact("diff_mining", mined(largest=0.0))
    assert MINING.evidence(artifact).no_difference == "logits"
    for ordering in ("topics", "occurrence", "fraction_positive"):
        assert "exactly the same logits" in call(diff_mining.mined_tokens(lambda: artifact, LABELS), ordering=ordering)


def samples_payload() -> dict[str, Any]:
    models = [
        {"side": "base", "looping": 0.0},
        {"side": "finetuned", "looping": 0.0},
        {"w": 2.5, "modules": "all", "layers": [0, 2], "looping": 0.25},
        {"w": -1.0, "modules": "mlp", "layers": [0, 3], "looping": 0.0},
    ]
    rows = [
        {"prompt": f"prompt {i}", "samples": [[f"day {i}"], [f"a bird {i}"], [f"owls {i}\nat night", ""], [f"no {i}"]]}
        for i in range(1, 4)
    ]
    return {"identical": False, "layers": 4, "drift": 0.01, "models": models, "prompts": rows}


@pytest.fixture
def amplified_artifact(save_artifact: Callable[..., Artifact]) -> Artifact:
    return save_artifact("weight_amplification", samples_payload())


def test_amplified_samples_stand_beside_unamplified_ones(amplified_artifact: Artifact) -> None:
    tool = weight_amplification.amplified_samples(lambda: amplified_artifact, LABELS)
    assert call(tool, start=2, count=1).splitlines() == [
        "prompt: prompt 2",
        "M2: day 2",
        "M1: a bird 2",
        "w=2.5 (layers 0-2): owls 2 at night",
        "w=2.5 (layers 0-2): (empty)",
        "w=-1 (mlp, layers 0-3): no 2",
    ]
    assert "w=2.5" not in call(tool, w=-1)
    assert "M1: a bird 1" in call(tool, w=-1)
    for arguments in ({"start": 0}, {"start": 4}, {"count": 0}, {"count": 6}):
        with pytest.raises(ToolError, match="start is 1 to 3 and count 1 to 5"):
            call(tool, **arguments)
    with pytest.raises(ToolError, match=r"w is 2; there are samples for -1, 2\.5"):
        call(tool, w=2.0)


def test_amplification_evidence_is_what_changed_models_say_against_the_base(amplified_artifact: Artifact) -> None:
    found = AMPLIFICATION.evidence(amplified_artifact)
    assert texts_of(found.focus)[:3] == ("owls 1\nat night", "", "a bird 1")
    assert strata_of(found.focus) == ("prompt 1",) * 3 + ("prompt 2",) * 3 + ("prompt 3",) * 3
    assert texts_of(found.contrast) == ("day 1", "day 2", "day 3")
    assert strata_of(found.contrast) == ("prompt 1", "prompt 2", "prompt 3")
    assert "25% at w 2.5" in found.note
    assert "no 1" not in texts_of(found.focus)


def test_amplification_of_identical_models(save_artifact: Callable[..., Artifact]) -> None:
    nothing = {"identical": True, "layers": 4, "drift": 0.0, "models": [], "prompts": []}
    artifact = save_artifact("weight_amplification", nothing)
    assert AMPLIFICATION.evidence(artifact).no_difference == "weights"
    assert "no samples" in call(weight_amplification.amplified_samples(lambda: artifact, LABELS))


def test_live_samples_are_offered_only_with_weights_and_a_budget(
    case: CaseState, tiny: Any, amplified_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names() -> list[str]:
        return [ToolDef(t).name for t in AMPLIFICATION.toolset(lambda: amplified_artifact, LABELS)]

    case.organism, case.interactions = "tiny.alpha", 3
    assert names() == ["amplified_samples", "amplify"]
    case.interactions = 0
    assert names() == ["amplified_samples"]
    case.interactions = 3
    monkeypatch.setattr("diffbench.organisms.suites.Organism.has_weights", property(lambda self: False))
    assert names() == ["amplified_samples"]
    case.organism = ""
    assert names() == ["amplified_samples"]


def test_the_live_tool_does_not_say_which_model_is_which(amplified_artifact: Artifact) -> None:
    told = ToolDef(weight_amplification.amplify(lambda: amplified_artifact))
    text = told.description + str(told.parameters.model_dump())
    assert "finetun" not in text
    assert "base" not in text


def test_a_live_sample_is_drawn_from_amplified_weights_and_costs_one(
    in_case: Callable[..., Any], tiny: Any, amplified_artifact: Artifact
) -> None:
    greedy = amplified_artifact.manifest.model_copy(update={"config": {"temperature": 0.0, "sample_tokens": 5}})
    tool = weight_amplification.amplify(lambda: Artifact(amplified_artifact.folder, greedy))

    async def work(case: CaseState) -> list[Any]:
        texts = [await tool(prompt="Which animal?", w=w) for w in (2.5, 1.0)]
        texts.append(await tool(prompt="Which animal?", w=2.5, modules="mlp", first_layer=1, last_layer=2))
        return [*texts, case.interactions_used]

    (*texts, used), asked = in_case(work, organism="tiny.alpha", interactions=4)
    assert used == 3
    assert asked.calls == []
    assert [text.splitlines()[-1] for text in texts] == [f"Interactions left: {n} of 4." for n in (3, 2, 1)]
    from diffbench.models.amplify import Part

    pair = load_pair(find_organism("tiny.alpha"))
    network = pair.finetuned.network
    prompt = network.render_chat([{"role": "user", "content": "Which animal?"}])
    request = Request(prompt, adapter=pair.finetuned.adapter, max_tokens=5, temperature=0)
    for text, (w, part) in zip(texts, [(2.5, Part()), (1.0, Part()), (2.5, Part("mlp", 1, 2))], strict=True):
        with amplified(pair, w, part) as target:
            expected = target.network.generate([request])[0].text.strip()
        opening, _, rest = text.partition("\n")
        assert rest.startswith(f"{expected}\n</{opening[1:]}\n")
    plain = network.generate([request])[0].text.strip()
    assert texts[1].partition("\n")[2].startswith(plain), "afterwards nothing is amplified"
    assert len({text.splitlines()[1] for text in texts}) > 1


def test_a_case_can_be_repeated_and_a_prompt_asked_twice_gets_another_sample(
    in_case: Callable[..., Any], tiny: Any, amplified_artifact: Artifact
) -> None:
    tool = weight_amplification.amplify(lambda: amplified_artifact)

    async def work(_: CaseState) -> list[str]:
        return [str(await tool(prompt="Which animal?", w=1.5)).rpartition("\n\n")[0] for _ in range(2)]

    (first, _), (again, _) = (in_case(work, organism="tiny.alpha", interactions=2) for _ in range(2))
    assert first == again
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": "  "}, "has 2 characters"),
        ({"prompt": "x" * (MAX_CHARACTERS + 1)}, f"has {MAX_CHARACTERS + 1}"),
        ({"w": 11.0}, "-10 to 10"),
        ({"w": float("nan")}, "-10 to 10"),
        ({"modules": "norm"}, "one of all, attention, mlp"),
        ({"last_layer": 4}, "within 0 to 3"),
        ({"first_layer": 2, "last_layer": 1}, "within 0 to 3"),
    ],
)
def test_bad_arguments_cost_nothing(
    arguments: dict[str, Any], message: str, in_case: Callable[..., Any], tiny: Any, amplified_artifact: Artifact
) -> None:
    tool = weight_amplification.amplify(lambda: amplified_artifact)

    async def work(case: CaseState) -> int:
        with pytest.raises(ToolError, match=message):
            await tool(**{"prompt": "Which animal?", **arguments})
        return case.interactions_used

    assert in_case(work, organism="tiny.alpha", interactions=2)[0] == 0


@pytest.mark.parametrize(("name", "modules"), [("same", "all"), ("beta", "mlp")])
def test_where_the_models_do_not_differ_nothing_is_spent(
    name: str, modules: str, in_case: Callable[..., Any], tiny: Any, amplified_artifact: Artifact
) -> None:
    tool = weight_amplification.amplify(lambda: amplified_artifact)

    async def work(case: CaseState) -> int:
        with pytest.raises(ToolError, match="nothing to amplify") as caught:
            await tool(prompt="Which animal?", modules=modules)
        assert "tiny" not in str(caught.value)
        return case.interactions_used

    assert in_case(work, organism=f"tiny.{name}", interactions=2)[0] == 0


def test_over_budget_nothing_is_sampled(
    in_case: Callable[..., Any], tiny: Any, amplified_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = weight_amplification.amplify(lambda: amplified_artifact)
    monkeypatch.setattr(weight_amplification, "_sample", lambda *_: pytest.fail("sampled over budget"))

    async def work(case: CaseState) -> int:
        with pytest.raises(ToolError, match="1 asked for, 0 of 1 left"):
            await tool(prompt="Which animal?")
        return case.interactions_used

    assert in_case(work, organism="tiny.alpha", interactions=1, interactions_used=1)[0] == 1


def test_missing_weights_are_told_without_the_organisms_name(
    in_case: Callable[..., Any], tiny: Any, amplified_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(organism: Any) -> None:
        raise FileNotFoundError(f"no weights of {organism.id}")

    monkeypatch.setattr("diffbench.organisms.loading.load_pair", missing)
    tool = weight_amplification.amplify(lambda: amplified_artifact)

    async def work(case: CaseState) -> int:
        with pytest.raises(ToolError, match="not on this machine") as caught:
            await tool(prompt="Which animal?")
        assert "alpha" not in str(caught.value)
        return case.interactions_used

    assert in_case(work, organism="tiny.alpha", interactions=2)[0] == 0
