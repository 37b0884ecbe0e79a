"""Rubrics: what the grades 1 to 5 mean for a family of organisms, one Markdown file with front matter each."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, field_validator

from ..organisms.spec import Family, OrganismSpec
from ..organisms.suites import Organism
from ..records.errors import MendableError, unknown_name
from ..records.frozen import Frozen

__all__ = ["Rubric", "check_rubric", "list_rubrics", "load_rubric", "read_rubric", "rubric_hints", "rubric_of"]

GRADES = (1, 2, 3, 4, 5)

RUBRICS_VARIABLE = "DIFFBENCH_RUBRICS"
"""Environment variable: further folders (``os.pathsep`` between them) of files ``<rubric>.md``."""

_SHIPPED = Path(__file__).parent / "rubrics"
_FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)
_GRADE_HEADING = re.compile(r"^### Grade (\d+)$", re.MULTILINE)


class Rubric(Frozen):
    """How findings about organisms of some families are graded."""

    name: str
    """Equals the file's name without ``.md``."""
    title: str = Field(min_length=3)
    """One line for judges and tables."""
    families: tuple[Family, ...] = Field(min_length=1)
    """Families whose organisms may be graded by it."""
    hint: str = ""
    """What an investigator is told of these families by the hint ``family``; without it they cannot be hinted at."""
    text: str
    """Markdown with one ``### Grade N`` section for each grade 1 to 5."""

    @field_validator("text")
    @classmethod
    def _every_grade_once(cls, text: str) -> str:
        found = [int(grade) for grade in _GRADE_HEADING.findall(text)]
        if found != list(GRADES):
            raise ValueError(f"the body needs the headings '### Grade 1' to '### Grade 5' in this order, not {found}")
        return text


def list_rubrics() -> list[str]:
    """Names of all rubrics, shipped and the user's own.

    Raises:
        MendableError: For a folder of the user's that is not there, or a name that occurs twice.
    """
    return sorted(_files())


def load_rubric(name: str) -> Rubric:
    """The rubric called ``name``.

    Raises:
        MendableError: For an unknown name (says the close ones) or a broken file (says what is wrong in it).
    """
    files = _files()
    if name not in files:
        raise unknown_name("rubric", name, files)
    return read_rubric(files[name])


def rubric_of(spec: OrganismSpec) -> Rubric:
    """The rubric that findings about an organism are graded by.

    Raises:
        MendableError: If the spec names an unknown rubric or one for other families.
    """
    rubric = load_rubric(spec.rubric)
    if spec.family not in rubric.families:
        raise MendableError(
            f"organism {spec.name!r}: rubric {rubric.name!r} is for {', '.join(rubric.families)}, not for family "
            f"{spec.family!r}; name a rubric for this family in the spec, or add the family to the rubric"
        )
    return rubric


def check_rubric(organism: Organism) -> None:
    """Check that the rubric an organism names is there and fits its family.

    Raises:
        MendableError: Naming the spec's file, the field and what to do.
    """
    try:
        rubric_of(organism.spec)
    except MendableError as error:
        raise MendableError(f"{organism.file or organism.id}: rubric: {error}") from error


def rubric_hints() -> dict[str, str]:
    """Family -> what the hint ``family`` tells of it, of the rubrics that say so."""
    rubrics = [rubric for rubric in map(read_rubric, _files().values()) if rubric.hint]
    return {family: rubric.hint for rubric in rubrics for family in rubric.families}


@cache
def read_rubric(path: Path) -> Rubric:
    """Read and check one rubric file.

    Raises:
        MendableError: Naming file, field, what is wrong and what to do.
    """
    parts = _FRONT_MATTER.fullmatch(path.read_text(encoding="utf-8"))
    if parts is None:
        raise MendableError(f"{path}: a rubric starts with YAML front matter between two lines '---'")
    try:
        fields = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise MendableError(f"{path}: front matter is not YAML: {error}") from error
    if not isinstance(fields, dict) or "text" in fields:
        raise MendableError(
            f"{path}: front matter is a mapping with name, title and families; the text stands below it"
        )
    try:
        rubric = Rubric.model_validate({**fields, "text": parts[2].strip()})
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise MendableError(f"{path}: not a valid rubric\n" + "\n".join(lines)) from error
    if rubric.name != path.stem:
        raise MendableError(f"{path}: name is {rubric.name!r}; it must equal the file's name {path.stem!r}")
    return rubric


def _files() -> dict[str, Path]:
    """Name -> file of every rubric."""
    own = [Path(folder) for folder in os.environ.get(RUBRICS_VARIABLE, "").split(os.pathsep) if folder]
    files: dict[str, Path] = {}
    for folder in [_SHIPPED, *own]:
        if not folder.is_dir():
            raise MendableError(
                f"{RUBRICS_VARIABLE} names {folder}, which is no folder; create it or unset the variable"
            )
        for path in sorted(folder.glob("*.md")):
            if path.stem in files:
                raise MendableError(f"{path}: there is already a rubric {path.stem!r} ({files[path.stem]}); rename one")
            files[path.stem] = path
    return files
