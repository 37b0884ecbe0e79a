"""Folders of weights: the files they hold, whether they are those that were trained, and hashes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ..records.errors import MendableError, MissingError
from ..records.files import file_sha256

__all__ = [
    "ADAPTER_CONFIG",
    "ADAPTER_WEIGHTS",
    "DIFFERENCE_WEIGHTS",
    "TRAINING_SUMMARY",
    "files_digest",
    "trained_folder",
]

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
DIFFERENCE_WEIGHTS = "difference.safetensors"
TRAINING_SUMMARY = "training.json"


def trained_folder(folder: Path, weights: str, others: Iterable[str], organism: str) -> Path:
    """A folder of trained weights, after a look whether it is whole.

    Args:
        folder: The folder.
        weights: Name of the file with the weights.
        others: Names of the other files that must be there.
        organism: Id of the organism, for messages.

    Raises:
        MissingError: When a file is missing.
        MendableError: When the weights are not those that the training summary beside them names.
    """
    for name in (*others, weights):
        if not (folder / name).is_file():
            raise MissingError(
                f"{organism}: {name} is missing in {folder}; train it with: diffbench organisms train {organism}"
            )
    summary = folder / TRAINING_SUMMARY
    if summary.is_file():
        expected = json.loads(summary.read_text(encoding="utf-8")).get("sha256", "no hash")
        actual = _sha256(folder / weights)
        if actual != expected:
            raise MendableError(
                f"{organism}: {folder / weights} has sha256 {actual}, its {TRAINING_SUMMARY} says "
                f"{expected}; restore the file or train again"
            )
    return folder


def files_digest(paths: Iterable[Path]) -> str:
    """Hex SHA-256 over the names and contents of some files, in their order."""
    joined = hashlib.sha256()
    for path in paths:
        joined.update(f"{path.name}:{_sha256(path)}\n".encode())
    return joined.hexdigest()


def _sha256(path: Path) -> str:
    return _sha256_at(path, path.stat().st_mtime_ns)


@cache
def _sha256_at(path: Path, mtime_ns: int) -> str:  # noqa: ARG001 - part of the cache key
    """``file_sha256``, read again only when the file's time stamp changes."""
    return file_sha256(path)
