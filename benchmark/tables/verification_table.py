"""The figures of ``diffbench organisms verify`` as a terminal table and as Markdown in a document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from ...organisms.verify import Rate, Verification
from ...records.errors import MendableError
from ...views.markdown import code, markdown_table
from ...views.terminal import plain_table
from .marked_page import Marks

__all__ = ["MARKS", "terminal_table", "write_markdown"]

MARKS = Marks("verification", "diffbench organisms verify --write")
_HEADERS = ("organism", "base", "finetuned", "quiet", "ppl", "KL", "drift", "verdict")


def terminal_table(done: Sequence[Verification]) -> Table:
    """One row an organism and variant."""
    table = plain_table("Verification (shares in %, with 95 % intervals)")
    for header in _HEADERS:
        is_name = header == "organism"
        table.add_column(header, overflow="fold", no_wrap=not is_name, min_width=16 if is_name else None)
    for v in done:
        verdict = "[green]passed[/green]" if v.passed else "[red]failed[/red]"
        table.add_row(v.organism.name, *_cells(v, _rate_in_two_lines), verdict)
    return table


def write_markdown(done: Sequence[Verification], path: Path) -> None:
    """Put rows into the table between the two verification marks of a Markdown file, sorted by organism.

    Rows of organisms that are not in ``done`` stay; those that are in it are replaced.

    Raises:
        MendableError: When the file lacks the marks, or holds something else than such a table between them.
    """
    made = [(code(v.organism.name), *_cells(v, _rate), "passed" if v.passed else "failed") for v in done]
    table = markdown_table(_HEADERS, made, names=len(_HEADERS)).splitlines()
    old = [line for line in MARKS.inside(path).splitlines() if line.strip()]
    if old and old[:2] != table[:2]:
        raise MendableError(f"{path}: between the marks stands {old[0]!r}, not a verification table; clear it")
    rows = {line.split("|")[1]: line for line in (*old[2:], *table[2:])}
    MARKS.write(path, "\n".join([*table[:2], *(rows[name] for name in sorted(rows))]))


def _cells(v: Verification, rate: Callable[[Rate], str]) -> tuple[str, ...]:
    return (
        rate(v.base),
        rate(v.finetuned),
        "–" if v.quiet is None else rate(v.quiet),
        f"{v.fit.ratio:.2f}",
        f"{v.fit.kl:.2f}",
        f"{v.drift:.3f}",
    )


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.value:.2f} ({low:.2f}–{high:.2f})"


def _rate_in_two_lines(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * rate.value:.0f}\n({100 * low:.0f}–{100 * high:.0f})"
