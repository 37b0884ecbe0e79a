"""The artifact of a case, and what is offered on it: readers for an investigator, evidence for a reader without one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from inspect_ai.tool import Tool, ToolDef

from ..methods.artifact import Artifact
from ..methods.contract import Labels
from ..methods.evidence.evidence import Evidence
from ..methods.registry import find_method
from ..methods.store import ArtifactStore
from ..records.errors import MendableError, MissingError
from ..records.names import ASK_TOOL, BLACKBOX
from ..tools.case import CaseState

__all__ = [
    "case_artifact",
    "case_evidence",
    "case_overview",
    "labels_of",
    "reading_tools",
    "spending_tools",
]


def spending_tools(methods: Sequence[str]) -> tuple[str, ...]:
    """Names of the tools of cases of these methods that cost interactions, each once."""
    named = [tool for method in methods if method != BLACKBOX for tool in find_method(method).spending]
    return tuple(dict.fromkeys([ASK_TOOL, *named]))


def reading_tools(case: CaseState) -> list[Tool]:
    """The tools over the artifacts of all methods of the case.

    Raises:
        MendableError: When two methods have a tool of the same name.
    """
    tools: list[Tool] = []
    owner: dict[str, str] = {}
    for name in _reading(case):
        own = find_method(name).toolset(partial(case_artifact, case, name), labels_of(case))
        for tool in (ToolDef(tool).name for tool in own):
            if owner.setdefault(tool, name) != name:
                raise MendableError(
                    f"methods {owner[tool]} and {name} both have a tool {tool}; rename one, or run them apart"
                )
        tools += own
    return tools


def _reading(case: CaseState) -> list[str]:
    """The methods of the case that have an artifact."""
    return [method for method in case.methods if method != BLACKBOX]


def case_artifact(case: CaseState, method: str | None = None) -> Artifact:
    """An artifact of the case.

    Args:
        case: The case.
        method: One of its methods; the only one when not given.

    Raises:
        MissingError: When it is in neither store.
        CorruptArtifactError: When it is broken.
    """
    method = method or case.method
    key = case.artifact_keys.get(method)
    artifact = ArtifactStore().find(key) if key else None
    if artifact is None:
        raise MissingError(
            f"artifact {key} of method {method} is in no store; compute it with: "
            f"diffbench diff {case.organism} --method {method}"
        )
    return artifact


def case_evidence(case: CaseState) -> dict[str, Evidence]:
    """Method -> what its artifact says, of the methods of the case; empty for the method without an artifact.

    Raises:
        MissingError: When an artifact is in neither store.
        CorruptArtifactError: When one is broken.
    """
    return {name: find_method(name).evidence(case_artifact(case, name)) for name in _reading(case)}


def case_overview(case: CaseState, method: str | None = None) -> str:
    """What a method of the case shows first; empty for the method without an artifact.

    Args:
        case: The case.
        method: One of its methods; the only one when not given.

    Raises:
        MissingError: When the artifact is in neither store.
        CorruptArtifactError: When it is broken.
    """
    method = method or case.method
    return "" if method == BLACKBOX else find_method(method).overview(case_artifact(case, method), labels_of(case))


def labels_of(case: CaseState) -> Labels:
    """What the two models are called in the case."""
    return Labels(case.base_label, case.finetuned_label)
