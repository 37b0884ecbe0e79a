"""``diffbench submit``: logs, or their grades alone, in one checked file to hand on."""

from __future__ import annotations

from pathlib import Path

import click

from ...results.packing import write_submission
from ...results.submission import SubmissionManifest
from .options import logs_argument
from .progress import quiet_progress

__all__ = ["submit"]


@click.command()
@logs_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write, *.zip; must not exist.")
@click.option("--name", required=True, help="Who submits; readers see it.")
@click.option("--contact", help="How readers reach you.")
@click.option("--grades-only", is_flag=True, help="Pack the grades in place of the logs with their transcripts.")
@click.option("--allow-partial", is_flag=True, help="Also take logs of unfinished runs.")
def submit(
    logs: tuple[str, ...], out: Path, name: str, contact: str | None, grades_only: bool, allow_partial: bool
) -> None:
    """Pack LOGS (files or folders) into a submission, which diffbench leaderboard reads like a log."""
    manifest = write_submission(
        logs,
        out,
        name=name,
        contact=contact,
        grades_only=grades_only,
        allow_partial=allow_partial,
        track=quiet_progress,
    )
    for line in _summary(manifest):
        click.echo(line)
    click.echo(f"written: {out}, {out.stat().st_size / 1e6:.1f} MB")


def _summary(manifest: SubmissionManifest) -> list[str]:
    grades = sum(log.grades for log in manifest.logs)
    lines = [
        f"{grades} grades of {len(manifest.logs)} logs; methods: {', '.join(manifest.methods)}; "
        f"artifacts: {len(manifest.artifacts)}"
    ]
    stripped = sorted({field for log in manifest.logs for field in log.stripped})
    if stripped:
        lines.append(f"emptied in the packed logs, because they can hold secrets: {', '.join(stripped)}")
    partial = [log.name for log in manifest.logs if log.status != "success"]
    if partial:
        lines.append(f"unfinished: {', '.join(partial)}")
    return lines
