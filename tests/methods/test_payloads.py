"""The typed payloads hold what the files of the shipped artifacts hold, value by value."""

from __future__ import annotations

import json

import pytest
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Method
from diffbench.methods.registry import find_method
from diffbench.methods.store import ArtifactStore

SHIPPED = sorted(ArtifactStore().shipped.iterdir())


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name[:8])
def test_a_shipped_payload_is_the_same_as_data(folder: object) -> None:
    artifact = Artifact.open(folder)  # type: ignore[arg-type]
    method = find_method(artifact.manifest.method)
    if not isinstance(method, Method):
        pytest.skip("not yet of the new contract")
    written = json.loads((artifact.folder / "payload.json").read_text(encoding="utf-8"))
    assert method.payload(artifact).model_dump(mode="json", exclude_unset=True) == written
