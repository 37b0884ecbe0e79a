"""``diffbench leaderboard``: from logs to a table of methods."""

from __future__ import annotations

from pathlib import Path

import click

from ..results.frame import grades_frame, save_frame
from ..results.leaderboard import leaderboard as rank
from ..results.table import left_out_table, organism_markdown, organism_table, to_json, to_markdown, to_table
from .progress import console

__all__ = ["leaderboard"]


@click.command()
@click.argument("logs", nargs=-1, required=True)
@click.option("--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table", show_default=True)
@click.option("--parquet", type=click.Path(path_type=Path), help="Also write the grades frame, one row a grade.")
@click.option("--resamples", default=2000, show_default=True, help="Bootstrap resamples of the organisms.")
@click.option("--seed", default=0, show_default=True)
def leaderboard(logs: tuple[str, ...], form: str, parquet: Path | None, resamples: int, seed: int) -> None:
    """Mean grade of each method with a bootstrap interval over organisms, from LOGS (files or folders)."""
    grades = grades_frame(logs)
    board = rank(grades.frame, resamples=resamples, seed=seed)
    if form == "table":
        console.print(to_table(board))
        console.print(organism_table(board))
        if grades.left_out:
            console.print(left_out_table(grades.left_out))
    else:
        click.echo(to_json(board) if form == "json" else f"{to_markdown(board)}\n\n{organism_markdown(board)}")
    if parquet is not None:
        click.echo(f"{len(grades.frame)} grades written to {save_frame(grades.frame, parquet)}", err=True)
