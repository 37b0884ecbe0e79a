"""A row of the grades frame as it is read, with what tells attempts at one case apart; and what is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

__all__ = ["CaseRow", "Grade", "GradeRow", "LeftOut"]


class CaseRow(TypedDict):
    """The columns that all grades of a finding share."""

    log: str
    sample: str
    epoch: int
    suite: str
    organism: str
    """Name without suite and variant: variants of one organism share its ground truth and are one cluster."""
    family: str
    variant: str
    method: str
    agent: str
    agent_model: str
    interactions: int
    framing: str
    blind: bool
    hints: str
    fact_recall: float | None
    verdict: str | None
    confidence: float | None
    interactions_used: int | None
    tokens: int
    cost: float | None
    """US dollars."""
    seconds: float | None
    error: str | None


class GradeRow(CaseRow):
    """A row of the grades frame."""

    judge: str
    judge_repeat: int
    grade: int


@dataclass(frozen=True)
class Grade:
    """One row with what tells duplicates: the case within its run, and the attempt at it."""

    row: GradeRow
    task_id: str
    """Of the run: a retry keeps it, alone or in an eval set, and so does a re-scored copy."""
    attempt: str | None

    @property
    def case(self) -> tuple[object, ...]:
        """What attempts at one case share."""
        row = self.row
        return (self.task_id, row["sample"], row["epoch"], row["agent"], row["agent_model"])

    @property
    def key(self) -> tuple[object, ...]:
        """What no two rows of a frame share."""
        return (*self.case, self.row["judge"], self.row["judge_repeat"])


@dataclass(frozen=True)
class LeftOut:
    """Something that was read and is not, or not wholly, in the frame."""

    log: str
    sample: str | None
    """None when it concerns the whole log."""
    reason: str
