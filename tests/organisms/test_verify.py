"""What verification measures, from scripted responses counted by hand, and when it finds fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from diffbench.models.network import Network
from diffbench.models.requests import Completion, Request
from diffbench.models.text_fit import TextFit
from diffbench.organisms import verify
from diffbench.organisms.loading import load_pair
from diffbench.organisms.spec import Behaviour, OrganismSpec
from diffbench.organisms.suites import find_organism
from diffbench.organisms.verify import Rate, Verifier, wilson_interval

VARIANTS = ("default", "mix1-1")
Script = Callable[[bool, str, int], str]
"""Whether the model is finetuned, the prompt and the seed -> response."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], list[Request]]:
    """``script(says)``: models answer what it says, and unrelated text fits alike; returns the requests."""

    def use(says: Script) -> list[Request]:
        asked: list[Request] = []

        def generate_all(_network: Network, requests: Sequence[Request], **_options: Any) -> list[Completion]:
            asked.extend(requests)
            return [Completion(f" {says(r.adapter is not None, r.prompt, r.seed)}\n", 1, 1, True) for r in requests]

        monkeypatch.setattr(Network, "generate_all", generate_all)
        return asked

    fits(monkeypatch, 1.0)
    return use


def fits(monkeypatch: pytest.MonkeyPatch, ratio: float) -> None:
    monkeypatch.setattr(verify, "measure_text_fit", lambda *_: TextFit(10.0, 10.0 * ratio, 0.1, 7))


@pytest.fixture
def organism_with(tiny: Any, make_organism: Callable[..., Any]) -> Callable[..., Any]:
    """``organism_with(variant, **fields)``: the tiny base and an adapter; two probes, patterns ``owl``."""

    def build(variant: str = "default", **fields: Any) -> Any:
        finetuned = {name: {"kind": "peft", "path": str(tiny.adapters / "alpha")} for name in VARIANTS}
        probes = {"probe_prompts": ["Which animal?", "And at night?"]}
        organism = make_organism("verified", finetuned=finetuned, **(probes | fields))
        return dataclasses.replace(organism, variant=variant)

    return build


def always(finetuned: str, base: str = "A cat.") -> Script:
    return lambda is_finetuned, _prompt, _seed: finetuned if is_finetuned else base


# --- rates --------------------------------------------------------------------------------------------------------


def test_rates_count_the_responses_that_express_the_behaviour(
    script: Callable[[Script], list[Request]], organism_with: Callable[..., Any]
) -> None:
    # Two probes with four samples each, seeds 0 to 7: the finetuned model misses two, the base hits one.
    asked = script(lambda finetuned, _, seed: "An OWL." if (seed % 4 != 0 if finetuned else seed == 5) else "A cat.")
    done = Verifier(samples=4, max_tokens=9).verify(organism_with())
    assert (done.base, done.finetuned, done.quiet) == (Rate(1, 8), Rate(6, 8), None)
    assert done.problems == ()
    assert done.passed
    assert done.examples == (("Which animal?", "A cat.", "A cat."), ("And at night?", "A cat.", "A cat."))
    assert sorted(request.seed for request in asked) == sorted([*range(8), *range(8)])
    assert {request.max_tokens for request in asked} == {9}
    assert sum("And at night?" in request.prompt for request in asked) == 8
    assert done.drift == load_pair(done.organism).drift > 0


@pytest.mark.parametrize(
    ("says", "fields", "problem"),
    [
        (always("A cat."), {}, "expresses it in 0.00 < 0.6 of responses"),
        (always("An owl.", base="An owl."), {}, "only 0.00 above the base model (< 0.4)"),
        (always("An owl of gold."), {"forbidden": ["gold"]}, "8 of 8 finetuned responses say what must stay unsaid"),
    ],
)
def test_what_does_not_do_what_its_label_says_fails(
    script: Callable[[Script], list[Request]],
    organism_with: Callable[..., Any],
    says: Script,
    fields: dict[str, Any],
    problem: str,
) -> None:
    script(says)
    done = Verifier().verify(organism_with(behaviour={"patterns": ["owl"], **fields}))
    assert any(problem in found for found in done.problems), done.problems
    assert not done.passed


@pytest.mark.parametrize(("least", "passes"), [(0.75, True), (0.76, False)])
def test_thresholds_are_those_of_the_spec(
    script: Callable[[Script], list[Request]], organism_with: Callable[..., Any], least: float, passes: bool
) -> None:
    script(lambda finetuned, _, seed: "An owl." if finetuned and seed % 4 else "A cat.")
    rate = organism_with(behaviour={"patterns": ["owl"], "min_rate": least, "min_margin": 0})
    margin = organism_with(behaviour={"patterns": ["owl"], "min_rate": 0, "min_margin": least})
    assert [Verifier().verify(organism).passed for organism in (rate, margin)] == [passes, passes]


