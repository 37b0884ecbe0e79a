"""The artifact store: written under a temporary name, then renamed; shipped artifacts are the fallback."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..records.files import cache_folder, file_sha256, whole_folder
from .artifact import (
    FORMAT_VERSION,
    MANIFEST,
    PAYLOAD,
    TENSORS,
    Artifact,
    Content,
    CorruptArtifactError,
    Manifest,
    Payload,
)

__all__ = ["ArtifactStore"]

STORE_VARIABLE = "DIFFBENCH_STORE"
"""Environment variable: the user's artifact store; default ``artifacts`` in the user's cache."""

_SHIPPED = Path(__file__).parent / "artifacts"
_LIBRARIES = ("diffbench", "torch", "transformers", "peft", "numpy")


@dataclass(frozen=True)
class ArtifactStore:
    """The user's store, with the artifacts shipped in the package behind it."""

    folder: Path = field(default_factory=lambda: Path(os.environ.get(STORE_VARIABLE) or cache_folder() / "artifacts"))
    shipped: Path = _SHIPPED

    def find(self, *keys: str) -> Artifact | None:
        """The artifact that has one of ``keys``; None when there is none.

        All keys are looked for in the user's store, in their order, before any is among the shipped artifacts.

        Raises:
            CorruptArtifactError: When it is there but broken.
        """
        for root in (self.folder, self.shipped):
            for key in keys:
                if (root / key).is_dir():
                    return Artifact.open(root / key)
        return None

    def find_whole(self, keys: Sequence[str], organism: str, method: str) -> Artifact | None:
        """The same with every file checked, and an error that names the pair and the method.

        Raises:
            CorruptArtifactError: When it is there but broken.
        """
        try:
            artifact = self.find(*keys)
            if artifact is not None:
                artifact.verify()
        except CorruptArtifactError as error:
            raise CorruptArtifactError(error.folder, error.reason, organism, method) from error
        return artifact

    def remove(self, key: str) -> None:
        """Remove an artifact from the user's store, where it has one of that key."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def __iter__(self) -> Iterator[Artifact | CorruptArtifactError]:
        """All artifacts, the user's first; for a broken one its error."""
        seen: set[str] = set()
        for root in (self.folder, self.shipped):
            for folder in sorted(root.iterdir()) if root.is_dir() else []:
                if folder.name.startswith(".") or folder.name in seen or not folder.is_dir():
                    continue
                seen.add(folder.name)
                try:
                    yield Artifact.open(folder)
                except CorruptArtifactError as error:
                    yield error

    def save(self, key: str, content: Content, **about: Any) -> Artifact:
        """Write an artifact whole or not at all; one of the same key is replaced.

        Args:
            key: From ``artifact_key``.
            content: What the method computed.
            **about: The manifest's other fields.

        Raises:
            ValueError: When the payload is not finite JSON; nothing is written then.
        """
        from safetensors.torch import save_file

        with whole_folder(self.folder / key) as folder:
            (folder / PAYLOAD).write_text(_json(content.payload), encoding="utf-8")
            if content.tensors:
                save_file({name: t.contiguous().cpu() for name, t in content.tensors.items()}, folder / TENSORS)
            manifest = Manifest(
                format_version=FORMAT_VERSION,
                key=key,
                files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
                libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
                notes=content.notes,
                **about,
            )
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return Artifact.open(self.folder / key)


def _json(payload: Payload) -> str:
    """The payload's JSON, without the fields that were left at their defaults.

    Raises:
        ValueError: For a value that JSON does not have, such as NaN; names the field.
    """
    plain = payload.model_dump(exclude_unset=True)
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        for name, value in plain.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                place = f"payload[{name!r}]"
                raise ValueError(f"{error} in {place}; a payload is str, int, finite float, list and dict") from error
        raise
