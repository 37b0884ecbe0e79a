"""The typed payloads hold what the files of the shipped artifacts hold, value by value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffbench.methods.artifact import Artifact
from diffbench.methods.registry import find_method
from diffbench.methods.store import ArtifactStore

SHIPPED = sorted(ArtifactStore().shipped.iterdir())


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name[:8])
def test_a_shipped_payload_is_the_same_as_data(folder: Path) -> None:
    artifact = Artifact.open(folder)
    method = find_method(artifact.manifest.method)
    written = json.loads((artifact.folder / "payload.json").read_text(encoding="utf-8"))
    assert method.payload(artifact).model_dump(mode="json", exclude_unset=True) == written
