"""The store: whole or not at all, hashes checked, the user's artifacts before the shipped ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.methods import store as store_module
from diffbench.methods.artifact import Artifact, Content, CorruptArtifactError, artifact_key
from diffbench.methods.store import ArtifactStore
from raw_payload import RawPayload, payload_json, raw

ABOUT: dict[str, Any] = {
    "method": "kl",
    "config": {"max_tokens": 8},
    "base": {"kind": "local", "sha256": "a"},
    "finetuned": {"kind": "local", "sha256": "b"},
    "corpus_name": "probe",
    "corpus_sha256": "c",
    "dtype": "bfloat16",
    "device": "cpu",
    "seconds": 1.5,
    "peak_memory_mib": 10.0,
}
KEY = artifact_key(*(ABOUT[part] for part in ("base", "finetuned", "method", "config", "corpus_sha256", "dtype")))
CONTENT = Content(
    raw({"summary": {"mean": 0.25, "word": "Käse"}}), {"d": torch.arange(6.0).reshape(2, 3)}, ("scaled down",)
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "user", tmp_path / "shipped")


def test_what_was_saved_is_found(store: ArtifactStore) -> None:
    store.save(KEY, CONTENT, **ABOUT)
    found = store.find(KEY)
    assert found is not None
    assert found.payload(RawPayload) == CONTENT.payload
    assert torch.equal(found.tensors()["d"], CONTENT.tensors["d"])
    assert (found.key, found.manifest.notes, found.manifest.config) == (KEY, ("scaled down",), {"max_tokens": 8})
    assert found.manifest.libraries["torch"] == torch.__version__
    found.verify()
    assert [path.name for path in store.folder.iterdir()] == [KEY]
    assert store.find("f" * 24) is None


def test_without_tensors_there_is_no_tensor_file(store: ArtifactStore) -> None:
    artifact = store.save(KEY, Content(raw({"a": 1})), **ABOUT)
    assert artifact.tensors() == {}
    assert sorted(path.name for path in artifact.folder.iterdir()) == ["manifest.json", "payload.json"]


def test_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DIFFBENCH_STORE", raising=False)
    assert ArtifactStore().folder == tmp_path / "cache" / "artifacts"
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "mine"))
    assert ArtifactStore().folder == tmp_path / "mine"


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("failing", ["payload", "manifest", "hash"])
def test_a_failure_while_writing_shows_nothing(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, failing: str, before: bool
) -> None:
    if before:
        store.save(KEY, Content(raw({"old": True})), **ABOUT)
    content, about = CONTENT, ABOUT
    if failing == "payload":
        content = Content(raw({"mean": float("nan")}))
    elif failing == "manifest":
        about = {**ABOUT, "seconds": "long"}
    else:

        def no_hash(_path: Path) -> str:
            raise OSError("disk full")

        monkeypatch.setattr(store_module, "file_sha256", no_hash)
    with pytest.raises((ValueError, OSError)):
        store.save(KEY, content, **about)
    monkeypatch.undo()
    assert [path.name for path in store.folder.iterdir()] == ([KEY] if before else [])
    found = store.find(KEY)
    assert (found is not None) == before
    if found is not None:
        assert payload_json(found) == {"old": True}


def test_saving_again_replaces(store: ArtifactStore) -> None:
    store.save(KEY, CONTENT, **ABOUT)
    store.save(KEY, Content(raw({"new": True})), **ABOUT)
    found = store.find(KEY)
    assert found is not None
    assert payload_json(found) == {"new": True}
    assert found.tensors() == {}


@pytest.mark.parametrize("name", ["payload.json", "tensors.safetensors"])
def test_altered_and_missing_files_are_refused_by_name(store: ArtifactStore, name: str) -> None:
    artifact = store.save(KEY, CONTENT, **ABOUT)
    read = partial(artifact.payload, RawPayload) if name == "payload.json" else artifact.tensors
    path = artifact.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b" ")
    for check in (read, artifact.verify):
        with pytest.raises(CorruptArtifactError, match=f"{KEY} .*{name} is not the file .*--recompute"):
            check()
    path.unlink()
    for check in (read, artifact.verify):
        with pytest.raises(CorruptArtifactError, match=f"{name} is missing"):
            check()
    path.write_bytes(content)
    artifact.verify()


def test_payload_that_the_manifest_does_not_list_is_refused(store: ArtifactStore) -> None:
    artifact = store.save(KEY, CONTENT, **ABOUT)
    path = artifact.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["payload.json"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(CorruptArtifactError, match=r"payload\.json"):
        Artifact.open(artifact.folder).payload(RawPayload)


def test_manifest_of_another_key_is_refused(store: ArtifactStore) -> None:
    artifact = store.save(KEY, CONTENT, **ABOUT)
    artifact.folder.rename(store.folder / ("e" * 24))
    with pytest.raises(CorruptArtifactError, match=f"belongs to the artifact {KEY}"):
        store.find("e" * 24)


def test_other_format_version_is_refused(store: ArtifactStore) -> None:
    artifact = store.save(KEY, CONTENT, **ABOUT)
    path = artifact.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(CorruptArtifactError, match="format version 99"):
        store.find(KEY)


def test_users_store_comes_before_the_shipped_one(store: ArtifactStore) -> None:
    shipping = ArtifactStore(store.shipped, store.shipped)
    shipping.save(KEY, Content(raw({"from": "shipped"})), **ABOUT)
    other = "d" * 24
    shipping.save(other, Content(raw({"from": "shipped"})), **ABOUT)
    found = store.find(KEY)
    assert found is not None
    assert payload_json(found) == {"from": "shipped"}
    store.save(KEY, Content(raw({"from": "user"})), **ABOUT)
    found = store.find(KEY)
    assert found is not None
    assert payload_json(found) == {"from": "user"}
    folders = [item.folder for item in store if isinstance(item, Artifact)]
    assert folders == [store.folder / KEY, store.shipped / other]


def test_iteration_reports_broken_artifacts(store: ArtifactStore) -> None:
    store.save(KEY, CONTENT, **ABOUT)
    (store.folder / ("a" * 24)).mkdir()
    (store.folder / ".partial-1-x").mkdir()
    (store.folder / "notes.txt").write_text("not an artifact")
    good, bad = sorted(store, key=lambda item: isinstance(item, CorruptArtifactError))
    assert isinstance(good, Artifact)
    assert isinstance(bad, CorruptArtifactError)
    assert "a" * 24 in str(bad)


def test_empty_store_has_nothing(tmp_path: Path) -> None:
    assert list(ArtifactStore(tmp_path / "none", tmp_path / "none_either")) == []


def test_leftovers_of_dead_processes_are_dropped(store: ArtifactStore) -> None:
    finished = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive = int(finished.stdout), os.getppid()
    for pid in (dead, alive):
        folder = store.folder / f".partial-{pid}-{KEY}"
        folder.mkdir(parents=True)
        (folder / "payload.json").write_text("{}")
    store.save(KEY, CONTENT, **ABOUT)
    assert sorted(path.name for path in store.folder.iterdir()) == sorted([KEY, f".partial-{alive}-{KEY}"])


def test_leftover_of_an_earlier_process_with_our_number_is_no_obstacle(store: ArtifactStore) -> None:
    """In containers process numbers repeat from run to run."""
    (store.folder / f".partial-{os.getpid()}-{KEY}").mkdir(parents=True)
    assert store.save(KEY, CONTENT, **ABOUT).payload(RawPayload) == CONTENT.payload


def test_artifacts_may_be_copied_between_stores(store: ArtifactStore) -> None:
    artifact = store.save(KEY, CONTENT, **ABOUT)
    shutil.copytree(artifact.folder, store.shipped / KEY)
    shutil.rmtree(store.folder)
    found = store.find(KEY)
    assert found is not None
    found.verify()


def test_shipped_artifacts_are_whole() -> None:
    for item in ArtifactStore(Path("/nonexistent")):
        assert isinstance(item, Artifact), item
        item.verify()
