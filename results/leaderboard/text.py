"""The leaderboard for a terminal and as Markdown. Nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...views.markdown import escape_markdown, markdown_table
from ...views.terminal import terminal_tables
from ...views.text import printable_line
from ..table import left_out_table
from .ranking import Leaderboard
from .sections import sections

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["leaderboard_markdown", "leaderboard_table", "run_text"]

_MORE = (
    "The page (--html FILE) and --format markdown also show the grades given, agreement by pairs of judges, variance "
    "shares and means by agent and model; --simple the means alone."
)
_MORE_WITHOUT_MODEL = (
    "The page (--html FILE) and --format markdown also show the grades given and agreement by pairs of judges."
)


def leaderboard_table(made: Leaderboard) -> Group:
    """All tables for a terminal of 80 columns; a wide one is cut into several."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Table | Text] = []
    for section in sections(made):
        if not section.detail:
            parts += terminal_tables(section.table)
            parts += [Text(printable_line(section.table.note), style="dim"), Text()]
    parts += [Text(f"Model: {run_text(made)}", style="dim")] if made.model else []
    parts += [Text(printable_line(note), style="dim") for note in made.notes]
    parts.append(Text(_MORE if made.summary else _MORE_WITHOUT_MODEL, style="dim"))
    if made.left_out:
        parts.append(left_out_table(made.left_out))
    return Group(*parts)


def leaderboard_markdown(made: Leaderboard) -> str:
    """All tables as Markdown, a heading each."""
    parts = []
    for section in sections(made):
        table = section.table
        cells = markdown_table(table.header, table.rows, table.names)
        parts.append(f"## {table.title}\n\n{cells}\n\n{escape_markdown(table.note)}")
    notes = [f"Model: {run_text(made)}"] if made.model else []
    listed = "\n".join(f"- {escape_markdown(note)}" for note in [*notes, *made.notes])
    left_out = [f"{item.log}, {item.sample or 'whole log'}: {item.reason}" for item in made.left_out]
    parts += [f"## Notes\n\n{listed}"] if listed else []
    parts += ["## Left out\n\n" + "\n".join(map(escape_markdown, left_out))] if left_out else []
    return "\n\n".join(parts)


def run_text(made: Leaderboard) -> str:
    """The fit and its diagnostics in a sentence."""
    run = made.model
    if run is None:
        return "none"
    return (
        f"{run.name}; {run.grades} grades of {run.runs} findings in {run.cells} cells; {run.draws} draws, "
        f"seed {run.seed}, {run.seconds:.0f} s; R-hat {run.r_hat:.3f}, effective sample size {run.ess_bulk:.0f} (tail "
        f"{run.ess_tail:.0f}), {run.divergences} divergences."
    )
