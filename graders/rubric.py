"""Rubrics: what the grades 1 to 5 mean for a family of organisms, one Markdown file with front matter each."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..organisms.spec import Family, OrganismSpec
from ..organisms.suites import Organism
from ..records.errors import unknown_name

__all__ = ["Rubric", "check_rubric", "list_rubrics", "load_rubric", "read_rubric", "rubric_of"]

GRADES = (1, 2, 3, 4, 5)

_RUBRICS = Path(__file__).parent / "rubrics"
_FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)
_GRADE_HEADING = re.compile(r"^### Grade (\d+)$", re.MULTILINE)


class Rubric(BaseModel):
    """How findings about organisms of some families are graded."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Equals the file's name without ``.md``."""
    title: str = Field(min_length=3)
    """One line for judges and tables."""
    families: tuple[Family, ...] = Field(min_length=1)
    """Families whose organisms may be graded by it."""
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
    """Names of the shipped rubrics."""
    return sorted(path.stem for path in _RUBRICS.glob("*.md"))


@cache
def load_rubric(name: str) -> Rubric:
    """The shipped rubric called ``name``.

    Raises:
        ValueError: For an unknown name (says the close ones) or a broken file (says what is wrong in it).
    """
    known = list_rubrics()
    if name not in known:
        raise unknown_name("rubric", name, known)
    return read_rubric(_RUBRICS / f"{name}.md")


def rubric_of(spec: OrganismSpec) -> Rubric:
    """The rubric that findings about an organism are graded by.

    Raises:
        ValueError: If the spec names an unknown rubric or one for other families.
    """
    rubric = load_rubric(spec.rubric)
    if spec.family not in rubric.families:
        raise ValueError(
            f"organism {spec.name!r}: rubric {rubric.name!r} is for {', '.join(rubric.families)}, not for family "
            f"{spec.family!r}; name a rubric for this family in the spec, or add the family to the rubric"
        )
    return rubric


def check_rubric(organism: Organism) -> None:
    """Check that the rubric an organism names is there and fits its family.

    Raises:
        ValueError: Naming the spec's file, the field and what to do.
    """
    try:
        rubric_of(organism.spec)
    except ValueError as error:
        raise ValueError(f"{organism.file or organism.id}: rubric: {error}") from error


def read_rubric(path: Path) -> Rubric:
    """Read and check one rubric file.

    Raises:
        ValueError: Naming file, field, what is wrong and what to do.
    """
    parts = _FRONT_MATTER.fullmatch(path.read_text(encoding="utf-8"))
    if parts is None:
        raise ValueError(f"{path}: a rubric starts with YAML front matter between two lines '---'")
    try:
        fields = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: front matter is not YAML: {error}") from error
    if not isinstance(fields, dict) or "text" in fields:
        raise ValueError(f"{path}: front matter is a mapping with name, title and families; the text stands below it")
    try:
        rubric = Rubric.model_validate({**fields, "text": parts[2].strip()})
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ValueError(f"{path}: not a valid rubric\n" + "\n".join(lines)) from error
    if rubric.name != path.stem:
        raise ValueError(f"{path}: name is {rubric.name!r}; it must equal the file's name {path.stem!r}")
    return rubric
