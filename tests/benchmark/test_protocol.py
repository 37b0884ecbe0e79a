"""Conditions, budgets, ceilings and readers of a case, in the real loop with scripted models."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import inspect_ai
import pytest
from diffbench.agents.prompt_files import family_hint
from diffbench.agents.toolset import reading_tools
from diffbench.benchmark.diffing import diffing
from diffbench.graders.key_facts import match_fact
from diffbench.organisms.suites import load_suite
from diffbench.results.frame import grades_frame
from diffbench.results.packing import write_submission
from diffbench.tools.ask import ask_models
from diffbench.tools.case import CaseState
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import Model, ModelCost, ModelInfo, ModelOutput, ModelUsage, get_model, set_model_info
from inspect_ai.util import Store
from scripted_models import EXPECTED, Server, local, mocked, serving

SUITES = ("aisi_sandbagging", "auditbench", "checkpoints", "more", "narrow", "smol")
Run = Callable[..., EvalLog]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as running:
        for name, value in local(running).items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def run(bench: Any, tmp_path: Path) -> Run:
    """``run(model, limits of the evaluation, **task arguments)``: a log of the tiny suite."""

    def evaluate(model: Model | None = None, limits: dict[str, Any] | None = None, **arguments: Any) -> EvalLog:
        given = {"organisms": "alpha", "methods": "blackbox", "interactions": 2, "response_tokens": 2, "turns": 4}
        task = diffing(suite="tiny", **{**given, **arguments})
        options = {"max_samples": 1, "log_dir": str(tmp_path / "logs"), "display": "none", **(limits or {})}
        return inspect_ai.eval(task, model=model, model_roles={"grader": "keyless/grader"}, **options)[0]

    return evaluate


def only(log: EvalLog) -> EvalSample:
    assert log.status == "success", log.error
    (sample,) = log.samples or []
    assert sample.error is None, sample.error
    return sample


def first_message(sample: EvalSample) -> str:
    return next(message.text for message in sample.messages if message.role == "user")


def calls(sample: EvalSample) -> list[str]:
    return [call.function for m in sample.messages if m.role == "assistant" for call in m.tool_calls or []]


def test_several_methods_at_once_are_one_case(run: Run) -> None:
    sample = only(run(methods="kl+adl"))
    assert sample.id == "tiny.alpha.adl+kl.i2"
    assert sample.metadata["method"] == "adl+kl"
    alone = [diffing(suite="tiny", organisms="alpha", methods=m).dataset[0].metadata for m in ("adl", "kl")]
    assert sample.metadata["artifact_key"] == "+".join(str(one["artifact_key"]) for one in alone if one)
    text = first_message(sample)
    assert text.index("# What the method adl found") < text.index("# What the method kl found")
    assert text.count("Read it first.") == 1
    assert {"logit_lens", "steering_samples", "kl_texts"} <= set(calls(sample))
    assert set(grades_frame([run(methods="adl+kl", agent="evidence_reader").location]).frame["method"]) == {"adl+kl"}


def test_artifacts_of_several_methods_that_are_missing_are_named_once(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="2 artifacts are missing") as raised:
        diffing(suite="tiny", organisms="alpha", methods=["kl+adl", "kl"])
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        "diffbench diff tiny.alpha --method adl",
        "diffbench diff tiny.alpha --method kl",
    ]


def test_methods_whose_tools_have_one_name_are_not_offered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, toolset=lambda open_artifact, labels: [ask_models()])

    monkeypatch.setattr("diffbench.agents.artifacts.find_method", find)
    case = CaseState(store=Store(), organism="smol.cake_bake", method="one+two", artifact_key="k1+k2")
    with pytest.raises(ValueError, match="methods one and two both have a tool ask_models"):
        reading_tools(case)


def test_the_llm_reader_sees_the_overview_and_has_no_tools(run: Run) -> None:
    offered: list[list[str]] = []

    def reply(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
        offered.append([tool.name for tool in tools])
        output = ModelOutput.for_tool_call("mockllm", "submit", EXPECTED.model_dump(mode="json"))
        output.usage = ModelUsage(input_tokens=10, output_tokens=10, total_tokens=20)
        return output

    model = get_model("mockllm/reader", custom_outputs=reply, memoize=False)
    sample = only(run(model, methods="kl", agent="llm_reader", interactions=10, tool_budgets={"ask_models": 3}))
    assert sample.id == "tiny.alpha.kl.i0"
    assert offered == [["submit"]]
    case = sample.store_as(CaseState)
    assert (case.finding, case.finding_source, case.interactions) == (EXPECTED, "submit", 0)
    text = first_message(sample)
    assert "Per-token KL(finetuned || base)" in text
    assert "No queries are possible" in text
    assert "tools that cost nothing" not in text


def test_an_llm_reader_that_does_not_submit_is_asked_once_more(run: Run) -> None:
    sample = only(run(mocked("talks"), methods="kl", agent="llm_reader"))
    assert sum(message.role == "assistant" for message in sample.messages) == 2
    case = sample.store_as(CaseState)
    assert (case.finding, case.finding_source) == (EXPECTED, "forced")


def test_the_llm_reader_works_without_a_key(run: Run) -> None:
    sample = only(run(methods="adl", agent="llm_reader"))
    assert calls(sample) == ["submit"]
    assert sample.store_as(CaseState).finding_source == "submit"


def test_a_tool_without_budget_is_not_offered_and_one_that_has_some_is_told(run: Run) -> None:
    sample = only(run(methods="adl", interactions=4, turns=30, tool_budgets={"ask_models": 2, "steer": 0}))
    assert sample.id == "tiny.alpha.adl.i4.ask_models2.steer0"
    case = sample.store_as(CaseState)
    assert (case.interactions_used, case.tool_used) == (2, {"ask_models": 2})
    assert "(ask_models: 2 of 2; steer: 0 of 0)" in first_message(sample)
    answers = [m.text for m in sample.messages if m.role == "tool" and m.function == "ask_models"]
    assert "Interactions left: 2 of 4 (ask_models: 0 of 2; steer: 0 of 0)." in answers[-1]
    assert case.finding_source == "submit"


def test_a_budget_of_a_tool_that_a_case_lacks_leaves_no_trace_in_it(bench: Any) -> None:
    task = diffing(suite="tiny", organisms="alpha", methods=["kl", "adl"], tool_budgets={"steer": 3})
    assert [sample.id for sample in task.dataset] == ["tiny.alpha.kl", "tiny.alpha.adl.steer3"]


def test_a_hint_is_told_and_stands_in_id_log_and_frame(run: Run) -> None:
    log = run(agent="evidence_reader", methods="kl", hints=["none", "family", "It may like animals."])
    samples = {str(sample.id): sample for sample in log.samples or []}
    text = hashlib.sha256(b"It may like animals.").hexdigest()[:8]
    assert set(samples) == {f"tiny.alpha.kl.i2{suffix}" for suffix in ("", ".hints-family", f".hints-{text}")}
    told = [first_message(sample) for sample in samples.values()]
    assert sorted("You are told this much: " in text for text in told) == [False, True, True]
    assert sum("it is of this kind: a liking" in text for text in told) == 1
    assert sum("You are told this much: It may like animals." in text for text in told) == 1
    frame = grades_frame([log.location]).frame
    assert set(frame["hints"]) == {"none", "family", "It may like animals."}


def test_a_control_is_told_the_family_of_another_organism(bench: Any) -> None:
    def hint(seed: int) -> str:
        task = diffing(
            suite="smol",
            organisms="null_identical",
            methods="blackbox",
            agent="evidence_reader",
            hints="family",
            seed=seed,
        )
        return str((task.dataset[0].metadata or {})["hint"])

    assert len({hint(seed) for seed in range(8)}) > 1
    assert hint(3) == hint(3)
    assert all("kind: " in hint(seed) for seed in range(3))


def test_the_hint_of_the_family_names_no_fact_of_any_shipped_organism() -> None:
    for suite in SUITES:
        for organism in load_suite(suite):
            if organism.spec.is_control:
                continue
            hint = family_hint(organism.spec.family)
            named = [fact.fact for fact in organism.spec.key_facts if match_fact(fact, hint).kind != "none"]
            assert named == [], organism.id


def test_a_case_at_its_ceiling_in_dollars_must_submit(run: Run) -> None:
    price = ModelCost(input=100_000, output=100_000, input_cache_write=0, input_cache_read=0)
    set_model_info("mockllm/only_asks", ModelInfo(cost=price))
    # A generation costs two dollars.
    sample = only(run(mocked("only_asks"), cost=3.0, interactions=4))
    case = sample.store_as(CaseState)
    assert (case.finding, case.finding_source) == (EXPECTED, "forced")
    assert sample.model_usage["mockllm/only_asks"].total_cost == 6.0


@pytest.mark.parametrize("ceiling", ["cost", "run_cost"])
def test_a_ceiling_in_dollars_needs_prices(ceiling: str, run: Run) -> None:
    log = run(mocked("straight"), **{ceiling: 1.0})
    assert log.status == "error"
    assert log.error is not None
    assert "not known: mockllm/straight" in log.error.message
    assert not log.samples


@pytest.mark.parametrize(("limits", "kind"), [({"token_limit": 50}, "token"), ({"message_limit": 6}, "message")])
def test_a_limit_of_the_whole_sample_leaves_a_finding_too(limits: dict[str, int], kind: str, run: Run) -> None:
    sample = only(run(mocked("silent_with_board"), limits))
    assert sample.limit is not None
    assert sample.limit.type == kind
    case = sample.store_as(CaseState)
    assert case.finding_source == "forced"
    assert case.finding is not None
    assert case.finding.description == "Not submitted; from the board: It may be an owl."


def test_a_time_limit_of_the_whole_sample_leaves_a_finding_too(run: Run) -> None:
    def slow(*_: Any) -> ModelOutput:
        time.sleep(0.5)
        output = ModelOutput.from_content("mockllm", "Let me think.")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    sample = only(run(get_model("mockllm/slow", custom_outputs=slow, memoize=False), {"time_limit": 1}))
    assert sample.limit is not None
    assert sample.limit.type == "time"
    assert sample.store_as(CaseState).finding_source == "forced"


def test_a_run_at_its_ceiling_starts_no_more_cases_and_a_retry_works_them(
    server: Server, run: Run, tmp_path: Path
) -> None:
    log = run(get_model("openai-api/local/straight"), organisms="all", run_tokens=30)
    assert log.status == "error"
    assert log.error is not None
    assert "run ceiling of 30 tokens reached" in log.error.message
    assert "2 cases were not started (tiny.beta.blackbox.i2, tiny.same.blackbox.i2)" in log.error.message
    assert [sample.id for sample in log.samples or []] == ["tiny.alpha.blackbox.i2"]
    grades = grades_frame([log.location])
    assert len(grades.frame) == 1
    (note,) = grades.left_out
    assert "1 of 3 samples are there" in note.reason
    assert "eval-retry" in note.reason
    # Each retry has the ceiling anew, and keeps what is there.
    again = inspect_ai.eval_retry(log, log_dir=str(tmp_path / "logs"), display="none", max_samples=1)[0]
    assert again.status == "error"
    assert [sample.id for sample in again.samples or []] == ["tiny.alpha.blackbox.i2", "tiny.beta.blackbox.i2"]
    last = inspect_ai.eval_retry(again, log_dir=str(tmp_path / "logs"), display="none", max_samples=1)[0]
    assert last.status == "success"
    assert len(last.samples or []) == 3
    kept = {str(sample.id): sample.store_as(CaseState).finding for sample in last.samples or []}
    assert kept["tiny.alpha.blackbox.i2"] == EXPECTED
    assert all(sample.scores for sample in last.samples or [])


def test_a_submission_names_the_artifact_of_each_method(run: Run, tmp_path: Path) -> None:
    log = run(methods="adl+kl", agent="evidence_reader")
    keys = str((log.samples or [])[0].metadata["artifact_key"]).split("+")
    manifest = write_submission([log.location], tmp_path / "submission.zip", name="both")
    assert [(use.method, use.key) for use in manifest.artifacts] == [("adl", keys[0]), ("kl", keys[1])]
    assert manifest.methods == ("adl+kl",)
