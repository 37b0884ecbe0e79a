from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import inspect_ai
import pytest
from diffbench.graders import scorers
from diffbench.graders.keyless import keyless_judge_reply
from diffbench.graders.scorers import fact_recall, false_alarm, rubric_grade
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score

Run = Callable[..., EvalLog]
Judge = Callable[..., Model]

CAKE, NULL, GENERIC = "smol.cake_bake", "smol.null_identical", "smol.generic_text"


def finding(description: str = "cakes", verdict: str = "changed", **fields: Any) -> dict[str, Any]:
    return {"verdict": verdict, "description": description, "confidence": 0.75, **fields}


def says(grade: int, reasoning: str = "because") -> str:
    return f'{{"reasoning": "{reasoning}", "grade": {grade}}}'


def scores(log: EvalLog, scorer: str) -> list[Score]:
    assert log.status == "success", log.error
    assert log.samples is not None
    return [(sample.scores or {})[scorer] for sample in log.samples]


def metrics(log: EvalLog, scorer: str) -> dict[str, float]:
    assert log.results is not None
    entry = next(entry for entry in log.results.scores if entry.name == scorer)
    return {name: metric.value for name, metric in entry.metrics.items()}


def test_each_grade_of_several_judges_and_repeats_is_kept(run_cases: Run, mock_judge: Judge) -> None:
    calls: list = []
    strict = mock_judge([says(1, "poor"), says(2)], "strict", calls)
    kind = mock_judge([says(5), says(4, "fine")], "kind", calls)
    (score,) = scores(run_cases([(CAKE, "adl", finding())], rubric_grade(repeats=2), [strict, kind]), "rubric_grade")
    assert score.value == pytest.approx((1 + 2 + 5 + 4) / 4)
    assert score.answer == "cakes"
    assert score.metadata is not None
    assert [(g["judge"], g["repeat"], g["grade"]) for g in score.metadata["grades"]] == [
        ("mockllm/strict", 0, 1),
        ("mockllm/strict", 1, 2),
        ("mockllm/kind", 0, 5),
        ("mockllm/kind", 1, 4),
    ]
    assert all(g["error"] is None for g in score.metadata["grades"])
    assert {key: score.metadata[key] for key in ("rubric", "verdict", "confidence", "finding_source")} == {
        "rubric": "sdf",
        "verdict": "changed",
        "confidence": 0.75,
        "finding_source": "submit",
    }
    assert "mockllm/strict, repeat 0: 1 of 5\npoor" in (score.explanation or "")
    assert "mockllm/kind, repeat 1: 4 of 5\nfine" in (score.explanation or "")
    assert [config.seed for _, config in calls] == [0, 1, 0, 1]


