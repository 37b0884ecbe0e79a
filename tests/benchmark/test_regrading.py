"""A finished log graded again by another judge: what the log and the grades frame hold then."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import inspect_ai
import pytest
from diffbench.benchmark.diffing import diffing
from diffbench.graders.scorers import rubric_grade
from diffbench.results.frame import grades_frame
from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.model import GenerateConfig, Model, ModelOutput, ModelUsage, get_model


def judge(name: str, grade: int) -> Model:
    def reply(messages: Any, tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        output = ModelOutput.from_content("mockllm", f'{{"reasoning": "so", "grade": {grade}}}')
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model(f"mockllm/{name}", custom_outputs=reply, memoize=False)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The log of two cases, graded 2 by the judge ``first``."""
    log = inspect_ai.eval(
        diffing(organisms="cake_bake,null_identical", methods="blackbox", agent="evidence_reader"),
        model_roles={"grader": judge("first", 2)},
        log_dir=str(tmp_path),
        display="none",
    )[0]
    assert log.status == "success"
    return Path(log.location)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("append", {("mockllm/first", 2), ("mockllm/second", 4)}),
        ("overwrite", {("mockllm/second", 4)}),
    ],
)
def test_new_grades_stand_beside_the_old_or_in_their_place(
    action: Literal["append", "overwrite"], expected: set[tuple[str, int]], finished: Path
) -> None:
    before = grades_frame(finished).frame
    assert set(zip(before["judge"], before["grade"], strict=True)) == {("mockllm/first", 2)}
    roles = {"grader": judge("second", 4)}
    again = inspect_ai.score(
        read_eval_log(str(finished)), rubric_grade(), model_roles=roles, action=action, display="none"
    )
    write_eval_log(again, str(finished))
    found = grades_frame(finished)
    assert set(zip(found.frame["judge"], found.frame["grade"], strict=True)) == expected
    assert len(found.frame) == 2 * len(expected)
    assert not found.left_out
    for column in ("verdict", "confidence", "method", "agent", "interactions_used"):
        assert set(found.frame[column].astype(str)) == set(before[column].astype(str)), column
    if action == "append":
        assert found.frame["fact_recall"].notna().sum() == 2 * before["fact_recall"].notna().sum()


def test_a_copy_that_was_graded_again_supersedes_the_log(finished: Path, tmp_path: Path) -> None:
    again = inspect_ai.score(
        read_eval_log(str(finished)),
        rubric_grade(),
        model_roles={"grader": judge("second", 4)},
        action="overwrite",
        display="none",
    )
    write_eval_log(again, str(tmp_path / "copy.eval"))
    found = grades_frame(tmp_path)
    # Each judge's newest grades: no case is dropped, and none is counted twice.
    assert sorted(zip(found.frame["judge"], found.frame["grade"], strict=True)) == (
        [("mockllm/first", 2)] * 2 + [("mockllm/second", 4)] * 2
    )
