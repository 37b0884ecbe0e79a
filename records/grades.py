"""What a log holds of a case after it was graded: the metadata of its scores."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from .finding import FindingSource, Verdict

__all__ = ["FactMatched", "Grade", "GradeMetadata", "JudgeGrade"]

Grade: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=5)]
"""1 (wrong) to 5 (right in all key facts), under the family's rubric."""


class _Logged(BaseModel):
    """Unknown fields are ignored: a log of a later version still loads."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class JudgeGrade(_Logged):
    """One judge asked once."""

    judge: str
    """Inspect model name."""
    repeat: int = Field(ge=0)
    """Which of the repeats, from 0; also the seed the judge was asked with."""
    grade: Grade | None
    """None when the judge gave no verdict that could be read."""
    reasoning: str = ""
    error: str | None = None
    """Why there is no grade."""


class FactMatched(_Logged):
    """How one key fact was found in a finding, by ``fact_recall``."""

    fact: str
    kind: Literal["exact", "abstract", "none"]
    """The kind of the term that was found."""
    term: str | None = None
    """The first term of the spec that was found."""
    value: float
    """1 for an exact term, 0.5 for an abstract one only, else 0."""


class GradeMetadata(_Logged):
    """Metadata of a score: the finding that was scored, and what the scorer found."""

    grades: tuple[JudgeGrade, ...] | None = None
    """Of ``rubric_grade``: one for each judge and repeat."""
    facts: tuple[FactMatched, ...] | None = None
    """Of ``fact_recall``: one for each key fact."""
    rubric: str = ""
    """Name of the rubric."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """File of a prompt or rubric -> the first 12 digits of its SHA-256."""
    verdict: Verdict | None = None
    """Of the finding; None without one."""
    confidence: float | None = None
    finding_source: FindingSource | str | None = None
    """A string where a later version knows more sources."""

    def as_metadata(self) -> dict[str, Any]:
        """What is put into ``Score.metadata``: fields of other scorers are left out."""
        given = self.model_dump(mode="json")
        return {name: value for name, value in given.items() if value is not None or name not in {"grades", "facts"}}
