from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from diffbench.organisms.spec import load_spec
from diffbench.organisms.suites import find_organism, list_suites, load_suite, unknown_name


def test_own_suite_stands_beside_the_shipped_ones(tiny: Any) -> None:
    assert {"smol", "tiny"} <= set(list_suites())
    assert [organism.id for organism in load_suite("tiny")] == ["tiny.alpha", "tiny.beta", "tiny.same"]


def test_every_shipped_spec_loads() -> None:
    for suite in list_suites():
        assert load_suite(suite), suite


def test_find_by_short_and_full_name(tiny: Any) -> None:
    assert find_organism("alpha") == find_organism("tiny.alpha")


def test_variants(tiny: Any) -> None:
    organism = find_organism("tiny.alpha+half")
    assert (organism.id, organism.variant) == ("tiny.alpha+half", "half")
    assert organism.finetuned == organism.spec.finetuned["half"]
    assert find_organism("alpha+default").id == "tiny.alpha"
    with pytest.raises(ValueError, match=r"unknown variant of tiny\.alpha 'halve'; did you mean half"):
        find_organism("alpha+halve")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny.alpa", r"unknown organism 'tiny\.alpa'; did you mean tiny\.alpha"),
        ("alhpa", r"did you mean alpha"),
        ("tinny.alpha", r"unknown suite 'tinny'; did you mean tiny"),
        ("qqqqqqq", r"unknown organism .qqqqqqq.; known: .*alpha, .*beta"),
        ("", "unknown organism ''"),
    ],
)
def test_near_names_are_suggested(tiny: Any, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_organism(name)


def test_ambiguous_short_name_lists_the_suites(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = load_spec(tiny.specs / "tiny" / "same.yaml").model_dump(mode="json")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "same.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", os.pathsep.join([str(tiny.specs), str(tmp_path)]))
    with pytest.raises(ValueError, match="several suites") as caught:
        find_organism("same")
    assert "other.same" in str(caught.value)
    assert "tiny.same" in str(caught.value)
    assert find_organism("other.same").suite == "other"


def test_name_twice_in_one_suite_is_refused(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = load_spec(tiny.specs / "tiny" / "same.yaml").model_dump(mode="json")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "same.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", os.pathsep.join([str(tiny.specs), str(tmp_path)]))
    with pytest.raises(ValueError, match="already has an organism 'same'"):
        load_suite("tiny")


def test_missing_folder_in_the_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"DIFFBENCH_ORGANISMS names .*nowhere"):
        list_suites()


def test_unknown_name_without_anything_known() -> None:
    assert str(unknown_name("thing", "x", [])) == "unknown thing 'x'; known: none"
