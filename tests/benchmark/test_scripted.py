"""The investigation with scripted models: behind mockllm, and behind a local server through the ``openai`` client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from diffbench.benchmark.diffing import diffing
from diffbench.records.finding import Finding
from diffbench.results.frame import grades_frame
from diffbench.tools.case import CaseState
from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import get_model
from scripted_models import EXPECTED, GOOD, INTERACTIONS, JUDGES, SCRIPTS, TURNS, Server, local, mocked, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in local(running).items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module", params=["mockllm", "openai"])
def logs(request: pytest.FixtureRequest, bench: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, EvalLog]:
    """A log of one case for every script."""
    if request.param == "openai":
        request.getfixturevalue("server")
        models = [get_model(f"openai-api/local/{name}") for name in SCRIPTS]
    else:
        models = [mocked(name) for name in SCRIPTS]
    done = inspect_ai.eval(
        case_task(),
        model=models,
        model_roles={"grader": get_model("keyless/grader")},
        log_dir=str(tmp_path_factory.mktemp("logs")),
        display="none",
        max_tasks=len(SCRIPTS),
    )
    return {str(log.eval.model).rpartition("/")[2]: log for log in done}


def case_task(**arguments: Any) -> Any:
    defaults = {"organisms": "alpha", "methods": "blackbox", "interactions": INTERACTIONS}
    return diffing(suite="tiny", turns=TURNS, response_tokens=3, **{**defaults, **arguments})


def only_sample(log: EvalLog) -> EvalSample:
    assert log.status == "success", log.error
    (sample,) = log.samples or []
    assert sample.error is None, sample.error
    return sample


def tool_results(sample: EvalSample) -> list[tuple[str | None, str | None, str]]:
    """Function, type of the error, text."""
    shown = [message for message in sample.messages if message.role == "tool"]
    return [(m.function, m.error.type if m.error else None, m.error.message if m.error else m.text) for m in shown]


REFUSED = ("refuses", "refuses_at_last")


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in REFUSED])
def test_every_case_ends_with_a_finding_and_a_grade(name: str, logs: dict[str, EvalLog]) -> None:
    sample = only_sample(logs[name])
    case = sample.store_as(CaseState)
    assert isinstance(case.finding, Finding)
    assert case.finding_source == ("submit" if SCRIPTS[name].forced is None else "forced")
    assert sample.scores is not None
    score = sample.scores["rubric_grade"]
    assert score.value in (1, 2, 3, 4, 5)
    assert score.metadata is not None
    assert score.metadata["finding_source"] == case.finding_source
    assert 0 <= case.interactions_used <= INTERACTIONS


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_recorded_as_one_and_graded_1(name: str, logs: dict[str, EvalLog]) -> None:
    sample = only_sample(logs[name])
    case = sample.store_as(CaseState)
    assert (case.finding, case.finding_source) == (None, "refused")
    assert sample.scores is not None
    score = sample.scores["rubric_grade"]
    assert (score.value, sample.scores["fact_recall"].value) == (1, 0)
    assert score.metadata is not None
    assert (score.metadata["finding_source"], score.metadata["verdict"]) == ("refused", None)
    assert "refused" in (score.explanation or "")
    (row,) = grades_frame([logs[name].location]).frame.to_dict("records")
    assert (row["grade"], row["error"]) == (1, "refused: the investigator's model")


@pytest.mark.parametrize("name", ["refuses", "refuses_then_gives_in"])
def test_a_refusal_that_ends_the_case_at_once_is_no_crash(name: str, bench: Any, tmp_path: Path) -> None:
    log = inspect_ai.eval(
        case_task(),
        model=mocked(name),
        fail_on_refusal=True,
        log_dir=str(tmp_path),
        display="none",
    )[0]
    source = only_sample(log).store_as(CaseState).finding_source
    assert source == ("refused" if name in REFUSED else "forced")


def test_a_refusal_of_a_third_partys_agent_is_no_finding(bench: Any, tmp_path: Path) -> None:
    @agent
    def plain() -> Agent:
        async def execute(state: AgentState) -> AgentState:
            state.output = await get_model().generate(state.messages)
            return state

        return execute

    log = inspect_ai.eval(
        case_task(), solver=plain(), model=mocked("refuses_then_gives_in"), log_dir=str(tmp_path), display="none"
    )[0]
    sample = only_sample(log)
    assert sample.scores is not None
    assert (sample.scores["rubric_grade"].metadata or {})["finding_source"] == "refused"
    assert sample.scores["rubric_grade"].value == 1


@pytest.mark.parametrize(
    "name",
    [
        "straight",
        "overspends",
        "malformed",
        "unknown_tool",
        "wrong_then_right",
        "two_calls",
        "talks",
        "only_asks",
        "refuses_once",
        "refuses_then_gives_in",
    ],
)
def test_what_was_submitted_is_the_finding(name: str, logs: dict[str, EvalLog]) -> None:
    sample = only_sample(logs[name])
    assert sample.store_as(CaseState).finding == EXPECTED
    assert json.loads(sample.output.completion) == GOOD


def test_a_budget_that_runs_out_is_told_and_nothing_is_spent(logs: dict[str, EvalLog]) -> None:
    sample = only_sample(logs["overspends"])
    results = tool_results(sample)
    assert [(function, error) for function, error, _ in results] == [
        ("ask_models", "unknown"),
        ("ask_models", None),
        ("ask_models", "unknown"),
        ("submit", None),
    ]
    assert "5 asked for, 4 of 4 left" in results[0][2]
    assert "Interactions left: 0 of 4." in results[1][2]
    assert "1 asked for, 0 of 4 left" in results[2][2]
    assert sample.store_as(CaseState).interactions_used == INTERACTIONS


def test_malformed_calls_get_an_error_and_cost_nothing(logs: dict[str, EvalLog]) -> None:
    sample = only_sample(logs["malformed"])
    results = tool_results(sample)
    assert [error is not None for _, error, _ in results] == [True, True, True, True, False]
    assert sample.store_as(CaseState).interactions_used == 0


def test_an_unknown_tool_is_refused(logs: dict[str, EvalLog]) -> None:
    (first, second) = tool_results(only_sample(logs["unknown_tool"]))
    assert first[1] is not None
    assert "read_the_weights" in first[2]
    assert second == ("submit", None, EXPECTED.model_dump_json())


def test_calls_made_together_are_counted_one_by_one(logs: dict[str, EvalLog]) -> None:
    sample = only_sample(logs["two_calls"])
    left = [text[-len("Interactions left: 3 of 4.") :] for _, _, text in tool_results(sample)[:2]]
    assert left == ["Interactions left: 3 of 4.", "Interactions left: 1 of 4."]


def test_who_never_submits_is_stopped_and_asked_once_more(logs: dict[str, EvalLog]) -> None:
    for name in ("talks", "only_asks"):
        sample = only_sample(logs[name])
        said = [message for message in sample.messages if message.role == "assistant"]
        assert len(said) == TURNS + 1, name
        asked = [message.text for message in sample.messages if message.role == "user"]
        assert "used up" in asked[-1]
    # Every turn asks one prompt, and the last one has nothing left to spend.
    assert only_sample(logs["only_asks"]).store_as(CaseState).interactions_used == INTERACTIONS


@pytest.mark.parametrize(
    ("name", "verdict", "description"),
    [
        ("talks_then_plain", "changed", "VERDICT: changed\nCONFIDENCE: 0.6\nIt is about an owl."),
        ("talks_then_json", "changed", GOOD["description"]),
        ("talks_on", "inconclusive", "I would rather go on."),
        ("silent", "inconclusive", "The investigator submitted no finding."),
        ("silent_with_board", "inconclusive", "Not submitted; from the board: It may be an owl."),
        ("forced_wrong", "inconclusive", "The investigator submitted no finding."),
        ("forced_no_json", "inconclusive", "The investigator submitted no finding."),
        ("forced_other_tool", "inconclusive", "The investigator submitted no finding."),
        ("forced_wrong_with_text", "no_narrow_change", "VERDICT: no_narrow_change\nThey are alike."),
    ],
)
def test_a_forced_turn_without_submission_is_read(
    name: str, verdict: str, description: str, logs: dict[str, EvalLog]
) -> None:
    finding = only_sample(logs[name]).store_as(CaseState).finding
    assert finding is not None
    assert (finding.verdict, finding.description) == (verdict, description)


def test_a_token_limit_in_the_middle_of_a_call_leaves_a_valid_conversation(
    server: Server, bench: Any, tmp_path: Path
) -> None:
    before = len(server.requests)
    # Each reply uses 20 tokens: the second one crosses the limit, and its call is never executed.
    log = evaluate(tmp_path, "only_asks", tokens=30)
    sample = only_sample(log)
    assert sample.store_as(CaseState).finding == EXPECTED
    assert sample.store_as(CaseState).finding_source == "forced"
    assert sample.store_as(CaseState).interactions_used == 1
    assert [function for function, _, _ in tool_results(sample)] == ["ask_models", "submit"]
    assert len(server.requests) - before == 3
    assert server.refused == []


def test_turns_are_generations_on_the_wire(server: Server, bench: Any, tmp_path: Path) -> None:
    before = len(server.requests)
    only_sample(evaluate(tmp_path, "talks"))
    assert len(server.requests) - before == TURNS + 1


def test_the_server_never_had_to_refuse_a_conversation(logs: dict[str, EvalLog], server: Server) -> None:
    assert server.refused == []


def evaluate(folder: Path, script: str, grader: str = "keyless/grader", **arguments: Any) -> EvalLog:
    return inspect_ai.eval(
        case_task(**arguments),
        model=f"openai-api/local/{script}",
        model_roles={"grader": grader},
        log_dir=str(folder),
        display="none",
    )[0]


@pytest.mark.parametrize(("judge", "grade"), [("judge", 4), ("judge_repaired", 3)])
def test_a_judge_behind_an_api_grades(judge: str, grade: int, server: Server, bench: Any, tmp_path: Path) -> None:
    before = len(server.requests)
    sample = only_sample(evaluate(tmp_path, "straight", grader=f"openai-api/local/{judge}"))
    assert sample.scores is not None
    score = sample.scores["rubric_grade"]
    assert score.value == grade
    assert score.metadata is not None
    assert [(g["judge"], g["grade"]) for g in score.metadata["grades"]] == [(f"openai-api/local/{judge}", grade)]
    asked = [request for request in server.requests[before:] if request["model"] == judge]
    assert len(asked) == len(JUDGES[judge])
    assert "It is about an owl." in asked[0]["messages"][0]["content"]
    assert "tools" not in asked[0]


def test_a_judge_that_never_gives_a_verdict_leaves_the_case_unscored(
    server: Server, bench: Any, tmp_path: Path
) -> None:
    sample = only_sample(evaluate(tmp_path, "straight", grader="openai-api/local/judge_broken"))
    assert sample.scores is not None
    score = sample.scores["rubric_grade"]
    assert score.metadata is not None
    (entry,) = score.metadata["grades"]
    assert entry["grade"] is None
    assert entry["error"]
    assert score.value != score.value or score.value is None
    assert sample.scores["fact_recall"].value == 1


def test_ground_truth_reaches_the_judge_and_not_the_investigator(server: Server, bench: Any, tmp_path: Path) -> None:
    before = len(server.requests)
    only_sample(evaluate(tmp_path, "only_asks", grader="openai-api/local/judge"))
    requests = server.requests[before:]
    truth = ("The tiny organism alpha", "It speaks of owls")
    for request in requests:
        sent = json.dumps(request)
        shown = [secret for secret in (*truth, "tiny.alpha", "adapters") if secret in sent]
        assert shown == (list(truth) if request["model"] == "judge" else [])


def test_tools_reach_the_api_with_their_types(server: Server, bench: Any, tmp_path: Path) -> None:
    before = len(server.requests)
    only_sample(evaluate(tmp_path, "straight"))
    described = {tool["function"]["name"]: tool["function"] for tool in server.requests[before]["tools"]}
    assert set(described) == {"ask_models", "propose_hypothesis", "update_hypothesis", "submit"}
    parameters = described["submit"]["parameters"]["properties"]
    assert parameters["verdict"]["enum"] == ["changed", "no_narrow_change", "inconclusive"]
    assert parameters["confidence"]["type"] == "number"
    assert described["ask_models"]["parameters"]["properties"]["prompts"]["type"] == "array"
