"""``diffbench leaderboard``: from logs to a table of methods."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from ...records.progress import Countable
from ...results.frame import grades_frame
from ...results.hibayes import hibayes_command
from ...results.leaderboard.engines import ENGINES
from ...results.leaderboard.page import leaderboard_page
from ...results.leaderboard.ranking import Leaderboard
from ...results.leaderboard.ranking import leaderboard as rank
from ...results.leaderboard.text import leaderboard_csv, leaderboard_json, leaderboard_markdown, leaderboard_table
from ...results.schema import save_frame
from ...views.html import page_html
from .options import cores_option, draws_option, html_option, logs_argument, resamples_option, seed_option
from .output import OutputFile, write_output
from .progress import console, quiet_progress

__all__ = ["leaderboard"]

T = TypeVar("T")

_FORMATS = ["terminal", "markdown", "json", "csv", "html"]


@click.command()
@logs_argument
@click.option(
    "--format", "form", type=click.Choice([*_FORMATS, "table"]), default="terminal", show_default=True,
    help="table is terminal.",
)  # fmt: skip
@click.option("--out", type=OutputFile(), help="Write to this file instead of standard output.")
@html_option(help="Also write the page of HTML.")
@click.option("--parquet", type=OutputFile(), help="Also write the grades frame, one row a grade.")
@click.option("--simple", is_flag=True, help="Without the model: means with bootstrap intervals, nothing ranked.")
@click.option(
    "--engine", type=click.Choice(list(ENGINES)), default="diffbench", show_default=True,
    help="What fits the grades: our hierarchical model, or HiBayES its flat one, whose intervals are too narrow.",
)  # fmt: skip
@draws_option
@seed_option(help="Of the model and of the bootstrap.")
@resamples_option(help="Bootstrap resamples of the organisms.")
@click.option(
    "--loo/--no-loo", default=None, help="Fit again without each organism; by default where it takes minutes at most."
)
@cores_option(help="Chains of the model that run at once; HiBayES' four do.")
def leaderboard(
    logs: tuple[str, ...],
    form: str,
    out: Path | None,
    html: Path | None,
    parquet: Path | None,
    simple: bool,
    engine: str,
    draws: int,
    seed: int,
    resamples: int,
    loo: bool | None,
    cores: int,
) -> None:
    """Rank methods by expected grade, from LOGS (files, folders, submissions; URLs such as s3://bucket/logs too).

    The grades are fitted with a hierarchical ordinal model (pip install 'diffbench[results]'); without it, or with
    --simple, they are averaged over organisms. docs/leaderboard.md says what each column is.
    """
    if engine == "hibayes":
        if simple:
            raise click.UsageError("--simple fits no model: leave out --engine hibayes, or --simple")
        hibayes_command()
    grades = grades_frame(logs, quiet_progress)
    if parquet is not None:
        click.echo(f"{len(grades.frame)} grades written to {save_frame(grades.frame, parquet)}", err=True)
    made = rank(
        grades.frame, draws, seed, resamples=resamples, model=not simple, loo=loo,
        left_out=grades.left_out, track=_announced, cores=cores, engine=engine,
    )  # fmt: skip
    if html is not None:
        write_output(html, page_html(leaderboard_page(made)))
    _write(_text(made, form), out)
    if html is not None:
        click.echo(f"page written to {html}", err=True)


def _text(made: Leaderboard, form: str) -> str:
    """The leaderboard in a format."""
    makers: dict[str, Callable[[Leaderboard], str]] = {
        "markdown": leaderboard_markdown,
        "json": leaderboard_json,
        "csv": leaderboard_csv,
        "html": lambda made: page_html(leaderboard_page(made)),
    }
    if form in makers:
        return makers[form](made)
    with console.capture() as captured:
        console.print(leaderboard_table(made))
    return captured.get()


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    write_output(out, click.unstyle(text))
    click.echo(f"leaderboard written to {out}", err=True)


def _announced(items: Countable[T], label: str) -> Iterator[T]:
    """A bar where standard error is a terminal, a line elsewhere; and in any case how long it took."""
    started = time.monotonic()
    if not sys.stderr.isatty():
        click.echo(f"{label} ...", err=True)
    yield from quiet_progress(items, label)
    click.echo(f"{label}: {time.monotonic() - started:.1f} s", err=True)
