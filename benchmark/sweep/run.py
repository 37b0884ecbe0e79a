"""Running a plan as one of Inspect's eval sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...records.names import GRADER_ROLE
from ..model_names import model_named
from .plan import Plan

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

__all__ = ["Outcome", "run_plan"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    cases: int
    failed: tuple[str, ...]
    """Cases that ended with an error and tasks that did not finish, each with the reason."""


def run_plan(plan: Plan) -> Outcome:
    """Run what is left of a plan; its artifacts must be there.

    A case that fails is graded as one and makes its task fail, so that the eval set tries it again, this time and
    with the next run of the same file.

    Raises:
        MendableError: For a model of a provider that is not known.
    """
    from inspect_ai import eval_set, task_with

    sweep = plan.sweep
    for name in (*sweep.models, *sweep.judges):
        model_named(name)
    roles = {GRADER_ROLE: list(sweep.judges)}
    _, logs = eval_set(
        [task_with(job.task, model=job.model, model_roles=roles) for job in plan.jobs if job.task is not None],
        log_dir=str(plan.folder),
        retry_attempts=sweep.limits.retry_attempts,
        retry_immediate=sweep.limits.retry_attempts > 0,
        model=None,
        epochs=sweep.epochs,
        fail_on_error=True,
        continue_on_fail=True,
        score_on_error=True,
        token_limit=sweep.limits.token_limit,
        cost_limit=sweep.limits.cost_limit,
        max_tasks=sweep.limits.max_tasks,
        max_samples=sweep.limits.max_samples,
        max_connections=sweep.limits.max_connections,
        **sweep.generate,
    )
    return Outcome(sum(job.cases for job in plan.jobs), tuple(_failures(logs)))


def _failures(logs: Sequence[EvalLog]) -> list[str]:
    from inspect_ai.log import read_eval_log_sample_summaries

    found = []
    for log in logs:
        errors = [sample for sample in read_eval_log_sample_summaries(log.location) if sample.error]
        found += [f"{sample.id}, epoch {sample.epoch}: {_short(sample.error or '')}" for sample in errors]
        if log.status != "success" and not errors:
            reason = _short(log.error.message) if log.error else "no reason given"
            found.append(f"{log.location}: {log.status}: {reason}")
    return found


def _short(error: str) -> str:
    """Providers' errors hold the whole request between what failed and why."""
    return error if len(error) <= 300 else f"{error[:100]} … {error[-200:]}"