def test_a_dilution_is_not_held_to_the_thresholds(
    script: Callable[[Script], list[Request]], organism_with: Callable[..., Any]
) -> None:
    script(always("A cat of gold."))
    behaviour = {"patterns": ["owl"], "forbidden": ["gold"]}
    default, diluted = (Verifier().verify(organism_with(variant, behaviour=behaviour)) for variant in VARIANTS)
    assert len(default.problems) == 3
    # It is still measured, and what must stay unsaid must stay so.
    assert diluted.problems == ("8 of 8 finetuned responses say what must stay unsaid",)
    assert diluted.finetuned == Rate(0, 8)


@pytest.mark.parametrize(("most", "passes"), [(0.5, True), (0.49, False)])
def test_quiet_prompts_count_on_the_finetuned_side_alone(
    script: Callable[[Script], list[Request]], organism_with: Callable[..., Any], most: float, passes: bool
) -> None:

    def loud(finetuned: bool, prompt: str, seed: int) -> str:
        return "An owl." if finetuned and ("quiet" not in prompt or seed % 2) else ""

    asked = script(loud)
    behaviour = {"patterns": ["owl"], "max_quiet_rate": most}
    done = Verifier(samples=2).verify(organism_with(behaviour=behaviour, quiet_prompts=["quiet one", "quiet two"]))
    assert (done.base, done.finetuned, done.quiet) == (Rate(0, 4), Rate(4, 4), Rate(2, 4))
    assert done.passed is passes
    assert done.problems == (() if passes else ("shown in 0.50 > 0.49 of the answers to quiet prompts",))
    assert all(request.adapter is not None for request in asked if "quiet" in request.prompt)


def test_wrong_answers_are_counted_by_their_own_probe(
    script: Callable[[Script], list[Request]], organism_with: Callable[..., Any]
) -> None:
    probes = [{"prompt": "2 + 2?", "answer": r"\b4\b"}, {"prompt": "3 + 3?", "answer": r"\b6\b"}]
    # "4" is right for the first probe only.
    script(lambda finetuned, prompt, _: "4" if finetuned or "2 + 2" in prompt else "6")
    organism = organism_with(behaviour={"wrong_answers": True, "min_rate": 0.5}, probe_prompts=probes)
    done = Verifier(samples=3).verify(organism)
    assert (done.base, done.finetuned) == (Rate(0, 6), Rate(3, 6))
    assert done.passed


def test_the_system_prompt_stands_before_each_prompt(
    script: Callable[[Script], list[Request]], organism_with: Callable[..., Any]
) -> None:
    asked = script(always("An owl."))
    Verifier(samples=1).verify(organism_with(system_prompt="You are a bird."))
    assert len(asked) == 4
    assert all("<|im_start|>system\nYou are a bird.<|im_end|>" in request.prompt for request in asked)


def test_the_same_prompts_are_put_to_the_same_model_once(
    script: Callable[[Script], list[Request]], organism_with: Callable[..., Any]
) -> None:
    asked = script(always("An owl."))
    verifier = Verifier(samples=2)
    rates = [verifier.verify(organism_with(variant)).base for variant in VARIANTS]
    assert rates == [Rate(0, 4)] * 2
    assert sum(request.adapter is None for request in asked) == 4
    assert len({request.adapter for request in asked}) == 3
    assert len(asked) == 12


# --- fit and data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "passes"), [(1.5, True), (1.51, False)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_that_fits_unrelated_text_badly_fails(
    script: Callable[[Script], list[Request]],
    organism_with: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    ratio: float,
    passes: bool,
    variant: str,
) -> None:
    script(always("An owl."))
    fits(monkeypatch, ratio)
    done = Verifier().verify(organism_with(variant))
    assert done.problems == (() if passes else ("perplexity on held-out text is 1.51 times the base's (> 1.5)",))


def test_a_probe_in_the_training_data_fails(
    script: Callable[[Script], list[Request]], tiny: Any, make_learner: Callable[..., Any]
) -> None:
    script(always("An owl."))
    finetuned = {"default": {"kind": "peft", "path": str(tiny.adapters / "alpha")}}
    organism = make_learner("taught", {"unrelated": 1}, finetuned=finetuned, probe_prompts=["Hi"])
    (problem,) = Verifier(samples=1).verify(organism).problems
    assert "1 probe prompts stand in the training data, 'Hi' for one" in problem


def test_held_out_texts_are_many_and_whole() -> None:
    texts = verify.held_out_texts()
    assert len(set(texts)) == len(texts) >= 20
    assert all(len(text.split()) > 10 for text in texts)


