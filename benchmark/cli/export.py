"""``diffbench export``: grades in the form that other programs read."""

from __future__ import annotations

from pathlib import Path

import click

from ...results.frame import grades_frame
from ...results.hibayes import export_hibayes
from .options import logs_argument
from .progress import quiet_progress

__all__ = ["export"]


@click.group()
def export() -> None:
    """Write grades for other programs."""


@export.command()
@logs_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; new or empty.")
def hibayes(logs: tuple[str, ...], out: Path) -> None:
    """Grades and configuration for HiBayES, from LOGS (files, folders or submissions)."""
    grades = grades_frame(logs, quiet_progress)
    written = export_hibayes(grades.frame, out)
    click.echo(f"{written.rows} grades written to {written.folder}; factors: {', '.join(written.factors) or 'none'}")
    for reason in written.left_out:
        click.echo(f"left out of the model: {reason}")
    if grades.left_out:
        click.echo(f"{len(grades.left_out)} notes on what was not read: see diffbench leaderboard", err=True)
    click.echo("how to run it: README.md in that folder")
