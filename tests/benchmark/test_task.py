from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from diffbench.agents.prompt_files import prompt_hashes
from diffbench.benchmark.diffing import diffing
from diffbench.results.frame import grades_frame
from diffbench.tools.case import CaseState
from inspect_ai.log import EvalLog
from inspect_ai.model import ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.viewer import TaskSamplesView

ORGANISMS = ("alpha", "beta", "same")
METHODS = ("blackbox", "activation_norms", "adl", "diff_mining", "kl", "pca", "weight_amplification")
METADATA = {
    "suite",
    "organism",
    "organism_id",
    "variant",
    "family",
    "method",
    "agent",
    "interactions",
    "tool_budgets",
    "framing",
    "blind",
    "hints",
    "hint",
    "seed",
    "artifact_key",
    "needs",
}


@pytest.fixture(scope="module")
def log(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> EvalLog:
    """The whole tiny suite with all methods and keyless models."""
    task = diffing(suite="tiny", interactions=4, response_tokens=6)
    return inspect_ai.eval(task, log_dir=str(tmp_path_factory.mktemp("logs")), display="none")[0]


@pytest.fixture
def run(bench: Any, tmp_path: Path) -> Callable[..., EvalLog]:
    """``run(solver, **task arguments)``: a log of the tiny suite."""

    def evaluate(instead: Solver | None = None, **arguments: Any) -> EvalLog:
        task = diffing(suite="tiny", **{"interactions": 2, "response_tokens": 4, **arguments})
        return inspect_ai.eval(task, solver=instead, log_dir=str(tmp_path), display="none")[0]

    return evaluate


def test_every_organism_meets_every_method_once(log: EvalLog) -> None:
    assert log.status == "success", log.error
    assert log.samples is not None
    ids = [sample.id for sample in log.samples]
    assert sorted(map(str, ids)) == sorted(
        f"tiny.{organism}.{method}.i4" for organism in ORGANISMS for method in METHODS
    )
    assert all(sample.error is None for sample in log.samples)


def test_every_case_has_a_finding_and_a_grade(log: EvalLog) -> None:
    for sample in log.samples or []:
        case = sample.store_as(CaseState)
        assert case.finding is not None
        assert case.finding_source == "submit"
        assert 0 < case.interactions_used <= case.interactions == 4
        assert sample.scores is not None
        grade = sample.scores["rubric_grade"].value
        assert isinstance(grade, int | float)
        assert 1 <= grade <= 5
        (entry,) = sample.scores["rubric_grade"].metadata["grades"]  # type: ignore[index]
        assert entry["judge"] == "keyless/grader"


def test_metadata_has_the_conditions_and_no_ground_truth(log: EvalLog) -> None:
    for sample in log.samples or []:
        assert set(sample.metadata) == METADATA
        assert sample.metadata["suite"] == "tiny"
        assert sample.metadata["needs"] == "weights"
        assert (sample.metadata["artifact_key"] is None) == (sample.metadata["method"] == "blackbox")
        assert "owl" not in str(sample.metadata)
        assert sample.target == ""


def test_scores_are_grouped_by_method(log: EvalLog) -> None:
    assert log.results is not None
    shown = {score.name: score.metrics for score in log.results.scores}
    assert set(shown) == {"rubric_grade", "fact_recall", "false_alarm"}
    for metrics in shown.values():
        assert set(metrics) == {"mean", *METHODS}
    for method in METHODS:
        own = [s for s in log.samples or [] if s.metadata["method"] == method]
        grades = [float(s.scores["rubric_grade"].value) for s in own if s.scores]  # type: ignore[arg-type]
        assert len(grades) == 3
        assert shown["rubric_grade"][method].value == pytest.approx(sum(grades) / 3)


def test_the_viewer_lists_each_score_by_its_scale(log: EvalLog) -> None:
    assert log.eval.viewer is not None
    view = log.eval.viewer.task_samples_view
    assert isinstance(view, TaskSamplesView)
    shown = {column.id for column in view.columns or []}
    assert {f"score__{name}__{name}" for name in log.samples[0].scores or {}} <= shown  # type: ignore[index]
    assert set(view.score_color_scales or {}) == set(log.samples[0].scores or {})  # type: ignore[index]


def test_methods_see_that_the_control_is_the_base_itself(log: EvalLog) -> None:
    for method in METHODS[1:]:
        (sample,) = [s for s in log.samples or [] if s.id == f"tiny.same.{method}.i4"]
        assert sample.scores is not None
        assert sample.store_as(CaseState).finding.verdict == "no_narrow_change"  # type: ignore[union-attr]
        assert (sample.scores["rubric_grade"].value, sample.scores["false_alarm"].value) == (5, 0)


def test_the_transcript_shows_brief_overview_and_readers(log: EvalLog) -> None:
    (sample,) = [s for s in log.samples or [] if s.id == "tiny.alpha.kl.i4"]
    assert "Per-token KL(finetuned || base)" in next(m.text for m in sample.messages if m.role == "user")
    used = [call.function for m in sample.messages if m.role == "assistant" for call in m.tool_calls or []]
    assert used[0] == "kl_texts"
    assert used.count("kl_texts") == 1
    assert used[-1] == "submit"
    assert "ask_models" in used


def test_the_same_seed_gives_the_same_answers(run: Callable[..., EvalLog]) -> None:
    def answers(seed: int) -> list[str]:
        (sample,) = run(organisms="alpha", methods="blackbox", seed=seed).samples or []
        return [m.text for m in sample.messages if m.role == "tool" and m.function == "ask_models"]

    first = answers(0)
    assert first
    assert first == answers(0)
    assert first != answers(1)


def test_conditions_stand_in_the_ids(run: Callable[..., EvalLog]) -> None:
    conditions: dict[str, Any] = {"interactions": 3, "framing": "presuppositional", "blind": True, "seed": 2}
    log = run(organisms=["beta"], methods=["kl"], **conditions)
    (sample,) = log.samples or []
    assert sample.id == "tiny.beta.kl.i3.presuppositional.blind.s2"
    text = sample.messages[1].text if sample.messages[0].role == "system" else sample.messages[0].text
    assert '"M1" and "M2"' in text
    assert "It is known that" in text
    assert '"finetuned"' not in text
    case = sample.store_as(CaseState)
    assert {case.base_label, case.finetuned_label} == {"M1", "M2"}
    assert f"KL({case.finetuned_label} || {case.base_label})" in text


def test_conditions_can_be_swept(bench: Any) -> None:
    task = diffing(
        suite="tiny", organisms="beta", methods="kl", framing=["neutral", "presuppositional"], blind=[False, True]
    )
    assert [sample.id for sample in task.dataset] == [
        "tiny.beta.kl",
        "tiny.beta.kl.blind",
        "tiny.beta.kl.presuppositional",
        "tiny.beta.kl.presuppositional.blind",
    ]


def test_the_log_tells_the_versions_of_the_prompts(log: EvalLog) -> None:
    assert (log.eval.metadata or {})["prompts"] == prompt_hashes()
    for sample in log.samples or []:
        assert sample.scores is not None
        graded_with = sample.scores["rubric_grade"].metadata["prompts"]  # type: ignore[index]
        assert set(graded_with) == {"judge", "repair", "rubric"}
        assert all(len(digest) == 12 for digest in graded_with.values())


def test_defaults_leave_no_suffix(bench: Any) -> None:
    assert [s.id for s in diffing(suite="tiny", methods="blackbox").dataset] == [
        f"tiny.{organism}.blackbox" for organism in ORGANISMS
    ]
    (half,) = diffing(suite="tiny", organisms="alpha+half", methods="blackbox").dataset
    assert half.id == "tiny.alpha+half.blackbox"
    assert half.metadata is not None
    assert (half.metadata["organism"], half.metadata["variant"]) == ("alpha", "half")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"suite": "tinny"}, r"unknown suite 'tinny'; did you mean tiny"),
        ({"organisms": "alpa"}, r"unknown organism 'tiny\.alpa'; did you mean tiny\.alpha"),
        ({"organisms": "alpha+haf"}, r"unknown variant of tiny\.alpha 'haf'; did you mean half"),
        ({"methods": "blackbx"}, r"unknown method 'blackbx'; did you mean blackbox"),
        ({"methods": "kl,kl"}, "kl named more than once"),
        ({"organisms": ["alpha", "alpha"]}, r"tiny\.alpha named more than once"),
        ({"agent": "investigater"}, r"unknown agent 'investigater'; did you mean investigator"),
        ({"framing": "neutrall"}, r"unknown framing 'neutrall'; did you mean neutral"),
        ({"interactions": -1}, "interactions is -1"),
        ({"turns": 0}, "turns is 0"),
        ({"methods": "kl+adll"}, r"unknown method 'adll'; did you mean adl"),
        ({"methods": "kl+kl"}, "kl named more than once"),
        ({"methods": "kl+adl,adl+kl"}, r"adl\+kl named more than once"),
        ({"methods": "kl+blackbox"}, "blackbox has nothing to read"),
        ({"agent": "llm_reader"}, "agent llm_reader has nothing to read in method blackbox"),
        ({"hints": "famly"}, r"unknown hint 'famly'; did you mean family.*or give a sentence"),
        ({"blind": [True, True]}, "more than once"),
        ({"framing": ["neutral", "neutrall"]}, r"unknown framing 'neutrall'"),
        (
            {"tool_budgets": {"kl_texts": 1}},
            r"unknown tool with a budget 'kl_texts'; known: amplify, ask_models, steer",
        ),
        ({"tool_budgets": {"ask_modls": 1}}, r"unknown tool with a budget 'ask_modls'; did you mean ask_models"),
        ({"tool_budgets": {"ask_models": 11}}, r"budget of tool ask_models is 11; it is 0 to 10"),
        ({"tool_budgets": {"ask_models": -1}}, r"budget of tool ask_models is -1"),
        ({"tool_budgets": "steer:2"}, r"tool_budgets is 'steer:2'; it maps tools to interactions"),
        ({"hints": {"a": "b"}}, r"hints is .*or a sentence in quotes"),
        ({"run_cost": 0}, "run_cost is 0; it is above 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str, bench: Any) -> None:
    with pytest.raises(ValueError, match=message):
        diffing(**{"suite": "tiny", "methods": "blackbox", **arguments})


def test_missing_artifacts_name_the_commands(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="2 artifacts are missing") as raised:
        diffing(suite="tiny", organisms=["alpha", "beta"], methods=["blackbox", "kl"])
    lines = str(raised.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "diffbench diff tiny.alpha --method kl",
        "diffbench diff tiny.beta --method kl",
    ]


def test_a_broken_artifact_is_refused_by_name(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sample,) = diffing(suite="tiny", organisms="alpha", methods="kl").dataset
    key = sample.metadata["artifact_key"]  # type: ignore[index]
    (tmp_path / key).mkdir()
    (tmp_path / key / "manifest.json").write_text("{", encoding="utf-8")
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path))
    with pytest.raises(ValueError, match=f"artifact {key}.*--recompute"):
        diffing(suite="tiny", organisms="alpha", methods="kl")


