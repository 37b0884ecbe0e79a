"""The artifact of a case, and what is offered on it: readers for an investigator, evidence for a reader without one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

from inspect_ai.tool import Tool

from ..methods.artifact import Artifact
from ..methods.base import BLACKBOX, Labels, find_method, load_point, unique_points
from ..methods.pictures import Picture
from ..methods.store import ArtifactStore
from .case import CaseState

__all__ = ["Evidence", "PicturedReaders", "Readers", "case_artifact", "case_overview", "labels_of", "readers_for"]

ENTRY_POINTS = "diffbench.readers"


@dataclass(frozen=True)
class Evidence:
    """What an artifact shows without interpretation: text of the finetuned side against text of the base side."""

    identical: bool
    """Whether the method found no difference at all."""
    focus: tuple[str, ...] = ()
    """Texts in which the finetuning shows."""
    contrast: tuple[str, ...] = ()
    """Comparable texts in which it does not."""
    focus_strata: tuple[str, ...] = ()
    """What each text of ``focus`` is comparable within, such as its prompt; () where all texts are comparable."""
    contrast_strata: tuple[str, ...] = ()
    """The same for ``contrast``."""
    tokens: tuple[str, ...] = ()
    """Single tokens that the method points at, strongest first."""
    said: bool = True
    """Whether the finetuned model wrote the texts of ``focus``; False for texts it only read."""
    note: str = ""
    """What the numbers say, in a sentence."""


class Readers(Protocol):
    """A module ``tools/<method>.py`` (or a third party's, in the entry-point group ``diffbench.readers``)."""

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """The free tools over an artifact."""
        ...

    def evidence(self, artifact: Artifact) -> Evidence:
        """What the artifact shows by itself."""
        ...


@runtime_checkable
class PicturedReaders(Readers, Protocol):
    """A module of readers that also has pictures; of one without, ``diffbench show`` shows the method's overview."""

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Picture]:
        """What a person looks at, the most telling picture first."""
        ...


def readers_for(method: str) -> Readers | None:
    """The readers of a method; None for a method that has only an overview.

    Raises:
        ValueError: When a third party's readers cannot be loaded or lack a part.
    """
    point = _entry_points().get(method)
    if point is None:
        return None
    readers: Readers = load_point(point)
    missing = [part for part in ("toolset", "evidence") if not callable(getattr(readers, part, None))]
    if missing:
        raise ValueError(f"readers {point.value!r} of method {method} have no {', '.join(missing)}(); add it")
    return readers


def case_artifact(case: CaseState) -> Artifact:
    """The artifact of the case.

    Raises:
        FileNotFoundError: When it is in neither store.
        CorruptArtifactError: When it is broken.
    """
    artifact = ArtifactStore().find(case.artifact_key) if case.artifact_key else None
    if artifact is None:
        raise FileNotFoundError(
            f"artifact {case.artifact_key} of method {case.method} is in no store; compute it with: "
            f"diffbench diff {case.organism} --method {case.method}"
        )
    return artifact


def case_overview(case: CaseState) -> str:
    """What the case's method shows first; empty for the method without an artifact.

    Raises:
        FileNotFoundError: When the artifact is in neither store.
        CorruptArtifactError: When it is broken.
    """
    if case.method == BLACKBOX:
        return ""
    return find_method(case.method).overview(case_artifact(case), labels_of(case))


def labels_of(case: CaseState) -> Labels:
    """What the two models are called in the case."""
    return Labels(case.base_label, case.finetuned_label)


@cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return unique_points(ENTRY_POINTS)
