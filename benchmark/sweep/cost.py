"""What a plan will cost: tokens of a case, from the folder's logs or else from stated defaults, times prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inspect_ai.model import ModelCost, ModelInfo, get_model_info, set_model_info

from ...agents.kinds import kind_of
from ...organisms.suites import find_organism
from ...records.errors import MendableError
from ...records.names import KEYLESS_GRADER, KEYLESS_INVESTIGATOR, is_keyless
from ..ceiling import price_of
from .file import Sweep
from .logged import ROLES, CaseTokens, Logged, Tokens
from .plan import Job, Plan

__all__ = ["DEFAULT_TOKENS", "Cost", "estimate", "register_prices"]

DEFAULT_TOKENS: CaseTokens = {
    "investigator": Tokens(21_000, 230),
    "targets": Tokens(590, 900),
    "judges": Tokens(1_330, 32),
}
"""Of one case with 10 interactions and one judge asked once, where no log tells.

The policies without a language model on the default organisms of the embedded suite, mean over all methods (28
cases), counted by ``performance/case_tokens.py``. They take five turns and write tersely. A language model takes more
turns, each of which reads all before it again, and writes more.
"""

_FREE = ModelCost(input=0.0, output=0.0, input_cache_write=0.0, input_cache_read=0.0)


@dataclass(frozen=True)
class Cost:
    """The estimate for what is left of one task."""

    tokens: CaseTokens
    """By role, all cases together."""
    measured: int
    """Logged cases whose mean this is; 0 where it is the defaults."""
    dollars: float
    """Of the models whose price is known."""
    unpriced: tuple[str, ...]
    """The other models."""


def register_prices(sweep: Sweep) -> None:
    """Tell Inspect the prices of the file, and that the keyless policies are free.

    Raises:
        MendableError: When there is a cost limit and a model without a price.
    """
    known = {name: ModelCost(**price.model_dump()) for name, price in sweep.prices.items()}
    models = (*sweep.models, *sweep.judges)
    for name, cost in ({KEYLESS_INVESTIGATOR: _FREE, KEYLESS_GRADER: _FREE} | known).items():
        info = get_model_info(name) or ModelInfo()
        set_model_info(name, info.model_copy(update={"cost": cost}))
    unpriced = sorted({name for name in models if price_of(name) is None})
    if sweep.limits.cost_limit is not None and unpriced:
        raise MendableError(
            f"limits.cost_limit needs a price for each model; there is none for {', '.join(unpriced)}: add "
            "input, output, input_cache_write and input_cache_read (US dollars for a million tokens) under prices"
        )


def estimate(plan: Plan) -> list[Cost]:
    """Tokens and dollars of what is left of each task, in the order of the plan's."""
    return [_cost(job, plan) for job in plan.jobs]


def _cost(job: Job, plan: Plan) -> Cost:
    case, measured = _case_tokens(job, plan)
    left = job.cases - job.done
    tokens = {role: case[role] * left for role in ROLES}
    dollars, unpriced = 0.0, []
    for role, model, share in _shares(job, plan.sweep) if left else []:
        price = price_of(model)
        if price is None:
            unpriced.append(model)
        else:
            dollars += share * _dollars(tokens[role], price)
    return Cost(tokens, measured, dollars, tuple(dict.fromkeys(unpriced)))


def _shares(job: Job, sweep: Sweep) -> Iterator[tuple[str, str, float]]:
    """Role, model and the model's share of the role's tokens; targets that run here are free and not among them."""
    yield "investigator", job.model, 1.0
    judges = _paid_judges(sweep)
    yield from (("judges", judge, 1 / len(judges)) for judge in judges)
    for organism in map(find_organism, job.organisms):
        for reference in organism.references.values():
            if reference.api_name is not None:
                yield "targets", reference.api_name, 1 / (2 * len(job.organisms))


def _case_tokens(job: Job, plan: Plan) -> tuple[CaseTokens, int]:
    """Mean of the cases of this method, agent and model, else of this agent and model; else the defaults."""
    alike = [log for log in plan.logs if _same(log, job, "agent", "model") and log.cases]
    close = [log for log in alike if _same(log, job, "methods")] or alike
    cases = [tokens for log in close for tokens in log.cases.values()]
    if cases:
        return {role: _mean([case[role] for case in cases]) for role in ROLES}, len(cases)
    return _default_tokens(job, plan.sweep), 0


def _default_tokens(job: Job, sweep: Sweep) -> CaseTokens:
    kind = kind_of(job.agent)
    return {
        "investigator": DEFAULT_TOKENS["investigator"] * (kind.uses_model and not is_keyless(job.model)),
        "targets": DEFAULT_TOKENS["targets"] * (job.settings["interactions"] / 10 if kind.asks else 0),
        "judges": DEFAULT_TOKENS["judges"] * (len(_paid_judges(sweep)) * job.settings["judge_repeats"]),
    }


def _same(log: Logged, job: Job, *names: str) -> bool:
    return all(log.settings.get(name) == job.settings[name] for name in names)


def _mean(tokens: Sequence[Tokens]) -> Tokens:
    return sum(tokens, Tokens()) * (1 / len(tokens))


def _paid_judges(sweep: Sweep) -> list[str]:
    return [judge for judge in sweep.judges if not is_keyless(judge)]


def _dollars(tokens: Tokens, price: ModelCost) -> float:
    cached = tokens.cache_write * price.input_cache_write + tokens.cache_read * price.input_cache_read
    return (tokens.input * price.input + tokens.output * price.output + cached) / 1e6
