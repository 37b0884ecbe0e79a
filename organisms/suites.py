"""Suites: named lists of organisms, each one YAML file under ``specs/<suite>/``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .spec import DEFAULT_VARIANT, ModelReference, OrganismSpec, load_spec

__all__ = ["Organism", "find_organism", "list_suites", "load_suite", "unknown_name"]

SPECS_VARIABLE = "DIFFBENCH_ORGANISMS"
"""Environment variable: further folders (``os.pathsep`` between them) laid out as ``<suite>/<name>.yaml``."""

_SHIPPED = Path(__file__).parent / "specs"


@dataclass(frozen=True)
class Organism:
    """A spec with its suite, one of its variants and the folder its relative paths start from."""

    suite: str
    spec: OrganismSpec
    folder: Path
    variant: str = DEFAULT_VARIANT

    @property
    def name(self) -> str:
        """Name within the suite, ``cake_bake`` or ``cake_bake+mix1-1``."""
        return self.spec.name if self.variant == DEFAULT_VARIANT else f"{self.spec.name}+{self.variant}"

    @property
    def id(self) -> str:
        """``smol.cake_bake`` or ``smol.cake_bake+mix1-1``."""
        return f"{self.suite}.{self.name}"

    @property
    def finetuned(self) -> ModelReference:
        """Reference of the finetuned model of this variant."""
        return self.spec.finetuned[self.variant]

    @property
    def has_weights(self) -> bool:
        """Whether this variant and its base can be loaded."""
        return "api" not in (self.spec.base.kind, self.finetuned.kind)


def list_suites() -> list[str]:
    """Names of all suites, shipped and the user's own."""
    return sorted({folder.name for root in _roots() for folder in root.iterdir() if folder.is_dir()})


def load_suite(suite: str) -> list[Organism]:
    """All organisms of a suite in alphabetical order, default variants only.

    Raises:
        ValueError: For an unknown suite, a broken spec or a name that occurs twice.
    """
    return list(_load_suite(suite, tuple(_roots())))


def find_organism(name: str) -> Organism:
    """The organism called ``<suite>.<name>[+<variant>]``, or ``<name>[+<variant>]`` where one suite has it.

    Raises:
        ValueError: Naming the close ones when there is none, or the suites when there are several.
    """
    plain, _, variant = name.partition("+")
    suite, dot, short = plain.rpartition(".")
    suites = [suite] if dot else list_suites()
    found = [organism for s in suites for organism in load_suite(s) if organism.spec.name == short]
    if not found:
        known = [organism.id if dot else organism.spec.name for s in suites for organism in load_suite(s)]
        raise unknown_name("organism", plain, known)
    if len(found) > 1:
        raise ValueError(f"organism {name!r} is in several suites; say which: {', '.join(o.id for o in found)}")
    organism = found[0]
    if not variant:
        return organism
    if variant not in organism.spec.finetuned:
        raise unknown_name(f"variant of {organism.id}", variant, organism.spec.finetuned)
    return Organism(organism.suite, organism.spec, organism.folder, variant)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known: says what is, closest first."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    return ValueError(f"unknown {kind} {name!r}; {hint}")


def _roots() -> list[Path]:
    extra = [Path(p) for p in os.environ.get(SPECS_VARIABLE, "").split(os.pathsep) if p]
    for root in extra:
        if not root.is_dir():
            raise ValueError(f"{SPECS_VARIABLE} names {root}, which is no folder; create it or unset the variable")
    return [_SHIPPED, *extra]


@cache
def _load_suite(suite: str, roots: Sequence[Path]) -> tuple[Organism, ...]:
    folders = [root / suite for root in roots if (root / suite).is_dir()]
    if not folders or not suite:
        raise unknown_name("suite", suite, list_suites())
    organisms: dict[str, Organism] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            spec = load_spec(path)
            if spec.name in organisms:
                raise ValueError(f"{path}: suite {suite} already has an organism {spec.name!r}; rename one")
            organisms[spec.name] = Organism(suite, spec, folder)
    return tuple(organisms[name] for name in sorted(organisms))
