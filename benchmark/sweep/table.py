"""A plan as text: what will run, on what, with which models, and what it will take."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ...records.names import is_keyless
from .cost import Cost
from .file import Sweep
from .logged import ROLES, Tokens
from .plan import Job, Plan

__all__ = ["plan_notes", "plan_table"]

_COLUMNS = ("suite", "method", "agent", "model")


def plan_table(plan: Plan, costs: Sequence[Cost]) -> Table:
    """The tasks, one a row; columns in which all are alike are left out.

    Args:
        plan: The tasks.
        costs: The estimate for each of them.
    """
    table = Table()
    told = [_told(job, plan.sweep) for job in plan.jobs]
    shown = [name for name in told[0] if len({row[name] for row in told}) > 1] or ["method"]
    for name in shown:
        table.add_column(name, overflow="fold")
    for name in ("cases", "done", "missing", "tokens", "US$"):
        table.add_column(name, justify="right", no_wrap=True)
    for job, row, cost in zip(plan.jobs, told, costs, strict=True):
        spent = ("-", "-")
        if job.done < job.cases:
            tokens = sum(tokens.total for tokens in cost.tokens.values())
            spent = (f"{tokens:,.0f}", "?" if cost.unpriced else f"{cost.dollars:,.2f}")
        table.add_row(*(row[name] for name in shown), str(job.cases), str(job.done), str(len(job.missing)), *spent)
    return table


def plan_notes(plan: Plan, costs: Sequence[Cost]) -> list[str]:
    """What goes for all tasks, the sums, and the commands for what is missing."""
    return [*_alike(plan), *_sums(plan, costs), *_missing(plan)]


def _told(job: Job, sweep: Sweep) -> dict[str, str]:
    settings = {**job.settings, "method": job.method}
    return {name: str(settings[name]) for name in (*_COLUMNS, *sweep.conditions)}


def _alike(plan: Plan) -> list[str]:
    sweep = plan.sweep
    told = [_told(job, sweep) for job in plan.jobs]
    alike = {name: value for name, value in told[0].items() if all(row[name] == value for row in told)}
    limits = {name: value for name, value in sweep.limits.model_dump().items() if value is not None}
    options = {**alike, "epochs": sweep.epochs, **sweep.generate, **limits}
    lines = [
        f"all tasks: {', '.join(f'{name} {value}' for name, value in options.items())}",
        f"judges: {', '.join(sweep.judges)}",
    ]
    return lines + [f"left out: {combination}" for combination in plan.left_out]


def _sums(plan: Plan, costs: Sequence[Cost]) -> list[str]:
    cases, done = sum(job.cases for job in plan.jobs), sum(job.done for job in plan.jobs)
    lines = [f"{cases} cases, {done} done, {cases - done} to run"]
    if cases == done:
        return lines
    left = [cost for job, cost in zip(plan.jobs, costs, strict=True) if job.done < job.cases]
    for role in ROLES:
        tokens = sum((cost.tokens[role] for cost in left), Tokens())
        read = tokens.total - tokens.output
        lines.append(f"estimated tokens of the {role}: {read:,.0f} read, {tokens.output:,.0f} written")
    unpriced = sorted({model for cost in left for model in cost.unpriced})
    dollars = sum(cost.dollars for cost in left)
    if not unpriced and not dollars and all(map(is_keyless, (*plan.sweep.models, *plan.sweep.judges))):
        return [*lines, "estimated cost: none; policies without a language model use no tokens, the targets run here"]
    known = f"{dollars:,.2f} US dollars" if dollars or not unpriced else "unknown"
    lines.append(f"estimated cost: {known}")
    if unpriced:
        lines[-1] += f", without {', '.join(unpriced)}: no price is known, put it under prices"
    guessed = sum(not cost.measured for cost in left)
    lines.append(f"tokens of a case: measured in the logs for {len(left) - guessed} tasks, defaults for {guessed}")
    if guessed:
        lines[-1] += "; models take more turns than the defaults have, so run a few cases first"
    limit = plan.sweep.limits.cost_limit
    return lines + ([f"by cost_limit at most about {limit * (cases - done):,.2f} US dollars"] if limit else [])


def _missing(plan: Plan) -> list[str]:
    if not plan.missing:
        return []
    commands = [f"  diffbench diff {organism} --method {method}" for organism, method in plan.missing]
    return [f"{len(plan.missing)} artifacts are missing; compute them with:", *commands]