def test_a_crash_is_graded_1_and_counted(run: Callable[..., EvalLog]) -> None:
    @solver
    def sometimes() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            if state.metadata["organism"] == "alpha":
                raise RuntimeError("the agent broke")
            state.output = ModelOutput.from_content("agent", "VERDICT: changed\nIt speaks of an owl.")
            return state

        return solve

    log = run(sometimes(), organisms=["alpha", "beta"], methods="blackbox")
    assert log.status == "success"
    by_name = {sample.metadata["organism"]: sample for sample in log.samples or []}
    crashed, fine = by_name["alpha"], by_name["beta"]
    assert crashed.error is not None
    assert "the agent broke" in crashed.error.message
    assert crashed.scores is not None
    assert fine.scores is not None
    assert crashed.scores["rubric_grade"].value == 1
    assert fine.scores["rubric_grade"].value > 1  # type: ignore[operator]
    assert fine.scores["rubric_grade"].metadata["finding_source"] == "completion"  # type: ignore[index]
    assert log.results is not None
    mean = next(score for score in log.results.scores if score.name == "rubric_grade").metrics["mean"].value
    assert mean == pytest.approx((1 + fine.scores["rubric_grade"].value) / 2)  # type: ignore[operator]


@pytest.mark.parametrize("blind", [False, True])
def test_a_full_run_makes_a_grades_frame(blind: bool, run: Callable[..., EvalLog]) -> None:
    log = run(organisms="alpha,same", methods="kl", agent="evidence_reader", blind=blind)
    grades = grades_frame([log.location])
    assert len(grades.frame) == 2
    assert not grades.left_out
    assert set(grades.frame["organism"]) == {"alpha", "same"}
    assert all(sample.store_as(CaseState).finding_source == "reader" for sample in log.samples or [])
    assert all(sample.store_as(CaseState).interactions_used == 0 for sample in log.samples or [])
