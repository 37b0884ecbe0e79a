from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from diffbench.graders.rubric import list_rubrics, load_rubric, read_rubric, rubric_of
from diffbench.organisms.suites import list_suites, load_suite
from diffbench.records.errors import MendableError

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
        (FRONT.replace("families: [sdf]", "families: [S D F]") + GRADES, "families.0"),
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


def test_rubrics_of_a_users_folder_stand_beside_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, name in zip(folders, ("mine", "yours"), strict=True):
        folder.mkdir()
        text = FRONT.replace("name: mine", f"name: {name}").replace("[sdf]", f"[sdf, family_{name}]")
        (folder / f"{name}.md").write_text(text + GRADES)
    shipped = set(list_rubrics())
    monkeypatch.setenv("DIFFBENCH_RUBRICS", os.pathsep.join(map(str, folders)))
    assert set(list_rubrics()) == shipped | {"mine", "yours"}
    spec = SPECS[0].model_copy(update={"family": "family_yours", "rubric": "yours"})
    assert rubric_of(spec).families == ("sdf", "family_yours")
    with pytest.raises(MendableError, match=r"unknown rubric 'yuors'; did you mean yours\?"):
        load_rubric("yuors")
    with pytest.raises(MendableError, match="rubric 'mine' is for sdf, family_mine, not for family 'family_yours'"):
        rubric_of(spec.model_copy(update={"rubric": "mine"}))


@pytest.mark.parametrize("name", ["sdf", "mine"])
def test_a_rubric_name_that_is_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / f"{name}.md").write_text(FRONT + GRADES)
    monkeypatch.setenv("DIFFBENCH_RUBRICS", os.pathsep.join(map(str, folders)))
    with pytest.raises(MendableError, match=rf"there is already a rubric '{name}'"):
        load_rubric("taboo")


def test_a_folder_of_rubrics_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFBENCH_RUBRICS", str(tmp_path / "gone"))
    with pytest.raises(MendableError, match=r"DIFFBENCH_RUBRICS names .*gone, which is no folder; create it or unset"):
        list_rubrics()


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
