"""The finding that a case ends with."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, field_validator

from .frozen import Frozen

__all__ = ["Finding", "FindingSource", "Verdict"]

Verdict: TypeAlias = Literal["changed", "no_narrow_change", "inconclusive"]
"""``changed``: the finetuning did something narrow that is described; ``no_narrow_change``; ``inconclusive``."""

FindingSource: TypeAlias = Literal["none", "submit", "forced", "completion", "reader", "refused"]
"""How a finding came: by the submit tool, in the last forced turn, parsed from the completion of an agent without the
submit tool, or from the artifact alone. ``refused``: the model refused. ``none``: there is none yet."""


class Finding(Frozen):
    """What an investigator concludes about a pair."""

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
