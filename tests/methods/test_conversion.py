"""Artifacts of format 1 become those of the present format, with the same payload and tensors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from diffbench.benchmark.cli.main import main
from diffbench.methods.artifact import FORMAT_VERSION, CorruptArtifactError
from diffbench.methods.conversion import convert
from diffbench.methods.jobs import key_for
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.registry import find_method
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import find_organism

PAYLOAD = {
    "summary": {"texts": 1, "tokens": 2, "mean": 0.1, "median": 0.1, "p99": 0.2, "max": 0.2, "mean_text": 0.1}
    | {"mean_chat": 0.0},
    "rows": [{"index": 0, "kind": "text", "mean": 0.1, "max": 0.2, "tokens": ["a", "Käse"], "kl": [0.0, 0.2]}],
    "top_by_mean": [0],
    "top_by_max": [0],
}


def format_1(store: Path, **changes: Any) -> Path:
    """An artifact of ``kl`` for ``tiny.beta`` as the version before wrote it."""
    organism = find_organism("tiny.beta")
    config = {"max_texts": 10_000, "max_tokens": 64, "top_texts": 100, "batch_size": 8, "chunk_tokens": 99}
    base, finetuned = organism.identity("base"), organism.identity("finetuned")
    parts = {"base": base, "finetuned": finetuned, "method": "kl", "config": config, "corpus": "c", "format": 1}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    folder = store / key
    folder.mkdir(parents=True)
    (folder / "payload.json").write_text(json.dumps(PAYLOAD, ensure_ascii=False), encoding="utf-8")
    manifest = {
        "format_version": 1,
        "key": key,
        "method": "kl",
        "config": config,
        "base": base,
        "finetuned": finetuned,
        "corpus_name": "mine",
        "corpus_sha256": "c",
        "files": {"payload.json": hashlib.sha256((folder / "payload.json").read_bytes()).hexdigest()},
        "libraries": {"torch": "2"},
        "device": "cpu, torch.bfloat16",
        "seconds": 3.5,
        "peak_memory_mib": 100.0,
        "notes": ["scaled down"],
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_converted_artifact_is_found_and_holds_the_same(tiny: Any, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store", tmp_path / "none")
    old = format_1(store.folder)
    written = (old / "payload.json").read_bytes()
    with pytest.raises(CorruptArtifactError, match=r"format version 1; .* reads 2.*diffbench artifacts convert"):
        store.find(old.name)
    result = CliRunner().invoke(main, ["artifacts", "convert"])
    assert result.exit_code == 0, result.output
    assert "1 artifacts converted, 0 broken" in result.output
    (artifact,) = list(store)
    artifact.verify()
    assert (artifact.folder / "payload.json").read_bytes() == written
    assert KL.payload(artifact).model_dump(mode="json", exclude_unset=True) == PAYLOAD
    manifest = artifact.manifest
    assert (manifest.format_version, manifest.dtype, manifest.device) == (FORMAT_VERSION, "bfloat16", "cpu")
    assert manifest.config == {"max_texts": 10_000, "max_tokens": 64, "top_texts": 100}
    assert (manifest.notes, manifest.seconds, manifest.libraries) == (("scaled down",), 3.5, {"torch": "2"})
    corpus = type("Named", (), {"sha256": "c"})()
    assert artifact.key == key_for(find_organism("tiny.beta"), KL, KlConfig(max_tokens=64), "bfloat16", corpus)
    assert not old.exists()
    assert "0 artifacts converted" in CliRunner().invoke(main, ["artifacts", "convert"]).output


def test_settings_that_came_later_are_at_their_defaults(tiny: Any, tmp_path: Path) -> None:
    adl = find_method("adl").config_type
    config = {name: value for name, value in adl().model_dump(mode="json").items() if name != "patchscope"}
    old = format_1(tmp_path, method="adl", config={**config, "batch_size": 32})
    new = json.loads((convert(old) / "manifest.json").read_text(encoding="utf-8"))
    assert new["config"] == {**config, "patchscope": None}


def test_settings_of_a_method_that_is_not_installed_stay(tiny: Any, tmp_path: Path) -> None:
    old = format_1(tmp_path, method="theirs", config={"batch_size": 3})
    new = json.loads((convert(old) / "manifest.json").read_text(encoding="utf-8"))
    assert new["config"] == {"batch_size": 3}


@pytest.mark.parametrize("harm", ["payload", "device", "settings"])
def test_a_broken_artifact_is_named_and_left(tiny: Any, tmp_path: Path, harm: str) -> None:
    changes = {"device": {"device": "abacus"}, "settings": {"config": {"max_tokens": "many"}}}.get(harm, {})
    old = format_1(tmp_path / "store", **changes)
    if harm == "payload":
        (old / "payload.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    result = CliRunner().invoke(main, ["artifacts", "convert"])
    assert result.exit_code == 1
    assert "0 artifacts converted, 1 broken" in result.output
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    assert [path.name for path in old.parent.iterdir()] == [old.name]
