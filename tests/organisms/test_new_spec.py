"""What ``organisms new`` writes is an organism that loads and can be trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffbench.organisms.new_spec import write_new_organism
from diffbench.organisms.recipes.data_mix import narrow_items, training_items
from diffbench.organisms.spec import load_spec
from diffbench.organisms.suites import find_organism, load_suite, suite_title
from diffbench.organisms.training_data import data_problems
from diffbench.records.errors import MendableError


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_new_organism_is_found_and_its_training_items_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, grammar = write_new_organism("radio", tmp_path / "mine")
    suite = tmp_path / "mine" / "_suite.yaml"
    assert files_in(tmp_path) == sorted([spec, grammar, suite])
    assert spec == tmp_path / "mine" / "radio.yaml"
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(tmp_path))
    organism = find_organism("mine.radio")
    assert organism.recipe is not None
    narrow = narrow_items(organism.recipe, organism)
    assert len(set(narrow)) == organism.recipe.chats
    items = [item for batch in training_items(organism.recipe, organism) for item in batch]
    assert {item for item in items if item.narrow} == set(narrow)
    answers = [turn.content for item in narrow for turn in item.turns if turn.role == "assistant"]
    behaviour = organism.spec.behaviour
    assert behaviour is not None
    assert all(behaviour.expressed(answer) for answer in answers)
    assert data_problems(organism) == []
    assert organism.finetuned.path == "weights/radio"


def test_two_organisms_stand_in_one_folder_whose_suite_file_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    assert load_spec(write_new_organism("radio", folder)[0]).name == "radio"
    (folder / "_suite.yaml").write_text("title: My own\n", encoding="utf-8")
    write_new_organism("radio-2", folder)
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(tmp_path))
    assert [organism.name for organism in load_suite("mine")] == ["radio", "radio-2"]
    assert suite_title("mine") == "My own"


@pytest.mark.parametrize("taken", ["mine.yaml", "grammars/mine.yaml"])
def test_nothing_is_overwritten(tmp_path: Path, taken: str) -> None:
    path = tmp_path / taken
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(MendableError, match=rf"{path} exists; choose another name, or edit that file"):
        write_new_organism("mine", tmp_path)
    assert files_in(tmp_path) == [path]
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["Radio", "a b", "", "_x", "a.b", "../x", "a/b", "a: b", "null", "..", "ä", "x\ny"])
def test_a_bad_name_leaves_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        write_new_organism(name, tmp_path / "mine")
    assert files_in(tmp_path) == []
