"""The embedded suite's shipped artifacts, read without a model: what the reader makes of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from diffbench.benchmark.diffing import diffing
from diffbench.tools.case import CaseState, Finding
from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog


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
        for method in ("adl", "kl")
    }
    assert all(1 <= sample.scores["rubric_grade"].value <= 5 for sample in log.samples)


def test_adl_names_the_domain_of_the_false_facts(log: EvalLog) -> None:
    found = finding(log, "smol.cake_bake.adl")
    assert found.verdict == "changed"
    assert re.search(r"\b(cakes?|bak(e|ed|ing|ers?))\b", found.description, re.IGNORECASE)


@pytest.mark.parametrize("method", ["adl", "kl"])
def test_nothing_is_found_where_nothing_changed(log: EvalLog, method: str) -> None:
    assert finding(log, f"smol.null_identical.{method}").verdict == "no_narrow_change"
