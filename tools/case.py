"""The state of a case, shared by tools, investigators and scorers."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from typing import Literal

from inspect_ai.solver import TaskState
from inspect_ai.tool import ToolError
from inspect_ai.util import Store, StoreModel, store
from pydantic import BaseModel, Field

from ..records.finding import Finding, FindingSource
from ..records.names import BASE, BLACKBOX, FINETUNED, Side

__all__ = ["CaseState", "Hypothesis", "case_here", "case_of", "current_case"]


class Hypothesis(BaseModel):
    """One line of the hypothesis board."""

    text: str
    status: Literal["open", "supported", "refuted"] = "open"
    evidence: list[str] = []


class CaseState(StoreModel):
    """One case: which pair, which method, what may be spent and what was found. Never holds ground truth."""

    organism: str = ""
    """Id of the pair, for tools; never shown to an investigator."""
    method: str = BLACKBOX
    """Diffing method whose artifact is offered, or several as ``adl+kl``."""
    artifact_key: str | None = None
    """Key of the artifact, or of each of several in the order of the methods, with ``+`` between them."""
    base_label: str = BASE
    """What the base model is called in front of the investigator (``M1`` or ``M2`` when blind)."""
    finetuned_label: str = FINETUNED
    interactions: int = 0
    """Interactions granted: one for each prompt put to the pair."""
    interactions_used: int = 0
    tool_budgets: dict[str, int] = Field(default_factory=dict)
    """Tool -> interactions that it may spend of those granted; a tool that is not here may spend them all."""
    tool_used: dict[str, int] = Field(default_factory=dict)
    """Tool -> interactions that it has spent, of tools with a budget of their own."""
    seed: int = 0
    data_blocks: bool = False
    """Whether the investigator is a program, which is told all it is to know as data too (``tools.data_blocks``)."""
    hypotheses: list[Hypothesis] = Field(default_factory=list)
    finding: Finding | None = None
    finding_source: FindingSource = "none"

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the case, one by one."""
        return tuple(self.method.split("+"))

    @property
    def artifact_keys(self) -> dict[str, str]:
        """Method -> key of its artifact; empty without an artifact."""
        return dict(zip(self.methods, self.artifact_key.split("+"), strict=True)) if self.artifact_key else {}

    @property
    def interactions_left(self) -> int:
        """Interactions not spent yet."""
        return self.interactions - self.interactions_used

    def granted(self, tool: str) -> int:
        """Interactions that a tool may spend in the whole case."""
        return min(self.interactions, self.tool_budgets.get(tool, self.interactions))

    def left_for(self, tool: str) -> int:
        """Interactions that a tool may still spend."""
        return min(self.interactions_left, self.granted(tool) - self.tool_used.get(tool, 0))

    def unspent(self) -> str:
        """What may still be spent, over all and by each tool with a budget of its own, for the investigator."""
        tools = "; ".join(f"{tool}: {self.left_for(tool)} of {self.granted(tool)}" for tool in self.tool_budgets)
        over_all = f"Interactions left: {self.interactions_left} of {self.interactions}"
        return f"{over_all} ({tools})." if tools else f"{over_all}."

    def sample_seed(self, kind: str, number: int, prompt: str) -> int:
        """Seed of a sample, below 2^31: fixed by the case, so that it can be repeated, and different for each sample.

        Args:
            kind: What is sampled, such as the side that is asked.
            number: Interactions that were spent before.
            prompt: What it answers.
        """
        digest = hashlib.sha256(f"{self.seed}|{kind}|{number}|{prompt}".encode()).digest()
        return int.from_bytes(digest[:4], "big") % 2**31

    def spend(self, amount: int, tool: str) -> None:
        """Count ``amount`` interactions of a tool, before they are awaited.

        Raises:
            ToolError: When fewer are left, over all or for the tool; nothing is spent then.
        """
        left = self.left_for(tool)
        if amount > left:
            over_all = left == self.interactions_left
            told = f"{left} of {self.interactions if over_all else self.granted(tool)} left"
            if left:
                remedy = "Ask fewer prompts."
            elif self.interactions_left:
                remedy = f"{tool} cannot be used any more; {self.interactions_left} interactions are left for others."
            else:
                remedy = "No more queries are possible: submit a finding."
            name = "Interaction budget" if over_all else f"Budget of {tool}"
            raise ToolError(f"{name}: {amount} asked for, {told}. {remedy}")
        self.interactions_used += amount
        if tool in self.tool_budgets:
            self.tool_used = {**self.tool_used, tool: self.tool_used.get(tool, 0) + amount}

    def label(self, side: Side) -> str:
        """What one model is called in front of the investigator."""
        return self.base_label if side == BASE else self.finetuned_label


_bound: ContextVar[CaseState] = ContextVar("case")


def current_case() -> CaseState:
    """The state of the case that is being worked.

    Raises:
        RuntimeError: Outside a running case.
    """
    case = case_here()
    if not case.organism:
        raise RuntimeError("no case is open; these tools work inside the diffbench task, whose setup opens the case")
    return case


def case_here() -> CaseState:
    """The case of the sample that is being worked, open or not."""
    return _bound_to(store())


def case_of(state: TaskState) -> CaseState:
    """The case of a sample, open or not."""
    return _bound_to(state.store)


def _bound_to(kept: Store) -> CaseState:
    # Binding a model validates every field of the store; a case is asked for some fifteen times.
    case = _bound.get(None)
    if case is None or case.store is not kept:
        case = CaseState(store=kept)
        _bound.set(case)
    return case
