"""Suites: named lists of organisms, each one YAML file under ``specs/<suite>/``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from ..models.references import Frozen, ModelReference
from .recipe import Recipe
from .spec import DEFAULT_VARIANT, OrganismSpec, load_specs

__all__ = [
    "Organism",
    "default_organisms",
    "find_organism",
    "list_suites",
    "load_suite",
    "settings_suite",
    "suite_title",
    "unknown_name",
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
    def finetuned(self) -> ModelReference:
        """Reference of the finetuned model of this variant."""
        return self.spec.finetuned[self.variant]

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
        ValueError: For an unknown suite, a broken spec or suite file, or a default that is no organism of the suite.
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
                raise ValueError(f"{path}: not a valid suite file: {error}") from error
    return files


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
    return replace(organism, variant=variant)


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
            if path.name == SUITE_FILE:
                continue
            for spec in load_specs(path):
                if spec.name in organisms:
                    raise ValueError(f"{path}: suite {suite} already has an organism {spec.name!r}; rename one")
                organisms[spec.name] = Organism(suite, spec, folder, file=path)
    return tuple(organisms[name] for name in sorted(organisms))
