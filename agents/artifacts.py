"""The artifacts of a case: what a method shows of its own first, and what all of them say as data."""

from __future__ import annotations

from ..methods.artifact import Artifact
from ..methods.contract import Labels
from ..methods.evidence.evidence import Evidence
from ..methods.registry import AnyMethod, find_method
from ..methods.store import ArtifactStore
from ..records.errors import MissingError
from ..records.names import BLACKBOX
from ..tools.case import CaseState

__all__ = ["artifact_methods", "case_artifact", "case_evidence", "case_overview", "labels_of"]


def artifact_methods(case: CaseState) -> list[AnyMethod]:
    """The methods of the case whose artifacts are offered; none for the method without one."""
    return [find_method(name) for name in case.methods if name != BLACKBOX]


def case_artifact(case: CaseState, method: str) -> Artifact:
    """The artifact of one of the case's methods.

    Raises:
        MissingError: When it is in neither store.
        CorruptArtifactError: When it is broken.
    """
    key = case.artifact_keys.get(method)
    artifact = ArtifactStore().find(key) if key else None
    if artifact is None:
        raise MissingError(
            f"artifact {key} of method {method} is in no store; compute it with: "
            f"diffbench diff {case.organism} --method {method}"
        )
    return artifact


def case_evidence(case: CaseState) -> dict[str, Evidence]:
    """Method -> what its artifact says.

    Raises:
        MissingError: When an artifact is in neither store.
        CorruptArtifactError: When one is broken.
    """
    return {method.name: method.evidence(case_artifact(case, method.name)) for method in artifact_methods(case)}


def case_overview(case: CaseState, method: AnyMethod) -> str:
    """What one of the case's methods shows first.

    Raises:
        MissingError: When its artifact is in neither store.
        CorruptArtifactError: When it is broken.
    """
    return method.overview(case_artifact(case, method.name), labels_of(case))


def labels_of(case: CaseState) -> Labels:
    """What the two models are called in the case."""
    return Labels(case.base_label, case.finetuned_label)
