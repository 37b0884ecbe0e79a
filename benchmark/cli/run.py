"""``diffbench run``: a sweep from one file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ...records.names import is_keyless
from ..sweep.cost import estimate, register_prices
from ..sweep.plan import make_plan
from ..sweep.run import run_plan
from ..sweep.table import plan_notes, plan_table
from .progress import console

__all__ = ["run"]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--log-dir", type=click.Path(file_okay=False, path_type=Path), help="Of this sweep alone; default: logs/<FILE>."
)
@click.option("--plan", "only_plan", is_flag=True, help="Print the plan and stop.")
@click.option("--yes", is_flag=True, help="Do not ask before models are paid for.")
def run(file: Path, log_dir: Path | None, only_plan: bool, yes: bool) -> None:
    """Run the sweep in FILE (docs/sweeps.md), or go on with it: cases that the logs hold are not run again.

    Exit code 1 when cases failed; the same command runs those once more.
    """
    plan = make_plan(file, log_dir or Path("logs") / file.stem)
    register_prices(plan.sweep)
    costs = estimate(plan)
    click.echo(f"{file}: {len(plan.jobs)} tasks, logs in {plan.folder}")
    console.print(plan_table(plan, costs))
    click.echo("\n".join(plan_notes(plan, costs)))
    if only_plan:
        return
    if plan.missing:
        raise click.ClickException("artifacts are missing, nothing was run; the commands that compute them stand above")
    paid = not all(map(is_keyless, (*plan.sweep.models, *plan.sweep.judges)))
    if paid and not yes and sys.stdin.isatty() and any(job.done < job.cases for job in plan.jobs):
        click.confirm("Run it?", abort=True)
    outcome = run_plan(plan)
    click.echo(f"leaderboard: diffbench leaderboard {plan.folder}")
    if outcome.failed:
        listed = "".join(f"\n  {failure}" for failure in outcome.failed)
        raise click.ClickException(
            f"{len(outcome.failed)} failures in {outcome.cases} cases; the same command runs them again:{listed}"
        )
