"""Artifacts that commands show or report on."""

from __future__ import annotations

from pathlib import Path

from ...methods.artifact import Artifact
from ...methods.jobs import keys_for, require_needs
from ...methods.registry import AnyMethod, config_for
from ...methods.store import ArtifactStore
from ...organisms.suites import Organism
from ...records.errors import MissingError
from .options import corpus_from

__all__ = ["stored_artifact"]


def stored_artifact(organism: Organism, method: AnyMethod, corpus: Path | None = None) -> Artifact:
    """The artifact under the suite's settings.

    Raises:
        MissingError: When it is in neither store.
        CorruptArtifactError: When it is broken.
    """
    require_needs(organism, method)
    keys = keys_for(organism, method, config_for(method, organism.suite), corpus_from(corpus))
    artifact = ArtifactStore().find(*keys)
    if artifact is None:
        option = f" --corpus {corpus}" if corpus else ""
        raise MissingError(
            f"artifact {' or '.join(keys)} of method {method.name} on {organism.id} is in no store; compute it with: "
            f"diffbench diff {organism.id} --method {method.name}{option}"
        )
    return artifact
