"""``diffbench judges``: how good a judge is on findings of known grade, and how far judges agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import anyio
import click
from inspect_ai.model import Model

from ...graders.calibration_answers import AnswerFile
from ...graders.calibration_set import Answer, Calibration, grade_entries, list_calibrations, load_calibration
from ...records.names import KEYLESS_GRADER
from ...records.strict_json import strict_json
from ...results.agreement import agreement as agreement_of
from ...results.frame import grades_frame
from ...results.table import left_out_table
from ..model_names import model_named
from ..tables.judge_summary import CalibrationSummary, marks, summarise, to_json, write_page
from ..tables.judge_tables import agreement_tables, calibration_tables
from .options import json_option, logs_argument, page_option, resamples_option, seed_option
from .output import write_output
from .progress import console, progress

__all__ = ["judges"]


@click.group()
def judges() -> None:
    """Test a judge on findings of known grade; measure how far the judges of finished runs agree."""


@judges.command()
@click.option("--model", default=KEYLESS_GRADER, show_default=True, help="Any Inspect model.")
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Times each entry is asked.")
@click.option("--family", "families", multiple=True, help="One family's entries only; may be repeated.")
@click.option("--misses", type=click.IntRange(min=0), default=10, show_default=True, help="Worst misses to show.")
@click.option("--require-kappa", type=click.FloatRange(-1, 1), help="Fail when the kappa of all entries is lower.")
@json_option(help="Also write the figures and every answer.")
@page_option(help="Also write the figures into a Markdown page.")
def calibrate(
    model: str,
    repeats: int,
    families: tuple[str, ...],
    misses: int,
    require_kappa: float | None,
    json_file: Path | None,
    page: Path | None,
) -> None:
    """Score a judge on the calibration set, through the prompt and the parsing of the rubric scorer.

    Answers are kept as they come: when a run was stopped, the same command goes on where it ended.
    """
    chosen = [load_calibration(name) for name in dict.fromkeys(families or list_calibrations())]
    judge = model_named(model)
    if page is not None:
        marks(str(judge)).inside(page)  # refused before anything is asked
    kept = AnswerFile(str(judge))
    answers = _ask(judge, chosen, repeats, kept)
    summary = summarise(answers, repeats, tuple(dict.fromkeys(families)))
    console.print(calibration_tables(summary, misses))
    if json_file is not None:
        write_output(json_file, to_json(summary, answers) + "\n")
    if page is not None:
        write_page(summary, page, misses)
    kept.finish()
    if require_kappa is not None:
        _require(summary, require_kappa)


@judges.command()
@logs_argument
@resamples_option(help="Bootstrap resamples of the drift's interval.")
@seed_option()
@json_option(help="Also write all numbers.")
def agreement(logs: tuple[str, ...], resamples: int, seed: int, json_file: Path | None) -> None:
    """Agreement, severity, repeats and drift of the judges in LOGS (files or folders)."""
    grades = grades_frame(logs)
    found = agreement_of(grades.frame, resamples=resamples, seed=seed)
    console.print(agreement_tables(found))
    if grades.left_out:
        console.print(left_out_table(grades.left_out))
    if json_file is not None:
        write_output(json_file, strict_json(asdict(found)) + "\n")


def _ask(judge: Model, chosen: Sequence[Calibration], repeats: int, kept: AnswerFile) -> list[Answer]:
    if kept.taken:
        note = f"{kept.taken} answers of a run that was stopped are in {kept.path} and are not asked for again"
        click.echo(f"{note}; delete the file to ask anew", err=True)
    asked = repeats * sum(len(calibration.entries) for calibration in chosen)
    # The bar moves on with each answer, whichever entry it is about.
    bar = progress(range(asked), f"asking {judge}")
    next(bar)
    try:
        return anyio.run(grade_entries, judge, chosen, repeats, lambda: next(bar, None), kept)
    except BaseException as error:
        click.echo(f"stopped; {kept.kept} answers are in {kept.path}: the same command goes on from there", err=True)
        if status := getattr(error, "status_code", None):  # Inspect's errors of a provider and those of its client
            said = " ".join(str(getattr(error, "provider_message", None) or error).split())
            raise click.ClickException(f"{judge} answered with HTTP {status}: {said}") from error
        raise


def _require(summary: CalibrationSummary, least: float) -> None:
    kappa = summary.overall.kappa
    if math.isnan(kappa) or kappa < least:
        raise click.ClickException(
            f"kappa of {summary.judge} is {kappa:.2f}, --require-kappa asks for {least:g}; use another judge, or read "
            "its misses above"
        )
