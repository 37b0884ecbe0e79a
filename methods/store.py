"""The artifact store: written under a temporary name, then renamed; shipped artifacts are the fallback."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ..records.files import cache_folder, file_sha256
from .artifact import FORMAT_VERSION, MANIFEST, PAYLOAD, TENSORS, Artifact, Content, CorruptArtifactError, Manifest
from .contract import Payload

__all__ = ["ArtifactStore"]

STORE_VARIABLE = "DIFFBENCH_STORE"
"""Environment variable: the user's artifact store; default ``artifacts`` in the user's cache."""

_SHIPPED = Path(__file__).parent / "artifacts"
_PARTIAL = ".partial-"
_LIBRARIES = ("diffbench", "torch", "transformers", "peft", "numpy")


@dataclass(frozen=True)
class ArtifactStore:
    """The user's store, with the artifacts shipped in the package behind it."""

    folder: Path = field(default_factory=lambda: Path(os.environ.get(STORE_VARIABLE) or cache_folder() / "artifacts"))
    shipped: Path = _SHIPPED

    def find(self, key: str) -> Artifact | None:
        """The artifact called ``key``, the user's before the shipped one; None when neither has it.

        Raises:
            CorruptArtifactError: When it is there but broken.
        """
        for folder in (self.folder / key, self.shipped / key):
            if folder.is_dir():
                return Artifact.open(folder)
        return None

    def find_whole(self, key: str, organism: str, method: str) -> Artifact | None:
        """The same with every file checked, and an error that names the pair and the method.

        Raises:
            CorruptArtifactError: When it is there but broken.
        """
        try:
            artifact = self.find(key)
            if artifact is not None:
                artifact.verify()
        except CorruptArtifactError as error:
            raise CorruptArtifactError(error.folder, error.reason, organism, method) from error
        return artifact

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

        self._drop_leftovers()
        # Not the process number alone: in containers it repeats, and a killed run may have left the same name.
        temporary = self.folder / f"{_PARTIAL}{os.getpid()}-{uuid.uuid4().hex}"
        temporary.mkdir(parents=True)
        try:
            (temporary / PAYLOAD).write_text(_json(_plain(content.payload)), encoding="utf-8")
            if content.tensors:
                save_file({name: t.contiguous().cpu() for name, t in content.tensors.items()}, temporary / TENSORS)
            files = {path.name: file_sha256(path) for path in sorted(temporary.iterdir())}
            manifest = Manifest(
                format_version=FORMAT_VERSION,
                key=key,
                files=files,
                libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
                notes=content.notes,
                **about,
            )
            (temporary / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
            target = self.folder / key
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Artifact.open(self.folder / key)

    def _drop_leftovers(self) -> None:
        """Remove what killed runs left behind."""
        for folder in self.folder.glob(f"{_PARTIAL}*"):
            pid = folder.name.removeprefix(_PARTIAL).partition("-")[0]
            if not (pid.isdigit() and psutil.pid_exists(int(pid))):
                shutil.rmtree(folder, ignore_errors=True)


def _plain(payload: Payload | Mapping[str, Any]) -> Mapping[str, Any]:
    return payload.model_dump(mode="json", exclude_unset=True) if isinstance(payload, Payload) else payload


def _json(payload: Mapping[str, Any]) -> str:
    try:
        return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        for name, value in payload.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                place = f"payload[{name!r}]"
                raise ValueError(f"{error} in {place}; a payload is str, int, finite float, list and dict") from error
        raise
