"""``diffbench power``: how many organisms and repeats would separate two methods."""

from __future__ import annotations

from pathlib import Path

import click

from ...records.progress import ticking
from ...results.frame import grades_frame
from ...results.leaderboard.ranking import contenders
from ...results.model import fit
from ...results.model.planning import MOST_JUDGES, plan
from ...results.model.scenario import SPREADS, Scenario, assumed_scenario, fitted_scenario
from ...results.power_text import power_json, power_table
from .options import cores_option, draws_option, json_option, seed_option
from .output import write_output
from .progress import console, quiet_progress

__all__ = ["power"]


def _numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:  # noqa: ARG001 (click's form)
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of whole numbers such as 4,8,16") from error


def _spreads(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, float]:  # noqa: ARG001
    try:
        return {name.strip(): float(sd) for name, _, sd in (given.partition("=") for given in value)}
    except ValueError as error:
        raise click.BadParameter(f"{value} is not of the form organism=0.7; names: {', '.join(SPREADS)}") from error


@click.command()
@click.argument("logs", nargs=-1)
@click.option("--methods", metavar="A,B", help="The two methods; by default those with the highest grades.")
@click.option("--effect", type=float, help="Their difference; by default what LOGS say of it. Needed without LOGS.")
@click.option(
    "--scale", type=click.Choice(["grade", "logit"]), default="grade", show_default=True, help="Of effect and width."
)
@click.option("--organisms", callback=_numbers, default="4,8,16,32", show_default=True, help="Numbers of organisms.")
@click.option("--repeats", callback=_numbers, default="1,3,5", show_default=True, help="Findings of a method on each.")
@click.option("--judges", default=2, show_default=True, help=f"Grades a finding, 1 to {MOST_JUDGES}.")
@click.option("--power", "wanted", type=click.FloatRange(0, 1, True, True), default=0.8, show_default=True)
@click.option(
    "--spread", "spreads", callback=_spreads, multiple=True, metavar="NAME=SD",
    help="A standard deviation in place of the fit's or the assumed one; may be repeated.",
)  # fmt: skip
@click.option("--simulations", type=click.IntRange(100), default=2000, show_default=True, help="Studies a design.")
@draws_option
@seed_option(help="Of the model and of the simulation.")
@cores_option(help="Chains of the model that run at once.")
@json_option(help="Also write it as JSON.")
def power(
    logs: tuple[str, ...],
    methods: str | None,
    effect: float | None,
    scale: str,
    organisms: tuple[int, ...],
    repeats: tuple[int, ...],
    judges: int,
    wanted: float,
    spreads: dict[str, float],
    simulations: int,
    draws: int,
    seed: int,
    cores: int,
    json_file: Path | None,
) -> None:
    """How many organisms and repeats would separate two methods.

    Effect and spreads come from the model fitted to LOGS (files, folders, submissions); without LOGS the spreads are
    assumed and --effect is needed. docs/statistics.md says how it is computed.
    """
    if logs:
        scenario = _fitted(logs, methods, spreads, simulations, draws, seed, cores)
    elif effect is None or methods is not None:
        raise click.UsageError("without LOGS give --effect, such as --effect 0.5, and no --methods")
    else:
        scenario = assumed_scenario(spreads, simulations, seed)
    if effect is not None:
        scenario = scenario.with_effect(effect, scale)
    studies = plan(scenario, organisms, repeats, judges, seed, quiet_progress)
    console.print(power_table(scenario, studies, wanted, scale))
    if json_file is not None:
        write_output(json_file, power_json(scenario, studies, wanted))
        click.echo(f"plan written to {json_file}", err=True)


def _fitted(
    logs: tuple[str, ...],
    methods: str | None,
    spreads: dict[str, float],
    simulations: int,
    draws: int,
    seed: int,
    cores: int,
) -> Scenario:
    pair = None
    if methods is not None:
        names = [name.strip() for name in methods.split(",")]
        if len(names) != 2:
            raise click.UsageError(f"--methods is {methods!r}; name two, such as --methods adl,kl")
        pair = (names[0], names[1])
    frame, notes = contenders(grades_frame(logs, quiet_progress).frame)
    with ticking(quiet_progress, 1, f"Fitting the model to {len(frame)} grades") as tick:
        found = fit(frame, draws=draws, seed=seed, cores=cores)
        tick()
    warnings = [f"Do not trust this fit: {problem}; try --draws {4 * draws}." for problem in found.problems]
    for note in (*notes, *warnings):
        click.echo(note, err=True)
    return fitted_scenario(found, pair, spreads, simulations, seed)
