"""What passes between rooms and into logs: errors, findings, metadata of cases and grades."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import pytest
from diffbench.records.case import CaseMetadata
from diffbench.records.errors import MendableError, MissingError, unknown_name
from diffbench.records.finding import Finding
from diffbench.records.grades import GradeMetadata, JudgeGrade
from diffbench.records.names import is_keyless
from diffbench.records.progress import Countable, ticking, untracked
from pydantic import ValidationError

T = TypeVar("T")

CASE = {"suite": "smol", "organism": "cake_bake", "family": "sdf", "method": "adl+kl", "interactions": 5}


def test_a_missing_thing_can_be_mended_and_is_a_missing_file() -> None:
    error = MissingError("no such file\ninstall it")
    assert isinstance(error, MendableError)
    assert isinstance(error, FileNotFoundError)
    assert str(error) == "no such file\ninstall it"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cake_bak", "unknown organism 'cake_bak'; did you mean cake_bake?"),
        ("zzz", "unknown organism 'zzz'; known: cake_bake, owl"),
    ],
)
def test_an_unknown_name_is_told_what_is_close_or_known(name: str, expected: str) -> None:
    assert str(unknown_name("organism", name, ["owl", "cake_bake"])) == expected
    assert str(unknown_name("organism", name, [])).endswith("known: none")


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_finding_without_a_description_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="say what changed"):
        Finding(verdict="changed", description=text, confidence=1)


def test_metadata_of_a_case_survive_the_log() -> None:
    case = CaseMetadata.model_validate(CASE | {"variant": "mix1-1", "blind": True, "tool_budgets": {"steer": 2}})
    assert case.organism_id == "smol.cake_bake+mix1-1"
    assert CaseMetadata.model_validate(case.as_metadata()) == case


def test_metadata_of_earlier_and_later_logs_load() -> None:
    early = CaseMetadata.model_validate(CASE)
    assert (early.organism_id, early.hints, early.tool_budgets, early.agent) == ("smol.cake_bake", "none", {}, None)
    later = CaseMetadata.model_validate(CASE | {"brand_new": 1, "organism_id": "smol.cake_bake"})
    assert later == early


def test_metadata_that_name_no_method_are_refused() -> None:
    with pytest.raises(ValidationError, match="method"):
        CaseMetadata.model_validate({name: value for name, value in CASE.items() if name != "method"})


def test_metadata_of_a_score_hold_only_what_its_scorer_gives() -> None:
    graded = GradeMetadata(grades=(JudgeGrade(judge="j", repeat=0, grade=3, reasoning="r"),), verdict="changed")
    told = graded.as_metadata()
    assert told["grades"] == [{"judge": "j", "repeat": 0, "grade": 3, "reasoning": "r", "error": None}]
    assert "facts" not in told
    assert "grades" not in GradeMetadata(verdict=None).as_metadata()
    assert GradeMetadata.model_validate(told | {"brand_new": 1}) == graded


@pytest.mark.parametrize("grade", [0, 6, 3.5, "3"])
def test_a_grade_is_a_whole_number_from_1_to_5(grade: object) -> None:
    with pytest.raises(ValidationError):
        JudgeGrade(judge="j", repeat=0, grade=grade)


@pytest.mark.parametrize(
    ("model", "expected"), [("keyless/investigator", True), ("none/none", True), ("openai/keyless", False)]
)
def test_policies_are_told_from_models_by_their_names(model: str, expected: bool) -> None:
    assert is_keyless(model) is expected


def test_no_progress_display_gives_the_items_as_they_are() -> None:
    assert list(untracked([1, 2], "label")) == [1, 2]


def test_steps_that_are_no_items_are_counted() -> None:
    shown: list[object] = []

    def track(items: Countable[T], label: str) -> Iterator[T]:
        for item in items:
            shown.append((label, item))
            yield item
        shown.append("end")

    with ticking(track, 2, "Reading") as tick:
        assert shown == [("Reading", 0)]
        tick()
        assert shown == [("Reading", 0), ("Reading", 1)]
        tick()
        assert shown[-1] == "end"
        tick()  # One more than was expected shows nothing.
    assert len(shown) == 3
