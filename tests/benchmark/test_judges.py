"""``diffbench judges``: figures of known judges, files written, and the agreement of judges in real logs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main
from diffbench.benchmark.tables.judge_summary import summarise
from diffbench.graders.calibration_set import Answer, list_calibrations, load_calibration
from diffbench.graders.keyless import keyless_grade
from diffbench.graders.scorers import rubric_grade
from diffbench.records.grades import JudgeGrade
from inspect_ai import Task, task
from inspect_ai import eval as run_eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput, ModelUsage, get_model

ENTRIES = {name: load_calibration(name).entries for name in list_calibrations()}


@pytest.fixture
def diffbench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setenv("DIFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 200)
    return lambda *arguments: CliRunner().invoke(main, ["judges", *arguments])


def judge_that(grade: Callable[[str], int | str], name: str = "judge") -> Model:
    def reply(messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        given = grade(messages[0].text)
        text = given if isinstance(given, str) else json.dumps({"reasoning": "so", "grade": given})
        output = ModelOutput.from_content(model="mockllm", content=text)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model(f"mockllm/{name}", custom_outputs=reply, memoize=False)


@pytest.fixture
def use_judge(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], int | str]], None]:
    def use(grade: Callable[[str], int | str]) -> None:
        monkeypatch.setattr("diffbench.benchmark.cli.judges.model_named", lambda name: judge_that(grade))

    return use


def answers_of(name: str, grades: list[int | None]) -> list[Answer]:
    return [
        Answer(name, entry, JudgeGrade(judge="j", repeat=0, grade=grade, reasoning="", error=None if grade else "mute"))
        for entry, grade in zip(ENTRIES[name], grades, strict=True)
    ]


def test_a_perfect_judge() -> None:
    summary = summarise(answers_of("sdf", [entry.expected for entry in ENTRIES["sdf"]]), 1)
    row = summary.overall
    assert (row.mean_error, row.within, row.bias, row.kappa) == (0, 1, 0, 1)
    assert summary.misses == summary.ungraded == ()
    assert {row.label: row.entries for row in summary.by_kind} == {
        "plain": sum(entry.attack is None for entry in ENTRIES["sdf"]),
        "adversarial": sum(entry.attack is not None for entry in ENTRIES["sdf"]),
    }


def test_the_figures_by_hand() -> None:
    # One grade too lenient where that is possible, one answer without a grade.
    entries = ENTRIES["taboo"]
    grades: list[int | None] = [min(5, entry.expected + 1) for entry in entries]
    grades[0] = None
    errors = [grade - entry.expected for grade, entry in zip(grades, entries, strict=True) if grade is not None]
    allowed = [
        grade is not None and abs(grade - entry.expected) <= entry.tolerance
        for grade, entry in zip(grades, entries, strict=True)
    ]
    summary = summarise(answers_of("taboo", grades), 1)
    assert summary.overall.mean_error == summary.overall.bias == pytest.approx(sum(errors) / len(errors))
    assert summary.overall.within == pytest.approx(sum(allowed) / len(entries))
    assert summary.overall.ungraded == 1
    assert len(summary.misses) == len(entries) - 1 - sum(allowed)
    assert [answer.given.error for answer in summary.ungraded] == ["mute"]


def test_the_worst_misses_come_first() -> None:
    summary = summarise(answers_of("null", [5] * len(ENTRIES["null"])), 1)
    sizes = [abs(answer.error or 0) for answer in summary.misses]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 4
    with pytest.raises(ValueError, match="no answers"):
        summarise([], 1)


def test_the_keyless_grader_is_scored_and_marked_as_a_baseline(
    diffbench: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "keyless.json"
    result = diffbench("calibrate", "--family", "taboo", "--family", "null", "--json", str(file))
    assert result.exit_code == 0, result.output
    assert "Calibration of keyless/grader – a baseline" in result.output
    assert "The worst" in result.output
    data = json.loads(file.read_text(encoding="utf-8"))
    assert data["baseline"] is True
    assert data["command"] == "diffbench judges calibrate --model keyless/grader --family taboo --family null"
    # The policy asked directly, without Inspect between.
    from diffbench.graders.calibration_set import prompt_of

    direct = [keyless_grade(prompt_of(entry)).grade for name in ("taboo", "null") for entry in ENTRIES[name]]
    assert [answer["grade"] for answer in data["answers"]] == direct
    wrong = [grade - answer["expected"] for grade, answer in zip(direct, data["answers"], strict=True)]
    assert data["overall"]["mean_error"] == pytest.approx(sum(map(abs, wrong)) / len(wrong))
    assert data["overall"]["bias"] == pytest.approx(sum(wrong) / len(wrong))


def test_a_judge_that_says_always_the_same_has_no_kappa(
    diffbench: Callable[..., Result], use_judge: Callable[..., None], tmp_path: Path
) -> None:
    use_judge(lambda prompt: 3)
    file = tmp_path / "three.json"
    result = diffbench("calibrate", "--family", "sdf", "--repeats", "2", "--json", str(file), "--require-kappa", "0.1")
    assert result.exit_code == 1
    assert "kappa of mockllm/judge is 0.00, --require-kappa asks for 0.1" in result.output
    data = json.loads(file.read_text(encoding="utf-8"))
    assert data["overall"]["asked"] == 2 * data["overall"]["entries"] == 2 * len(ENTRIES["sdf"])
    assert data["overall"]["kappa"] == pytest.approx(0)
    assert data["baseline"] is False


def test_a_good_judge_meets_the_kappa_that_is_asked_for(
    diffbench: Callable[..., Result], use_judge: Callable[..., None]
) -> None:
    from diffbench.graders.calibration_set import prompt_of

    right = {prompt_of(entry): entry.expected for entry in ENTRIES["sdf"]}
    use_judge(right.__getitem__)
    result = diffbench("calibrate", "--family", "sdf", "--require-kappa", "1")
    assert result.exit_code == 0, result.output
    assert "misses" not in result.output


def test_ungraded_answers_are_listed_and_fail_a_required_kappa(
    diffbench: Callable[..., Result], use_judge: Callable[..., None]
) -> None:
    use_judge(lambda prompt: "I would rather not say")
    result = diffbench("calibrate", "--family", "null", "--require-kappa", "-1")
    assert result.exit_code == 1
    assert f"Ungraded ({len(ENTRIES['null'])}):" in result.output
    assert "repair reply: it holds no JSON object" in result.output


def test_the_page_is_begun_and_later_replaced_between_its_marks(
    diffbench: Callable[..., Result], use_judge: Callable[..., None], tmp_path: Path
) -> None:
    page = tmp_path / "judges.md"
    use_judge(lambda prompt: 4)
    assert diffbench("calibrate", "--family", "sdf", "--misses", "2", "--write", str(page)).exit_code == 0
    first = page.read_text(encoding="utf-8")
    assert first.count("mockllm/judge: begin") == 1
    assert "    diffbench judges calibrate --model mockllm/judge --family sdf\n" in first
    assert re.search(r"^\| sdf \| 20 \| 20 \| 0 \| ", first, re.MULTILINE)
    assert len(re.findall(r"^- sdf/", first, re.MULTILINE)) == 2
    page.write_text(f"# Mine\n\n{first}after\n", encoding="utf-8")
    use_judge(lambda prompt: 1)
    assert diffbench("calibrate", "--family", "null", "--write", str(page)).exit_code == 0
    second = page.read_text(encoding="utf-8")
    assert second.startswith("# Mine\n\n<!-- calibration of mockllm/judge: begin")
    assert second.endswith("end -->\nafter\n")
    assert "| sdf |" not in second
    assert "| null |" in second


def test_a_page_without_marks_is_refused_before_anything_is_asked(
    diffbench: Callable[..., Result], use_judge: Callable[..., None], tmp_path: Path
) -> None:
    asked: list[str] = []
    use_judge(lambda prompt: asked.append(prompt) or 3)
    page = tmp_path / "page.md"
    page.write_text("# A page\n", encoding="utf-8")
    result = diffbench("calibrate", "--family", "null", "--write", str(page))
    assert result.exit_code == 1
    assert "needs the two lines" in result.output
    assert not asked
    assert page.read_text(encoding="utf-8") == "# A page\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("calibrate", "--family", "tabo"), "did you mean taboo?"),
        (("calibrate", "--model", "nope/x"), "nope"),
        (("calibrate", "--model", "keyless/investigater"), "did you mean investigator?"),
        (("calibrate", "--repeats", "0"), "--repeats"),
        (("agreement",), "LOGS"),
        (("agreement", "/no/such/log"), "no log at /no/such/log"),
    ],
)
def test_wrong_arguments_are_named(diffbench: Callable[..., Result], arguments: tuple[str, ...], named: str) -> None:
    result = diffbench(*arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    assert named in result.output


def test_a_missing_key_is_one_line(diffbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    result = diffbench("calibrate", "--model", "anthropic/claude-x")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    assert "ANTHROPIC_API_KEY" in line
    assert "[" not in line


def test_a_run_that_was_stopped_goes_on_and_asks_nothing_twice(
    diffbench: Callable[..., Result], use_judge: Callable[..., None], tmp_path: Path
) -> None:
    asked: list[str] = []

    def failing(prompt: str) -> int:
        if len(asked) == 7:
            raise RuntimeError("the machine was switched off")
        asked.append(prompt)
        return 2

    use_judge(failing)
    stopped = diffbench("calibrate", "--family", "taboo")
    assert stopped.exit_code == 1
    assert "stopped; 7 answers are in" in stopped.output
    (file,) = (tmp_path / "cache" / "calibrations").iterdir()
    with file.open("a", encoding="utf-8") as written:
        written.write('{"prompt": "cut o')  # and the line that it wrote just then

    def going_on(prompt: str) -> int:
        asked.append(prompt)
        return 4

    use_judge(going_on)
    answers = tmp_path / "answers.json"
    done = diffbench("calibrate", "--family", "taboo", "--json", str(answers))
    assert done.exit_code == 0, done.output
    assert "7 answers of a run that was stopped are in" in done.output
    assert len(asked) == len(set(asked)) == len(ENTRIES["taboo"])
    grades = [answer["grade"] for answer in json.loads(answers.read_text(encoding="utf-8"))["answers"]]
    assert sorted(grades) == [2] * 7 + [4] * (len(ENTRIES["taboo"]) - 7)
    # A run that ended is no source: the next one asks anew.
    assert not file.exists()
    assert diffbench("calibrate", "--family", "taboo").exit_code == 0
    assert len(asked) == 2 * len(ENTRIES["taboo"])


def test_an_error_of_the_provider_is_one_line(diffbench: Callable[..., Result], use_judge: Callable[..., None]) -> None:
    class Unauthorized(RuntimeError):
        status_code = 401

    def refused(prompt: str) -> int:
        raise Unauthorized("wrong\n key")

    use_judge(refused)
    result = diffbench("calibrate", "--family", "taboo")
    assert isinstance(result.exception, SystemExit)
    assert "stopped; 0 answers are in" in result.output
    assert result.output.splitlines()[-1] == "Error: mockllm/judge answered with HTTP 401: wrong key"


def test_a_broken_file_of_answers_is_named(
    diffbench: Callable[..., Result], use_judge: Callable[..., None], tmp_path: Path
) -> None:
    use_judge(lambda prompt: 2)
    file = tmp_path / "cache" / "calibrations" / "mockllm_judge.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("no answer\n", encoding="utf-8")
    result = diffbench("calibrate", "--family", "taboo")
    assert result.exit_code == 1
    assert f"{file}: line 1 is no answer" in result.output.replace("\n", "")


FINDINGS = [("sdf", place) for place in (0, 5, 8)] + [("taboo", place) for place in (0, 3, 7)]


def test_agreement_of_two_judges_in_a_log(diffbench: Callable[..., Result], tmp_path: Path) -> None:
    samples = []
    for name, place in FINDINGS:
        entry = ENTRIES[name][place]
        suite, _, organism = entry.organism.partition(".")
        samples.append(
            Sample(
                id=f"{entry.organism}.{place}",
                input="What changed?",
                metadata={
                    "suite": suite,
                    "organism": organism,
                    "organism_id": entry.organism,
                    "family": name,
                    "method": "adl",
                    "agent": "planted",
                    "interactions": 0,
                    "framing": "neutral",
                    "blind": False,
                },
            )
        )
    findings = {f"{e.organism}.{place}": e.finding for name, place in FINDINGS for e in [ENTRIES[name][place]]}

    @task(name="diffing")
    def planted() -> Task:
        return Task(dataset=samples, scorer=rubric_grade(), solver=planting(findings))

    severe = {finding.description: 1 + place % 3 for place, finding in enumerate(findings.values())}

    def grade(plus: int) -> Callable[[str], int]:
        # In the prompt the finding is JSON.
        return lambda prompt: next(
            g + plus for text, g in severe.items() if json.dumps(text, ensure_ascii=False)[1:-1] in prompt
        )

    judges = [judge_that(grade(0), "severe"), judge_that(grade(2), "lenient")]
    run_eval(planted(), model="mockllm/model", model_roles={"grader": judges}, log_dir=str(tmp_path), display="none")
    file = tmp_path / "agreement.json"
    result = diffbench("agreement", str(tmp_path), "--json", str(file))
    assert result.exit_code == 0, result.output
    data = json.loads(file.read_text(encoding="utf-8"))
    assert {judge["judge"]: judge["severity"]["value"] for judge in data["judges"]} == {
        "mockllm/severe": pytest.approx(-2),
        "mockllm/lenient": pytest.approx(2),
    }
    assert data["pairs"][0]["kappa"]["cases"] == len(FINDINGS)
    # Grades 1, 2, 3, 1, 2, 3 against 3, 4, 5, 3, 4, 5: 1 - 6 * 24 / sum of (a - b)^2 over all 36 pairs.
    everything = sum((a - b) ** 2 for a in [1, 2, 3] * 2 for b in [3, 4, 5] * 2)
    assert data["pairs"][0]["kappa"]["value"] == pytest.approx(1 - 6 * 24 / everything)
    assert data["judges"][0]["repeat_exact"]["value"] is None
    assert "Krippendorff's alpha (ordinal) over all judges" in result.output
    assert "no case was graded twice by this judge" in result.output


def planting(findings: dict[str, Any]) -> Any:
    """A solver that puts the finding of its sample into the case."""
    from diffbench.tools.case import CaseState
    from inspect_ai.solver import Generate, Solver, TaskState, solver

    @solver
    def plant() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            case = state.store_as(CaseState)
            case.finding, case.finding_source = findings[str(state.sample_id)], "submit"
            return state

        return solve

    return plant()
