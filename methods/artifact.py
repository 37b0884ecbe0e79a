"""Artifacts: the cached output of one method for one pair, and the key that names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from pydantic import JsonValue, ValidationError

from ..records.errors import MendableError
from ..records.files import file_sha256
from ..records.frozen import Frozen

if TYPE_CHECKING:
    import torch

__all__ = [
    "DTYPES",
    "FORMAT_VERSION",
    "Artifact",
    "Content",
    "CorruptArtifactError",
    "Dtype",
    "DtypeChoice",
    "JsonObject",
    "Manifest",
    "Payload",
    "artifact_key",
]

JsonObject: TypeAlias = dict[str, JsonValue]
Dtype: TypeAlias = Literal["bfloat16", "float32"]
"""In which the models computed."""
DtypeChoice: TypeAlias = Literal["auto", "bfloat16", "float32"]
"""The same as a choice; ``auto`` computes in what the machine is fast with, and finds an artifact of either."""
DTYPES: tuple[Dtype, ...] = ("bfloat16", "float32")
"""The order in which artifacts are looked for, on whatever machine."""

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
PAYLOAD = "payload.json"
TENSORS = "tensors.safetensors"


class Payload(Frozen):
    """The part of an artifact that is read: JSON with finite numbers. Tensors lie beside it, by name."""


P = TypeVar("P", bound=Payload)


class CorruptArtifactError(MendableError):
    """An artifact whose files are not those its manifest names, or whose manifest is not that of its key."""

    def __init__(self, folder: Path, reason: str, organism: str = "ORGANISM", method: str = "METHOD") -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"artifact {folder.name} in {folder.parent}: {reason}; "
            f"compute it again with: diffbench diff {organism} --method {method} --recompute"
        )


class Manifest(Frozen):
    """What an artifact is and how it came to be. Holds hashes of the models, no names of organisms."""

    format_version: int
    key: str
    method: str
    config: JsonObject
    base: JsonObject
    """What fixes the weights of the base model; of an API its name."""
    finetuned: JsonObject
    corpus_name: str
    corpus_sha256: str
    dtype: Dtype | None = None
    """In which the models computed; None for a method that queried them only."""
    files: dict[str, str]
    """File name -> SHA-256."""
    libraries: dict[str, str]
    device: str | None
    """Such as ``cpu``; None for a method that queried the models only."""
    seconds: float
    peak_memory_mib: float
    notes: tuple[str, ...] = ()
    """What was scaled down or stood in for."""

    @property
    def own_key(self) -> str:
        """The key that follows from what the manifest says."""
        return artifact_key(self.base, self.finetuned, self.method, self.config, self.corpus_sha256, self.dtype)


@dataclass(frozen=True)
class Content:
    """What a method computed, before it is stored."""

    payload: Payload
    """All that is read by tools."""
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Artifact:
    """A stored artifact; files are read, and checked against their hashes, when asked for."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Artifact:
        """Read the manifest in ``folder``.

        Raises:
            CorruptArtifactError: When the manifest is missing, unreadable or another artifact's.
        """
        path = folder / MANIFEST
        try:
            manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise CorruptArtifactError(folder, f"{MANIFEST} cannot be read ({type(error).__name__})") from error
        if manifest.key != folder.name:
            raise CorruptArtifactError(folder, f"{MANIFEST} belongs to the artifact {manifest.key}")
        if manifest.format_version != FORMAT_VERSION:
            raise CorruptArtifactError(
                folder,
                f"format version {manifest.format_version}; this diffbench reads {FORMAT_VERSION}, and turns version 1 "
                "into it with: diffbench artifacts convert",
            )
        return cls(folder, manifest)

    @property
    def key(self) -> str:
        """Name of the artifact in a store."""
        return self.manifest.key

    def payload(self, kind: type[P]) -> P:
        """The payload; decoded once and then the same object to all who ask.

        Args:
            kind: The method's payload type.

        Raises:
            CorruptArtifactError: When the file is missing, differs from its hash, or is no payload of that kind.
        """
        path = self._checked(PAYLOAD)
        try:
            payload: P = _validated(path, self.manifest.files[PAYLOAD], kind)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise CorruptArtifactError(
                self.folder, f"{PAYLOAD} is no {kind.__name__} ({place}: {first['msg']})"
            ) from error
        return payload

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors; empty when the method keeps none.

        Raises:
            CorruptArtifactError: When the file is missing or its hash differs.
        """
        from safetensors.torch import load_file

        return load_file(self._checked(TENSORS)) if TENSORS in self.manifest.files else {}

    def verify(self) -> None:
        """Check that the manifest is that of the key, and every file.

        Raises:
            CorruptArtifactError: When the key is another's; naming the first file that is missing or differs.
        """
        m = self.manifest
        if (own := m.own_key) != self.key:
            raise CorruptArtifactError(
                self.folder,
                f"{MANIFEST} tells of the artifact {own}; the models, method, settings or corpus are others",
            )
        if PAYLOAD not in m.files:
            raise CorruptArtifactError(self.folder, f"{MANIFEST} does not list {PAYLOAD}")
        for name in m.files:
            self._checked(name)

    def _checked(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise CorruptArtifactError(self.folder, f"{name} is missing")
        if file_sha256(path) != self.manifest.files.get(name):
            raise CorruptArtifactError(self.folder, f"{name} is not the file that was written (SHA-256 differs)")
        return path


@lru_cache(maxsize=64)
def _validated(path: Path, sha256: str, kind: type[P]) -> P:  # noqa: ARG001 - the content, as part of the cache's key
    """A payload, decoded once: the overview and each call of a reader ask for it."""
    return kind.model_validate_json(path.read_bytes())


def artifact_key(
    base: Mapping[str, Any],
    finetuned: Mapping[str, Any],
    method: str,
    config: Mapping[str, Any],
    corpus_sha256: str,
    dtype: Dtype | None,
) -> str:
    """Hash of all that determines an artifact: both models, method, config, corpus, compute dtype, format version."""
    parts = {
        "base": base,
        "finetuned": finetuned,
        "method": method,
        "config": config,
        "corpus": corpus_sha256,
        "dtype": dtype,
        "format": FORMAT_VERSION,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
