"""Which organisms a run is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from diffbench.benchmark.diffing import diffing
from diffbench.benchmark.selection import select_organisms
from diffbench.organisms.suites import load_suite
from diffbench.records.errors import MendableError
from inspect_ai import eval as inspect_eval


@pytest.fixture
def mine(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A suite ``mine`` of the three tiny organisms, one of them chosen by default."""
    folder = tmp_path / "roots" / "mine"
    folder.mkdir(parents=True)
    for path in (tiny.specs / "tiny").glob("*.yaml"):
        (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "_suite.yaml").write_text("default: [beta]\n", encoding="utf-8")
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(folder.parent))
    return "mine"


def test_without_names_the_suite_chooses(mine: str) -> None:
    assert [organism.id for organism in select_organisms(mine, None)] == ["mine.beta"]


def test_all_is_every_organism_of_the_suite(mine: str) -> None:
    assert select_organisms(mine, ["all"]) == load_suite(mine)
    assert len(load_suite(mine)) == 3


def test_names_are_taken_in_their_order_with_variants(mine: str) -> None:
    assert [o.id for o in select_organisms(mine, ["same", "alpha+half"])] == ["mine.same", "mine.alpha+half"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["all", "beta"], "unknown organism 'mine.all'"),
        (["betta"], r"unknown organism 'mine\.betta'; did you mean mine\.beta"),
        (["beta", "beta"], r"mine\.beta named more than once"),
    ],
)
def test_wrong_names_are_refused(mine: str, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_organisms(mine, names)


def test_a_family_and_a_rubric_of_a_users_own_are_worked_graded_and_hinted(
    mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "roots" / mine / "beta.yaml"
    fields = {**yaml.safe_load(spec.read_text(encoding="utf-8")), "family": "heat", "rubric": "warmth"}
    spec.write_text(yaml.safe_dump(fields), encoding="utf-8")
    folder = tmp_path / "rubrics"
    folder.mkdir()
    front = "---\nname: warmth\ntitle: Warmth of words\nfamilies: [heat]\nhint: warm words\n---\n"
    body = "\n".join(f"### Grade {grade}\nSo warm: {grade}." for grade in range(1, 6))
    (folder / "warmth.md").write_text(front + body, encoding="utf-8")
    asked: dict[str, Any] = {"suite": mine, "organisms": "beta", "methods": "blackbox", "hints": "family"}
    with pytest.raises(MendableError, match=r"beta\.yaml: rubric: unknown rubric 'warmth'"):
        diffing(**asked)
    monkeypatch.setenv("DIFFBENCH_RUBRICS", str(folder))
    (log,) = inspect_eval(diffing(**asked, interactions=0), display="none", log_dir=str(tmp_path / "logs"))
    (sample,) = log.samples or []
    assert sample.metadata["family"] == "heat"
    assert any("it is of this kind: warm words." in message.text for message in sample.messages)
    assert (sample.scores or {})["rubric_grade"].metadata["rubric"] == "warmth"


def test_the_embedded_suite_starts_small() -> None:
    chosen = {organism.name for organism in select_organisms("smol", None)}
    assert chosen == {"cake_bake", "null_identical", "owl_preference", "taboo_gold"}
    assert len(select_organisms("smol", ["all"])) > len(chosen)
