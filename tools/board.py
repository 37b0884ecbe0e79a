"""The hypothesis board: what the investigator thinks possible, and what speaks for it."""

from __future__ import annotations

from typing import Literal

from inspect_ai.tool import Tool, ToolError, tool

from .case import CaseState, Hypothesis, current_case

__all__ = ["propose_hypothesis", "standing", "update_hypothesis"]


@tool
def propose_hypothesis() -> Tool:
    """Tool that adds a hypothesis to the board."""

    async def execute(text: str) -> str:
        """Write a hypothesis about what the finetuning did on your board. Free.

        Args:
            text: The hypothesis, in a sentence.
        """
        if not text.strip():
            raise ToolError("The hypothesis is empty; write it as a sentence.")
        case = current_case()
        case.hypotheses = [*case.hypotheses, Hypothesis(text=text.strip())]
        return _board(case)

    return execute


@tool
def update_hypothesis() -> Tool:
    """Tool that records evidence for a hypothesis."""

    async def execute(number: int, status: Literal["open", "supported", "refuted"], evidence: str) -> str:
        """Record what an observation says about a hypothesis on your board. Free.

        Args:
            number: Number of the hypothesis on the board, from 1.
            status: What the hypothesis is now.
            evidence: The observation.
        """
        case = current_case()
        if not 1 <= number <= len(case.hypotheses):
            raise ToolError(f"There is no hypothesis {number}; the board has {len(case.hypotheses)}.")
        old = case.hypotheses[number - 1]
        new = Hypothesis(text=old.text, status=status, evidence=[*old.evidence, evidence])
        case.hypotheses = [*case.hypotheses[: number - 1], new, *case.hypotheses[number:]]
        return _board(case)

    return execute


def standing(case: CaseState) -> str:
    """What stands below the result of a query: the board, once there is something on it, and what may be spent."""
    return "\n\n".join([_board(case), case.unspent()] if case.hypotheses else [case.unspent()])


def _board(case: CaseState) -> str:
    lines = ["Hypotheses:"]
    for i, hypothesis in enumerate(case.hypotheses, 1):
        lines.append(f"{i}. [{hypothesis.status}] {hypothesis.text}")
        lines += [f"   - {line}" for line in hypothesis.evidence]
    return "\n".join(lines)
