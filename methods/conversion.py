"""Artifacts of format 1 turned into format 2, without computing anything again.

Format 1 kept sizes of batches among the settings, and with them in the key; the compute dtype stood beside the device
and was no part of the key. Payload and tensors are the same in both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from ..records.files import file_sha256, whole_folder
from .artifact import FORMAT_VERSION, MANIFEST, CorruptArtifactError, JsonObject, Manifest
from .registry import find_method, list_methods

__all__ = ["convert", "format_1_folders"]

_RUN_SIZES = {"kl": ("batch_size", "chunk_tokens"), "adl": ("batch_size",)}
"""Settings of format 1 that changed no result."""
_DTYPE = ", torch."
"""Between device and dtype in format 1."""


def format_1_folders(store: Path) -> Iterator[Path]:
    """The folders in a store that hold artifacts of format 1."""
    for path in sorted(store.glob(f"*/{MANIFEST}")):
        with suppress(CorruptArtifactError):
            if not path.parent.name.startswith(".") and _read(path).get("format_version") == 1:
                yield path.parent


def convert(folder: Path) -> Path:
    """Convert an artifact; its new folder takes the place of the old one.

    Raises:
        CorruptArtifactError: When a file is missing or is not the one that was written; nothing is changed then.
    """
    old = _read(folder / MANIFEST)
    device, _, dtype = str(old["device"]).partition(_DTYPE)
    try:
        draft = Manifest.model_validate({**old, "format_version": FORMAT_VERSION, "device": device, "dtype": dtype})
        draft = draft.model_copy(update={"config": _settings(draft.method, draft.config)})
    except ValidationError as error:
        raise CorruptArtifactError(folder, f"{MANIFEST} is none of format 1 ({error.errors()[0]['msg']})") from error
    for name, digest in draft.files.items():
        if not (folder / name).is_file() or file_sha256(folder / name) != digest:
            raise CorruptArtifactError(folder, f"{name} is missing, or is not the file that was written")
    manifest = draft.model_copy(update={"key": draft.own_key})
    target = folder.with_name(manifest.key)
    with whole_folder(target) as new:
        for name in manifest.files:
            shutil.copy2(folder / name, new / name)
        (new / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder)
    return target


def _read(path: Path) -> JsonObject:
    try:
        found: JsonObject = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(path.parent, f"{MANIFEST} cannot be read ({type(error).__name__})") from error
    return found


def _settings(method: str, config: JsonObject) -> JsonObject:
    """The settings as they enter the key now: those that changed no result left out, later ones at their defaults."""
    kept = {name: value for name, value in config.items() if name not in _RUN_SIZES.get(method, ())}
    if method not in list_methods():
        return kept
    settings: JsonObject = find_method(method).config_type.model_validate(kept).model_dump(mode="json")
    return settings
