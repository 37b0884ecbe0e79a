"""What is the same for all cases of a run: budget, framing, blinding, hints and the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, get_args

from ..records.case import Framing
from ..records.errors import MendableError, unknown_name
from ..records.names import NO_HINTS

__all__ = ["FAMILY_HINT", "Conditions", "swept"]

T = TypeVar("T")

FAMILY_HINT = "family"
"""The condition ``hints`` of a case that tells what kind of finetuning it is."""
HINTS = (NO_HINTS, FAMILY_HINT)
"""Hints with a name; any other is told as it stands."""


@dataclass(frozen=True)
class Conditions:
    """What is the same for all cases of a run."""

    interactions: int = 10
    framing: Framing = "neutral"
    blind: bool = False
    seed: int = 0
    hints: str = NO_HINTS
    """``none``, ``family`` (what kind of finetuning it is), or a sentence that is told."""
    tool_budgets: Mapping[str, int] = field(default_factory=dict)
    """Tool -> interactions that it may spend of all; in a case only tools that its methods have."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            MendableError: Naming the value and what is allowed.
        """
        if self.interactions < 0:
            raise MendableError(f"interactions is {self.interactions}; it is 0 or more")
        if self.framing not in get_args(Framing):
            raise unknown_name("framing", self.framing, get_args(Framing))
        if not isinstance(self.hints, str):
            raise MendableError(f"hints is {self.hints!r}; it is one of {', '.join(HINTS)}, or a sentence in quotes")
        if self.hints not in HINTS and " " not in self.hints.strip():
            raise MendableError(f"{unknown_name('hint', self.hints, HINTS)}; or give a sentence")
        for tool, budget in self.tool_budgets.items():
            if not isinstance(budget, int) or not 0 <= budget <= self.interactions:
                raise MendableError(
                    f"the budget of tool {tool} is {budget}; it is 0 to {self.interactions}, the interactions over all"
                )

    def suffix(self) -> str:
        """What differs from the default, for sample ids; empty when nothing does."""
        default = Conditions()
        changed = [f"i{self.interactions}"] if self.interactions != default.interactions else []
        changed += [self.framing] if self.framing != default.framing else []
        changed += ["blind"] if self.blind else []
        if self.hints != default.hints:
            text = hashlib.sha256(self.hints.encode()).hexdigest()[:8]
            changed += [f"hints-{self.hints if self.hints in HINTS else text}"]
        changed += [f"{tool}{budget}" for tool, budget in sorted(self.tool_budgets.items())]
        changed += [f"s{self.seed}"] if self.seed != default.seed else []
        return "".join(f".{part}" for part in changed)


def swept(
    framing: Framing | list[Framing],
    blind: bool | list[bool],
    hints: str | list[str],
    *,
    interactions: int,
    tool_budgets: Mapping[str, int],
    seed: int,
) -> list[Conditions]:
    """Every combination of the conditions of which several may be given; the others are the same in all.

    Raises:
        MendableError: For a wrong value, an empty list, or one that names a value twice.
    """
    framings: list[Framing] = _each(framing)
    return [
        Conditions(interactions, one_framing, one_blind, seed, one_hint, tool_budgets)
        for one_framing in framings
        for one_blind in _each(blind)
        for one_hint in _each(hints)
    ]


def _each(given: T | list[T]) -> list[T]:
    """The values of a condition, each once."""
    values = given if isinstance(given, list) else [given]
    if not values or len({str(value) for value in values}) < len(values):
        raise MendableError(f"conditions: {values} names none, or one more than once; name each once")
    return values
