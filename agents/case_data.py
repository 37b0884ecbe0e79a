"""What an investigator that is a program is told of a case: the brief as data, and the evidence of the artifacts."""

from __future__ import annotations

from inspect_ai.tool import Tool, tool
from pydantic import Field

from ..methods.evidence.evidence import Evidence
from ..records.frozen import Frozen
from ..tools.case import CaseState
from ..tools.data_blocks import data_block
from .artifacts import case_evidence

__all__ = ["CaseData", "CaseEvidence", "evidence"]


class CaseData(Frozen):
    """What the brief says."""

    labels: tuple[str, str]
    """What the two models are called, in alphabetical order."""
    changed: str | None
    """Which of them was made from the other, by its label; None where that is not told."""
    interactions: int
    """Interactions granted."""
    tool_budgets: dict[str, int] = Field(default_factory=dict)
    """Tool -> interactions that it may spend of those; a tool that is not here may spend them all."""
    methods: dict[str, Evidence] = Field(default_factory=dict)
    """Method -> evidence, in a case without tools to read it with."""

    @classmethod
    def of(cls, case: CaseState, blind: bool, reads_only: bool) -> CaseData:
        """What is told of a case.

        Args:
            case: The case.
            blind: Whether it is told which model was finetuned.
            reads_only: Whether no tools are offered, so that the evidence has its place here.
        """
        first, second = sorted((case.base_label, case.finetuned_label))
        return cls(
            labels=(first, second),
            changed=None if blind else case.finetuned_label,
            interactions=case.interactions,
            tool_budgets=dict(case.tool_budgets),
            methods=case_evidence(case) if reads_only else {},
        )


class CaseEvidence(Frozen):
    """What the artifacts of a case say."""

    methods: dict[str, Evidence]
    """Method -> its evidence."""


# A block of data is read whole or not at all: it must not be cut.
@tool(max_output=0)
def evidence(case: CaseState) -> Tool:
    """Tool that gives the evidence of all methods of a case."""

    async def execute() -> str:
        """Read what the artifacts of all methods of the case say, as data. Free."""
        return f"What the artifacts say, as data:\n{data_block(CaseEvidence(methods=case_evidence(case)))}"

    return execute