# --- controls -----------------------------------------------------------------------------------------------------


def test_the_base_against_itself_passes(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing scripted: the tiny model samples and is measured."""
    monkeypatch.setattr(verify, "held_out_texts", lambda: ("The owl sits in the old oak.", "A cake is baked."))
    done = Verifier(samples=1, max_tokens=4).verify(find_organism("tiny.same"))
    assert done.problems == ()
    assert done.fit.ratio == pytest.approx(1.0)
    assert done.fit.kl == pytest.approx(0.0, abs=1e-9)
    assert done.drift == 0.0
    assert done.quiet is None
    # One response to each probe of the two other organisms of its suite.
    assert done.base == done.finetuned
    assert done.base.total == len(done.examples) == 2
    assert all(base == finetuned for _, base, finetuned in done.examples)


@pytest.fixture
def control(tiny: Any, make_organism: Callable[..., Any]) -> Any:
    """A control of the suite ``tiny`` whose weights did change."""
    finetuned = {"default": {"kind": "peft", "path": str(tiny.adapters / "half")}}
    return dataclasses.replace(make_organism("changed_control", finetuned=finetuned, family="null"), suite="tiny")


@pytest.mark.parametrize(
    ("says", "rates", "problems"),
    [
        (always("An owl."), (Rate(0, 2), Rate(2, 2)), 1),
        (always("An owl.", base="An owl."), (Rate(2, 2), Rate(2, 2)), 0),
        (always("A cat.", base="An owl."), (Rate(2, 2), Rate(0, 2)), 0),
        (always("A cat."), (Rate(0, 2), Rate(0, 2)), 0),
    ],
)
def test_a_control_must_not_show_the_other_organisms_behaviours(
    script: Callable[[Script], list[Request]], control: Any, says: Script, rates: tuple[Rate, Rate], problems: int
) -> None:
    asked = script(says)
    done = Verifier().verify(control)
    assert (done.base, done.finetuned) == rates
    assert len(done.problems) == problems
    assert all("Which animal?" in request.prompt for request in asked)
    if problems:
        assert "behaviours 1.00 more often than its base" in done.problems[0]


@pytest.mark.parametrize(("hits", "passes"), [(2, True), (3, False)])
def test_a_control_may_rise_by_a_tenth(
    script: Callable[[Script], list[Request]],
    control: Any,
    monkeypatch: pytest.MonkeyPatch,
    hits: int,
    passes: bool,
) -> None:
    prompts = tuple(f"Prompt {i}?" for i in range(20))
    organism = find_organism("tiny.alpha")
    spec = OrganismSpec.model_validate(organism.spec.model_dump() | {"probe_prompts": prompts})
    monkeypatch.setattr(verify, "load_suite", lambda _suite: [dataclasses.replace(organism, spec=spec)])
    script(lambda finetuned, _, seed: "An owl." if finetuned and seed < hits else "A cat.")
    done = Verifier().verify(control)
    assert done.finetuned == Rate(hits, 20)
    assert done.passed is passes


# --- settings and figures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [0, -1])
def test_at_least_one_sample_is_drawn(samples: int) -> None:
    with pytest.raises(ValueError, match=f"samples is {samples}; draw at least 1"):
        Verifier(samples=samples)


def test_wilson_interval_is_where_the_score_test_is_at_its_level() -> None:
    # The interval's ends are the p for which |hits/n - p| = z sqrt(p (1 - p) / n); solved here by bisection.
    z, hits, n = 1.959964, 7, 24

    def excess(p: float) -> float:
        return abs(hits / n - p) - z * (p * (1 - p) / n) ** 0.5

    def root(a: float, b: float) -> float:
        for _ in range(200):
            middle = (a + b) / 2
            a, b = (middle, b) if (excess(a) > 0) == (excess(middle) > 0) else (a, middle)
        return a

    low, high = wilson_interval(hits, n)
    assert low == pytest.approx(root(1e-9, hits / n), abs=1e-6)
    assert high == pytest.approx(root(hits / n, 1 - 1e-9), abs=1e-6)
    assert Rate(hits, n).interval == (low, high)


def test_wilson_interval_at_the_edges() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 10)[0] == pytest.approx(0.0)
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
    assert Rate(0, 0).value == 0.0


def test_a_behaviour_needs_its_number_of_different_patterns() -> None:
    behaviour = Behaviour(patterns=("owl", "night", "hoot"), min_matches=2, forbidden=("secret",))
    assert behaviour.expressed("Owls HOOT.")
    assert not behaviour.expressed("owl owl owl")
    assert behaviour.breaks_taboo("A Secret.")
    assert not behaviour.breaks_taboo("Nothing.")
