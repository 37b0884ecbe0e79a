"""Suites: named lists of organisms, each one YAML file under ``specs/<suite>/``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from ..models.reference import Identity, Origin, Reference
from ..records.errors import MendableError, unknown_name
from ..records.frozen import Frozen
from ..records.names import BASE, DEFAULT_VARIANT, FINETUNED
from .recipe import Recipe
from .spec import OrganismSpec, load_specs

__all__ = [
    "Organism",
    "default_organisms",
    "find_organism",
    "list_suites",
    "load_suite",
    "settings_suite",
    "suite_title",
]

SPECS_VARIABLE = "DIFFBENCH_ORGANISMS"
"""Environment variable: further folders (``os.pathsep`` between them) laid out as ``<suite>/<name>.yaml``."""

SUITE_FILE = "_suite.yaml"
"""Optional file of a suite: its title, and the organisms of a run that names none."""

_SHIPPED = Path(__file__).parent / "specs"


@dataclass(frozen=True)
class Organism:
    """A spec with its suite, one of its variants and the folder its relative paths start from."""

    suite: str
    spec: OrganismSpec
    folder: Path
    variant: str = DEFAULT_VARIANT
    file: Path | None = None
    """The spec file, for messages."""

    @property
    def name(self) -> str:
        """Name within the suite, ``cake_bake`` or ``cake_bake+mix1-1``."""
        return self.spec.name if self.variant == DEFAULT_VARIANT else f"{self.spec.name}+{self.variant}"

    @property
    def id(self) -> str:
        """``smol.cake_bake`` or ``smol.cake_bake+mix1-1``."""
        return f"{self.suite}.{self.name}"

    @property
    def finetuned(self) -> Reference:
        """Reference of the finetuned model of this variant."""
        return self.spec.finetuned[self.variant]

    @property
    def references(self) -> dict[str, Reference]:
        """References of both models, the base first."""
        return {BASE: self.spec.base, FINETUNED: self.finetuned}

    @property
    def origin(self) -> Origin:
        """What the references need to know of their spec."""
        return Origin(self.id, self.folder, self.spec.base)

    @property
    def recipe(self) -> Recipe | None:
        """How this variant was trained here, or None."""
        return self.spec.recipe_of(self.variant)

    @property
    def is_diluted(self) -> bool:
        """Whether narrow data were mixed with unrelated ones in this variant, by the convention of its name."""
        return self.variant.startswith("mix")

    @property
    def variants(self) -> list[Organism]:
        """This organism in each of its variants, the default first."""
        names = sorted(self.spec.finetuned, key=lambda name: name != DEFAULT_VARIANT)
        return [replace(self, variant=name) for name in names]

    @property
    def has_weights(self) -> bool:
        """Whether this variant and its base can be loaded."""
        return all(reference.has_weights for reference in self.references.values())

    def identity(self, side: str) -> Identity:
        """What fixes the weights of ``base`` or ``finetuned``: hashes or revisions, never names of ours.

        Raises:
            MissingError: When local weights are missing.
        """
        return self.references[side].identity(self.origin)

    def require_weights(self) -> None:
        """Check, without loading anything, that local weights are there; hub models are not looked up.

        Raises:
            MissingError: When the base's package, a folder or the adapter is missing; says how to get it.
            MendableError: When the adapter is not the one that was trained.
        """
        for reference in self.references.values():
            reference.require(self.origin)


def list_suites() -> list[str]:
    """Names of all suites, shipped and the user's own."""
    return sorted({folder.name for root in _roots() for folder in root.iterdir() if folder.is_dir()})


def load_suite(suite: str) -> list[Organism]:
    """All organisms of a suite in alphabetical order, default variants only.

    Raises:
        MendableError: For an unknown suite, a broken spec or a name that occurs twice.
    """
    return list(_load_suite(suite, tuple(_roots())))


class SuiteFile(Frozen):
    """What a suite says of itself."""

    title: str = ""
    default: tuple[str, ...] = ()
    """Organisms of a run that names none; all when empty."""
    methods_like: str = ""
    """Suite whose scaled-down settings of the methods apply here too, e.g. ``smol``; the published ones when empty."""


def default_organisms(suite: str) -> list[Organism]:
    """The organisms of a run that names none: those the suite's ``_suite.yaml`` chooses, else all.

    Raises:
        MendableError: For an unknown suite, a broken spec or suite file, or a default that is no organism of the suite.
    """
    organisms = load_suite(suite)
    by_name = {organism.spec.name: organism for organism in organisms}
    chosen = [name for file in _suite_files(suite) for name in file.default]
    for name in chosen:
        if name not in by_name:
            raise unknown_name(f"default organism of suite {suite}", name, by_name)
    return [by_name[name] for name in chosen] or organisms


def settings_suite(suite: str) -> str:
    """The suite whose settings of the methods apply to ``suite``: itself, or the one its suite file names."""
    return next((file.methods_like for file in _suite_files(suite) if file.methods_like), suite)


def suite_title(suite: str) -> str:
    """What the suite's ``_suite.yaml`` calls it; empty without one."""
    return next((file.title for file in _suite_files(suite) if file.title), "")


def _suite_files(suite: str) -> list[SuiteFile]:
    files = []
    for root in _roots():
        path = root / suite / SUITE_FILE
        if path.is_file():
            try:
                files.append(SuiteFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))))
            except (yaml.YAMLError, ValidationError) as error:
                raise MendableError(f"{path}: not a valid suite file: {error}") from error
    return files


def find_organism(name: str) -> Organism:
    """The organism called ``<suite>.<name>[+<variant>]``, or ``<name>[+<variant>]`` where one suite has it.

    Raises:
        MendableError: Naming the close ones when there is none, or the suites when there are several.
    """
    plain, _, variant = name.partition("+")
    suite, dot, short = plain.rpartition(".")
    suites = [suite] if dot else list_suites()
    found = [organism for s in suites for organism in load_suite(s) if organism.spec.name == short]
    if not found:
        known = [organism.id if dot else organism.spec.name for s in suites for organism in load_suite(s)]
        raise unknown_name("organism", plain, known)
    if len(found) > 1:
        raise MendableError(f"organism {name!r} is in several suites; say which: {', '.join(o.id for o in found)}")
    organism = found[0]
    if not variant:
        return organism
    if variant not in organism.spec.finetuned:
        raise unknown_name(f"variant of {organism.id}", variant, organism.spec.finetuned)
    return replace(organism, variant=variant)


def _roots() -> list[Path]:
    extra = [Path(p) for p in os.environ.get(SPECS_VARIABLE, "").split(os.pathsep) if p]
    for root in extra:
        if not root.is_dir():
            raise MendableError(f"{SPECS_VARIABLE} names {root}, which is no folder; create it or unset the variable")
    return [_SHIPPED, *extra]


@cache
def _load_suite(suite: str, roots: Sequence[Path]) -> tuple[Organism, ...]:
    folders = [root / suite for root in roots if (root / suite).is_dir()]
    if not folders or not suite:
        raise unknown_name("suite", suite, list_suites())
    organisms: dict[str, Organism] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            if path.name == SUITE_FILE:
                continue
            for spec in load_specs(path):
                if spec.name in organisms:
                    raise MendableError(f"{path}: suite {suite} already has an organism {spec.name!r}; rename one")
                organisms[spec.name] = Organism(suite, spec, folder, file=path)
    return tuple(organisms[name] for name in sorted(organisms))
