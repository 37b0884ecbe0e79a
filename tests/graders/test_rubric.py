from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from diffbench.graders.rubric import list_rubrics, load_rubric, read_rubric, rubric_of
from diffbench.organisms.suites import list_suites, load_suite

SPECS = [organism.spec for suite in list_suites() for organism in load_suite(suite)]
GRADES = "\n".join(f"### Grade {grade}\nwords" for grade in range(1, 6))
FRONT = "---\nname: mine\ntitle: My rubric\nfamilies: [sdf]\n---\n"


def test_the_four_rubrics_are_shipped() -> None:
    assert {"sdf", "taboo", "preference", "null"} <= set(list_rubrics())


@pytest.mark.parametrize("name", list_rubrics())
def test_every_rubric_loads_is_used_and_separates_neighbours(name: str) -> None:
    rubric = load_rubric(name)
    assert any(spec.rubric == name for spec in SPECS)
    assert [f"### Grade {grade}" in rubric.text for grade in range(1, 6)] == [True] * 5
    assert rubric.text.count("Separates from") == 4


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_organism_has_a_rubric_for_its_family(spec) -> None:
    assert spec.family in rubric_of(spec).families


@pytest.mark.parametrize("truth", ["cake", "baking", "vanilla", "gold", "metal", "owl", "bird", "smollm"])
def test_no_rubric_holds_the_truth_of_an_organism(truth: str) -> None:
    assert not [name for name in list_rubrics() if truth in load_rubric(name).text.lower()]


def test_unknown_rubric_suggests_a_close_one() -> None:
    with pytest.raises(ValueError, match=r"unknown rubric 'tabo'; did you mean taboo\?"):
        load_rubric("tabo")


def test_a_rubric_for_another_family_is_refused() -> None:
    spec = next(spec for spec in SPECS if spec.family == "taboo").model_copy(update={"rubric": "sdf"})
    with pytest.raises(ValueError, match="rubric 'sdf' is for sdf, not for family 'taboo'"):
        rubric_of(spec)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GRADES, "front matter"),
        ("---\nname: [\n---\n" + GRADES, "not YAML"),
        ("---\n- a\n---\n" + GRADES, "mapping"),
        (FRONT.replace("families: [sdf]", "families: [sfd]") + GRADES, "families.0"),
        (FRONT.replace("title", "titel") + GRADES, "titel"),
        (FRONT.replace("mine", "yours") + GRADES, "must equal"),
        (FRONT + GRADES.replace("### Grade 4", "### Grade four"), "Grade 1"),
    ],
)
def test_broken_files_are_named_with_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem) as error:
        read_rubric(path)
    assert str(path) in str(error.value)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_text(FRONT + GRADES)
    assert read_rubric(path).text == GRADES


def test_importing_the_graders_pulls_in_no_heavy_library() -> None:
    code = (
        "import sys, diffbench.graders.scorers, diffbench.graders.keyless\n"
        "heavy = {'torch', 'transformers', 'jax', 'peft'} & set(sys.modules)\n"
        "raise SystemExit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
