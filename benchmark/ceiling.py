"""What a run may spend: a run that reached its ceiling starts no more cases, and says which ones are missing."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar

from inspect_ai.dataset import Sample
from inspect_ai.hooks import Hooks, ModelUsageData, SampleEnd, hooks
from inspect_ai.log import EvalSpec
from inspect_ai.model import ModelCost, ModelUsage, get_model_info
from inspect_ai.scorer import SampleScore
from inspect_ai.util import EarlyStop
from pydantic import JsonValue

from ..records.errors import MendableError
from ..records.names import KEYLESS_PREFIX

__all__ = ["CaseUsage", "RunCeiling", "RunCeilingReached", "price_of"]

_FREE = ("none/", KEYLESS_PREFIX, "organism/")
"""Providers that cost nothing."""


class RunCeilingReached(RuntimeError):  # noqa: N818 - it reads as what happened
    """Cases of a run were not started: it had spent what it may."""


class RunCeiling:
    """Inspect's early stopping by what a run has spent: all models of its cases together, graders and targets too.

    Cases that are being worked are finished, so a run ends above its ceiling by what they still spend. It then ends
    with the status ``error``: the cases that it has are in its log, and ``inspect eval-retry`` works the others, with
    the same ceiling again.
    """

    def __init__(
        self,
        tokens: int | None = None,
        cost: float | None = None,
        case_cost: float | None = None,
        judges: Sequence[str] = (),
    ) -> None:
        """Set the ceilings.

        Args:
            tokens: Tokens of the run; None for no ceiling.
            cost: US dollars of the run.
            case_cost: US dollars of a case, which the investigator holds; here only prices are asked for.
            judges: Models that grade besides those bound to roles.

        Raises:
            MendableError: For a ceiling that nothing could be spent below.
        """
        for name, value in {"run_tokens": tokens, "run_cost": cost, "cost": case_cost}.items():
            if value is not None and value <= 0:
                raise MendableError(f"{name} is {value}; it is above 0, or left out for no ceiling")
        self._tokens = tokens
        self._cost = cost
        self._priced = cost is not None or case_cost is not None
        self._judges = judges
        self._cases: list[CaseUsage] = []
        self._stopped: list[str] = []

    async def start_task(self, task: EvalSpec, samples: list[Sample], epochs: int) -> str:
        """Refuse a ceiling in dollars where a price is not known.

        Raises:
            MendableError: Naming the models.
        """
        bound = (task.model_roles or {}).values()
        roles = [role.model for given in bound for role in (given if isinstance(given, list) else [given])]
        models = dict.fromkeys([task.model, *roles, *self._judges])
        unknown = [name for name in models if not name.startswith(_FREE) and price_of(name) is None]
        if self._priced and unknown:
            raise MendableError(
                f"a ceiling in dollars needs the prices of all models; not known: {', '.join(unknown)}; give them with "
                "--model-cost-config prices.yaml"
            )
        # Not when this module is imported: Inspect would announce a hook in every run.
        hooks(name="case_usage", description="Counts what each case of a run with a ceiling spends.")(_Counting)
        self._stopped.clear()
        return "run ceiling"

    async def schedule_sample(self, id: str | int, epoch: int) -> EarlyStop | None:
        """Let a case start, or not."""
        reached = self._reached()
        if reached is None:
            case = CaseUsage()
            self._cases.append(case)
            _CASE.set(case)
            return None
        self._stopped.append(str(id))
        return EarlyStop(id=id, epoch=epoch, reason=reached)

    async def complete_sample(self, id: str | int, epoch: int, scores: dict[str, SampleScore]) -> None:
        """Nothing: usage is counted by `CaseUsage`."""

    async def complete_task(self) -> dict[str, JsonValue]:
        """End a run that left cases out as an unfinished one.

        Raises:
            RunCeilingReached: Saying what was spent and how many cases are missing.
        """
        if self._stopped:
            first = ", ".join(self._stopped[:3]) + (", ..." if len(self._stopped) > 3 else "")
            raise RunCeilingReached(
                f"{self._reached()}: {len(self._stopped)} cases were not started ({first}); "
                "to work them: inspect eval-retry"
            )
        return {}

    def _reached(self) -> str | None:
        tokens = sum(case.usage.total_tokens for case in self._cases)
        cost = sum(case.usage.total_cost or 0.0 for case in self._cases)
        if self._tokens is not None and tokens >= self._tokens:
            return f"run ceiling of {self._tokens:,} tokens reached ({tokens:,} spent)"
        if self._cost is not None and cost >= self._cost:
            return f"run ceiling of ${self._cost:,.2f} reached (${cost:,.2f} spent)"
        return None


class CaseUsage:
    """Tokens and dollars of one case, while it is worked and after."""

    def __init__(self) -> None:
        self.usage = ModelUsage()


_CASE: ContextVar[CaseUsage | None] = ContextVar("diffbench_case_usage", default=None)


class _Counting(Hooks):
    def enabled(self) -> bool:
        return _CASE.get() is not None

    async def on_model_usage(self, data: ModelUsageData) -> None:
        case = _CASE.get()
        if case is not None:
            case.usage += data.usage

    async def on_sample_end(self, data: SampleEnd) -> None:
        # A generation that crosses a limit of the case is not announced, but it stands in the sample.
        case = _CASE.get()
        if case is not None:
            case.usage = sum(data.sample.model_usage.values(), ModelUsage())


def price_of(model: str) -> ModelCost | None:
    """What a model costs, where Inspect knows it or was told."""
    info = get_model_info(model)
    return info.cost if info else None