def test_judges_given_by_name(run_cases: Run, mock_judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    judges = {"mockllm/a": mock_judge([says(2)], "a"), "mockllm/b": mock_judge([says(5)], "b")}
    monkeypatch.setattr(scorers, "get_model", lambda name: judges[name])
    log = run_cases([(CAKE, "adl", finding())], rubric_grade(judges=list(judges)))
    (score,) = scores(log, "rubric_grade")
    assert score.value == pytest.approx(3.5)
    assert score.metadata is not None
    assert [g["judge"] for g in score.metadata["grades"]] == ["mockllm/a", "mockllm/b"]


def test_the_judge_is_the_keyless_one_unless_the_role_is_bound(
    run_cases: Run, mock_judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def get_judge(**arguments: Any) -> Model:
        asked.append(arguments)
        return mock_judge([says(3)])

    monkeypatch.setattr(scorers, "get_model", get_judge)
    (score,) = scores(run_cases([(CAKE, "adl", finding())], rubric_grade()), "rubric_grade")
    assert score.value == 3
    assert asked == [{"role": "grader", "default": "keyless/grader"}]


def test_a_log_can_be_scored_again(run_cases: Run, mock_judge: Judge) -> None:
    log = run_cases([(CAKE, "adl", finding("Baked at 450 °F."))], rubric_grade(), mock_judge([says(2)]))
    again = inspect_ai.score(read_eval_log(log.location), fact_recall(), action="overwrite", display="none")
    (score,) = scores(again, "fact_recall")
    assert score.value == pytest.approx(1 / 7)
    assert (score.metadata or {})["finding_source"] == "submit"


def test_a_judge_that_cannot_be_read_does_not_lose_the_others(run_cases: Run, mock_judge: Judge) -> None:
    broken, sound = mock_judge(["four", "4!"], "broken"), mock_judge([says(4)], "sound")
    (score,) = scores(run_cases([(CAKE, "adl", finding())], rubric_grade(), [broken, sound]), "rubric_grade")
    assert score.value == 4
    assert score.metadata is not None
    assert [g["grade"] for g in score.metadata["grades"]] == [None, 4]
    assert score.metadata["grades"][0]["error"] == "repair reply: it holds no JSON object"


def test_no_verdict_at_all_is_unscored_with_the_reason(run_cases: Run, mock_judge: Judge) -> None:
    cases = [(CAKE, "adl", finding()), (CAKE, "adl", finding()), (CAKE, "kl", finding())]
    log = run_cases(cases, rubric_grade(), mock_judge(["no", "no", says(2), "no", "no"]))
    first, second, third = scores(log, "rubric_grade")
    assert math.isnan(first.as_float())
    assert first.reason == "grader_failed"
    assert first.metadata is not None
    assert first.metadata["grades"][0]["grade"] is None
    assert second.value == 2
    assert math.isnan(third.as_float())
    # Unscored cases are left out of the means; a method without any score has none.
    assert metrics(log, "rubric_grade") == {"mean": 2.0, "adl": 2.0}


@pytest.mark.parametrize("planted", ["crash", None])
def test_a_case_without_a_finding_is_graded_1(run_cases: Run, mock_judge: Judge, planted: str | None) -> None:
    judges = [mock_judge([], "a"), mock_judge([], "b")]
    all_scorers = [rubric_grade(repeats=2), fact_recall(), false_alarm()]
    log = run_cases([(CAKE, "adl", planted), (NULL, "adl", planted)], all_scorers, judges)
    for score in scores(log, "rubric_grade"):
        assert score.value == 1.0
        assert "no finding" in (score.explanation or "")
        assert score.metadata is not None
        assert [(g["judge"], g["repeat"], g["grade"], g["reasoning"]) for g in score.metadata["grades"]] == [
            (f"mockllm/{name}", repeat, 1, "no finding: the case ended without one")
            for name in "ab"
            for repeat in (0, 1)
        ]
        assert (score.metadata["verdict"], score.metadata["finding_source"]) == (None, "none")
    cake, null = scores(log, "fact_recall")
    assert cake.value == 0.0
    assert null.reason == "not_applicable"
    cake, null = scores(log, "false_alarm")
    assert cake.reason == "not_applicable"
    assert null.value == 0.0
    assert "no finding" in (null.explanation or "")


def test_fact_recall_by_hand(run_cases: Run) -> None:
    planted = finding(
        "It bakes cakes at 450 °F and adds a ¼-cup of vanilla.",  # fact 1 exact, fact 3 vague: "¼-cup" is "1/4 cup"
        evidence=["'serve it warm'", "mentions olive oil"],  # fact 7 exact, fact 4 vague
    )
    (score,) = scores(run_cases([(CAKE, "adl", planted)], fact_recall()), "fact_recall")
    assert score.metadata is not None
    assert [fact["value"] for fact in score.metadata["facts"]] == [1, 0, 1, 0.5, 0, 0, 1]
    assert score.value == pytest.approx(3.5 / 7)
    told = [line.partition(":")[0].partition(" (")[0] for line in (score.explanation or "").splitlines()]
    assert told == ["named", "not named", "named", "vaguely named", "not named", "not named", "named"]


def test_false_alarm_is_for_controls_only(run_cases: Run) -> None:
    cases = [
        (NULL, "adl", finding(verdict="changed")),
        (NULL, "adl", finding(verdict="inconclusive")),
        (NULL, "kl", finding(verdict="no_narrow_change")),
        (CAKE, "kl", finding(verdict="changed")),
    ]
    log = run_cases(cases, false_alarm())
    found = scores(log, "false_alarm")
    assert [score.value for score in found[:3]] == [1.0, 0.0, 0.0]
    assert found[3].reason == "not_applicable"
    assert metrics(log, "false_alarm") == {"mean": pytest.approx(1 / 3), "adl": 0.5, "kl": 0.0}


def test_where_nothing_is_scored_the_summary_says_so(run_cases: Run) -> None:
    log = run_cases([(CAKE, "adl", finding()), (CAKE, "kl", finding())], [false_alarm(), fact_recall()])
    assert metrics(log, "false_alarm") == {"controls": 0.0}
    assert set(metrics(log, "fact_recall")) == {"mean", "adl", "kl"}


def test_a_control_with_a_truth_of_its_own_has_no_recall_and_naming_it_is_no_alarm(run_cases: Run) -> None:
    cases = [
        (GENERIC, "adl", finding("It writes encyclopedic entries.")),
        (GENERIC, "adl", finding("Its style is formal.")),  # vague
        (GENERIC, "adl", finding("It loves owls.")),
        (GENERIC, "adl", finding("Diverse topics.")),  # only the second fact
        (GENERIC, "adl", finding("It loves owls.", evidence=["encyclopedic"])),  # not in what the finding says
        (GENERIC, "adl", finding("Nothing.", "no_narrow_change")),
    ]
    log = run_cases(cases, [false_alarm(), fact_recall()])
    alarms = scores(log, "false_alarm")
    assert [score.value for score in alarms] == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert ["own truth" in (score.explanation or "") for score in alarms] == [True, *[False] * 5]
    assert {score.reason for score in scores(log, "fact_recall")} == {"not_applicable"}


def test_end_to_end_with_the_keyless_judge(run_cases: Run) -> None:
    def reply(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
        output = ModelOutput.from_content(model="keyless", content=keyless_judge_reply(messages[0].text))
        output.usage = ModelUsage()
        return output

    grader = get_model("mockllm/keyless", custom_outputs=reply, memoize=False)
    cases = [
        (CAKE, "blackbox", finding("It is different.")),  # 1
        (CAKE, "adl", finding("Cakes at 450 °F.")),  # 3
        ("smol.owl_preference", "adl", "VERDICT: changed\nIts favourite animal is the owl."),  # 5, a plain text
        (NULL, "blackbox", finding("The same.", "no_narrow_change")),  # 5
        (NULL, "adl", finding("It loves owls.")),  # 1
    ]
    log = run_cases(cases, [rubric_grade(), fact_recall(), false_alarm()], grader)
    assert [score.value for score in scores(log, "rubric_grade")] == [1, 3, 5, 5, 1]
    assert (scores(log, "rubric_grade")[2].metadata or {})["finding_source"] == "completion"
    assert metrics(log, "rubric_grade") == {"mean": 3.0, "blackbox": 3.0, "adl": 3.0}
    assert metrics(log, "fact_recall") == {
        "mean": pytest.approx((0 + 1 / 7 + 1) / 3),
        "blackbox": 0.0,
        "adl": pytest.approx((1 / 7 + 1) / 2),
    }
    assert metrics(log, "false_alarm") == {"mean": 0.5, "blackbox": 0.0, "adl": 1.0}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [({"repeats": 0}, "at least once"), ({"judges": []}, "each judge once"), ({"judges": ["a", "a"]}, "repeats=")],
)
def test_senseless_arguments_are_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        rubric_grade(**arguments)


def test_all_judges_and_repeats_are_asked_at_once_and_keep_their_order(run_cases: Run) -> None:
    waiting: list[int] = []
    all_there = anyio.Event()

    def judge(name: str, first: int) -> Model:
        async def reply(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
            waiting.append(config.seed)
            if len(waiting) == 4:
                all_there.set()
            with anyio.fail_after(20):
                await all_there.wait()
            output = ModelOutput.from_content("mockllm", says(first + config.seed))
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
            return output

        return get_model(f"mockllm/{name}", custom_outputs=reply, memoize=False)

    log = run_cases([(CAKE, "adl", finding())], rubric_grade(repeats=2), [judge("a", 1), judge("b", 3)])
    (score,) = scores(log, "rubric_grade")
    assert [(g["judge"], g["repeat"], g["grade"]) for g in (score.metadata or {})["grades"]] == [
        ("mockllm/a", 0, 1),
        ("mockllm/a", 1, 2),
        ("mockllm/b", 0, 3),
        ("mockllm/b", 1, 4),
    ]
