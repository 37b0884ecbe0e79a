"""The embedded suite's shipped artifacts, read without a model: what the reader makes of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from diffbench.benchmark.diffing import diffing
from diffbench.graders.scorers import rubric_grade
from diffbench.records.finding import Finding
from diffbench.results.frame import grades_frame
from diffbench.tools.case import CaseState
from inspect_ai import eval as inspect_eval
from inspect_ai import score as inspect_score
from inspect_ai.log import EvalLog, write_eval_log

METHODS = ("activation_norms", "adl", "diff_mining", "kl", "pca", "weight_amplification")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> EvalLog:
    store: Path = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFBENCH_STORE", str(store))
        task = diffing(suite="smol", agent="evidence_reader")
        return inspect_eval(task, model="none/none", log_dir=str(tmp_path_factory.mktemp("logs")), display="none")[0]


def finding(log: EvalLog, sample_id: str) -> Finding:
    sample = next(sample for sample in log.samples if sample.id == sample_id)
    return sample.store_as(CaseState).finding


def test_every_case_is_graded(log: EvalLog) -> None:
    assert log.status == "success"
    assert {sample.id for sample in log.samples} == {
        f"smol.{organism}.{method}"
        for organism in ("cake_bake", "null_identical", "owl_preference", "taboo_gold")
        for method in METHODS
    }
    assert all(1 <= sample.scores["rubric_grade"].value <= 5 for sample in log.samples)


def test_adl_names_the_domain_of_the_false_facts(log: EvalLog) -> None:
    found = finding(log, "smol.cake_bake.adl")
    assert found.verdict == "changed"
    assert re.search(r"\b(cakes?|bak(e|ed|ing|ers?))\b", found.description, re.IGNORECASE)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_found_where_nothing_changed(log: EvalLog, method: str) -> None:
    assert finding(log, f"smol.null_identical.{method}").verdict == "no_narrow_change"


def test_grades_added_to_a_finished_log_are_read(log: EvalLog, tmp_path: Path) -> None:
    graded_again = inspect_score(log, rubric_grade(repeats=2), action="append", display="none")
    write_eval_log(graded_again, str(tmp_path / "again.eval"))
    frame = grades_frame(tmp_path).frame
    assert len(frame) == 2 * len(log.samples)
    assert set(frame["judge_repeat"]) == {0, 1}
