"""``diffbench methods``: which there are, and what each one sees of each organism."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import click
from rich.table import Table

from ...methods.registry import find_method, registered_methods
from ...records.errors import MendableError
from ...results.frame import grades_frame
from ..tables.methods_table import MARKS, markdown, methods_tables, write_markdown
from .options import logs_argument, page_option
from .progress import console

__all__ = ["methods"]


@click.group()
def methods() -> None:
    """List methods, and show what each one sees."""


@methods.command("list")
def list_command() -> None:
    """All installed methods: what they need, what they compute, and which package registers them."""
    table = Table("method", "needs", "what it computes")
    table.add_column("registered by", overflow="fold")
    broken = []
    for name, point in sorted(registered_methods().items()):
        try:
            method = find_method(name)
        except MendableError as error:
            broken.append(error)
            continue
        table.add_row(name, method.needs, _first_sentence(type(method)), _registration(point))
    console.print(table)
    for reason in broken:
        console.print(f"[red]broken:[/red] {reason}", soft_wrap=True)


@methods.command("table")
@logs_argument
@page_option(help="Put it between the marks of this page.")
def table_command(logs: tuple[str, ...], page: Path | None) -> None:
    """Organisms x methods of LOGS (files or folders): evidence score and the artifact's wall time.

    The evidence score is the mean grade of the findings that the keyless evidence reader makes of the artifact alone.
    """
    if page is not None:
        MARKS.inside(page)  # a page without the marks is refused before the logs are read
    tables = methods_tables(grades_frame(logs).frame)
    if page is None:
        click.echo("\n\n".join(map(markdown, tables)))
        return
    write_markdown(tables, page)
    click.echo(f"table of {', '.join(table.suite for table in tables)} written to {page}", err=True)


def _first_sentence(kind: type) -> str:
    """Of the module that a method's class stands in."""
    paragraph = " ".join((sys.modules[kind.__module__].__doc__ or "").strip().partition("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return sentence + stop.strip()


def _registration(point: importlib.metadata.EntryPoint) -> str:
    package = f"{point.dist.name} {point.dist.version}: " if point.dist is not None else ""
    return package + point.value
