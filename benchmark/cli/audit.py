"""``diffbench audit``: did an investigator see what it must not see?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...results.table import left_out_table
from ...views.terminal import plain_table
from ..audit.leaks import skipped_terms
from ..audit.transcripts import Audit, audit_logs
from .options import json_option, logs_argument
from .output import write_output
from .progress import console, quiet_progress

__all__ = ["audit"]


@click.command()
@logs_argument
@json_option(help="Also write all leaks.")
@click.pass_context
def audit(context: click.Context, logs: tuple[str, ...], json_file: Path | None) -> None:
    """Look in the transcripts of LOGS (files, folders, submissions) for what an investigator must not have seen.

    Ground truth, names of organisms and models, paths, tracebacks and server errors; docs/audit.md says what counts
    where. The exit code is 1 when a leak is found.
    """
    found = audit_logs(logs, quiet_progress)
    if found.leaks:
        console.print(_table(found))
    if found.left_out:
        console.print(left_out_table(found.left_out))
    console.print(_summary(found))
    if json_file is not None:
        text = json.dumps(asdict(found) | {"skipped_terms": _skipped(found)}, indent=2, ensure_ascii=False)
        write_output(json_file, text + "\n")
    context.exit(1 if found.leaks else 0)


def _table(found: Audit) -> Table:
    table = plain_table("Leaks")
    for header, ratio in (("log", 2), ("sample", 2), ("where", 2), ("kind", 1), ("excerpt", 4)):
        table.add_column(header, overflow="fold", ratio=ratio)
    for leak in found.leaks:
        epoch = f", epoch {leak.epoch}" if leak.epoch > 1 else ""
        excerpt = Text(leak.excerpt)
        excerpt.highlight_words([leak.found], "bold red")
        name = Text(leak.log.rpartition("/")[2])
        table.add_row(name, Text(leak.sample + epoch), Text(leak.where), Text(leak.kind), excerpt)
    return table


def _summary(found: Audit) -> Group:
    leaks = "1 leak" if len(found.leaks) == 1 else f"{len(found.leaks) or 'no'} leaks"
    lines = [f"{leaks} in {found.texts} texts shown to the investigators of {found.samples} cases"]
    lines += [
        f"{name}: not looked for, because the prompts and tools of every case use these words: {', '.join(terms)}"
        for name, terms in _skipped(found).items()
    ]
    return Group(*map(Text, lines))


def _skipped(found: Audit) -> dict[str, tuple[str, ...]]:
    return {name: terms for name in found.organisms if (terms := skipped_terms(name))}
