"""The artifact of a case, and what is offered on it: readers for an investigator, evidence for a reader without one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Protocol, runtime_checkable

from inspect_ai.tool import Tool, ToolDef

from ..methods.artifact import Artifact
from ..methods.contract import Labels, Method
from ..methods.evidence.evidence import Evidence
from ..methods.registry import find_method, list_methods, load_point, unique_points
from ..methods.store import ArtifactStore
from ..records.names import ASK_TOOL, BLACKBOX
from ..tools.case import CaseState
from ..views.panels import Panel

__all__ = [
    "PicturedReaders",
    "Readers",
    "case_artifact",
    "case_evidence",
    "case_overview",
    "labels_of",
    "readers_for",
    "reading_tools",
    "spending_tools",
]

ENTRY_POINTS = "diffbench.readers"


class Readers(Protocol):
    """A module ``tools/<method>.py`` (or a third party's, in the entry-point group ``diffbench.readers``).

    One whose tools cost interactions names them in ``SPENDING``, so that they can be given budgets.
    """

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """The free tools over an artifact."""
        ...

    def evidence(self, artifact: Artifact) -> Evidence:
        """What the artifact shows by itself."""
        ...


@runtime_checkable
class PicturedReaders(Readers, Protocol):
    """A module of readers that also has pictures; of one without, ``diffbench show`` shows the method's overview."""

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """What a person looks at, the most telling picture first."""
        ...


def readers_for(method: str) -> Readers | None:
    """The readers of a method; None for a method that has only an overview.

    Raises:
        ValueError: When a third party's readers cannot be loaded or lack a part.
    """
    # A method of the new contract is its own readers.
    if method in list_methods() and isinstance(found := find_method(method), Method):
        return found
    point = _entry_points().get(method)
    if point is None:
        return None
    readers: Readers = load_point(point)
    missing = [part for part in ("toolset", "evidence") if not callable(getattr(readers, part, None))]
    if missing:
        raise ValueError(f"readers {point.value!r} of method {method} have no {', '.join(missing)}(); add it")
    return readers


def spending_tools(methods: Sequence[str]) -> tuple[str, ...]:
    """Names of the tools of cases of these methods that cost interactions, each once.

    Of a method's readers they are its module's ``SPENDING``; a module without it has free tools only.
    """
    named = [tool for method in methods for tool in _spending(readers_for(method))]
    return tuple(dict.fromkeys([ASK_TOOL, *named]))


def _spending(readers: Readers | None) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(readers, "spending", None) or getattr(readers, "SPENDING", ())
    return found


def reading_tools(case: CaseState) -> list[Tool]:
    """The tools over the artifacts of all methods of the case.

    Raises:
        ValueError: When two methods have a tool of the same name.
    """
    tools: list[Tool] = []
    owner: dict[str, str] = {}
    for method in case.methods:
        readers = readers_for(method)
        own = [] if readers is None else readers.toolset(partial(case_artifact, case, method), labels_of(case))
        for name in (ToolDef(tool).name for tool in own):
            if owner.setdefault(name, method) != method:
                raise ValueError(
                    f"methods {owner[name]} and {method} both have a tool {name}; rename one, or run them apart"
                )
        tools += own
    return tools


def case_artifact(case: CaseState, method: str | None = None) -> Artifact:
    """An artifact of the case.

    Args:
        case: The case.
        method: One of its methods; the only one when not given.

    Raises:
        FileNotFoundError: When it is in neither store.
        CorruptArtifactError: When it is broken.
    """
    method = method or case.method
    key = case.artifact_keys.get(method)
    artifact = ArtifactStore().find(key) if key else None
    if artifact is None:
        raise FileNotFoundError(
            f"artifact {key} of method {method} is in no store; compute it with: "
            f"diffbench diff {case.organism} --method {method}"
        )
    return artifact


def case_evidence(case: CaseState) -> dict[str, Evidence]:
    """Method -> what its artifact says, of the methods of the case; empty for the method without an artifact.

    Raises:
        FileNotFoundError: When an artifact is in neither store.
        CorruptArtifactError: When one is broken.
    """
    readers = {method: readers_for(method) for method in case.methods if method != BLACKBOX}
    return {method: r.evidence(case_artifact(case, method)) for method, r in readers.items() if r is not None}


def case_overview(case: CaseState, method: str | None = None) -> str:
    """What a method of the case shows first; empty for the method without an artifact.

    Args:
        case: The case.
        method: One of its methods; the only one when not given.

    Raises:
        FileNotFoundError: When the artifact is in neither store.
        CorruptArtifactError: When it is broken.
    """
    method = method or case.method
    return "" if method == BLACKBOX else find_method(method).overview(case_artifact(case, method), labels_of(case))


def labels_of(case: CaseState) -> Labels:
    """What the two models are called in the case."""
    return Labels(case.base_label, case.finetuned_label)


@cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return unique_points(ENTRY_POINTS)
