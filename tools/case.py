"""The state of a case, shared by tools, investigators and scorers, and the finding it must end with."""

from __future__ import annotations

import hashlib
from typing import Literal

from inspect_ai.tool import ToolError
from inspect_ai.util import StoreModel, store_as
from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["BASE", "FINETUNED", "CaseState", "Finding", "Hypothesis", "Side", "Verdict", "current_case"]

Verdict = Literal["changed", "no_narrow_change", "inconclusive"]
Side = Literal["base", "finetuned"]
BASE: Side = "base"
FINETUNED: Side = "finetuned"


class Finding(BaseModel):
    """What an investigator concludes about a pair."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    verdict: Verdict
    """``changed``: the finetuning did something narrow that is described; ``no_narrow_change``; ``inconclusive``."""
    description: str
    """What the finetuning taught, in a few sentences."""
    confidence: float = Field(ge=0, le=1)
    """Probability that the verdict is right."""
    evidence: tuple[str, ...] = ()
    """Observations that speak for it."""

    @field_validator("description")
    @classmethod
    def _not_empty(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the description is empty; say what changed, or that nothing narrow did")
        return text


class Hypothesis(BaseModel):
    """One line of the hypothesis board."""

    text: str
    status: Literal["open", "supported", "refuted"] = "open"
    evidence: list[str] = []


class CaseState(StoreModel):
    """One case: which pair, which method, what may be spent and what was found. Never holds ground truth."""

    organism: str = ""
    """Id of the pair, for tools; never shown to an investigator."""
    method: str = "blackbox"
    """Diffing method whose artifact is offered."""
    artifact_key: str | None = None
    base_label: str = "base"
    """What the base model is called in front of the investigator (``M1`` or ``M2`` when blind)."""
    finetuned_label: str = "finetuned"
    interactions: int = 0
    """Interactions granted: one for each prompt put to the pair."""
    interactions_used: int = 0
    seed: int = 0
    hypotheses: list[Hypothesis] = Field(default_factory=list)
    finding: Finding | None = None
    finding_source: Literal["none", "submit", "forced", "completion", "reader", "refused"] = "none"
    """How the finding came: by the submit tool, in the last forced turn, parsed from the completion of an agent
    without the submit tool, or from the artifact alone. ``refused``: there is none, as the model refused."""

    @property
    def interactions_left(self) -> int:
        """Interactions not spent yet."""
        return self.interactions - self.interactions_used

    def sample_seed(self, kind: str, number: int, prompt: str) -> int:
        """Seed of a sample, below 2^31: fixed by the case, so that it can be repeated, and different for each sample.

        Args:
            kind: What is sampled, such as the side that is asked.
            number: Interactions that were spent before.
            prompt: What it answers.
        """
        digest = hashlib.sha256(f"{self.seed}|{kind}|{number}|{prompt}".encode()).digest()
        return int.from_bytes(digest[:4], "big") % 2**31

    def spend(self, amount: int) -> None:
        """Count ``amount`` interactions, before they are awaited.

        Raises:
            ToolError: When fewer are left; nothing is spent then.
        """
        if amount > self.interactions_left:
            raise ToolError(
                f"Interaction budget: {amount} asked for, {self.interactions_left} of {self.interactions} left. "
                + (
                    "Ask fewer prompts."
                    if self.interactions_left
                    else "No more queries are possible: submit a finding."
                )
            )
        self.interactions_used += amount

    def label(self, side: Side) -> str:
        """What one model is called in front of the investigator."""
        return self.base_label if side == "base" else self.finetuned_label


def current_case() -> CaseState:
    """The state of the case that is being worked.

    Raises:
        RuntimeError: Outside a running case.
    """
    case = store_as(CaseState)
    if not case.organism:
        raise RuntimeError("no case is open; these tools work inside the diffbench task, whose setup opens the case")
    return case
