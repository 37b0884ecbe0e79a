"""The leaderboard for a terminal and as Markdown, and unrounded as JSON and CSV. Nothing here prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...records.strict_json import null_for_nan, strict_json
from ...views.markdown import escape_markdown, markdown_table
from ...views.terminal import terminal_tables
from ...views.text import printable_line
from ..table import left_out_table
from .ranking import Leaderboard
from .sections import sections

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["leaderboard_csv", "leaderboard_json", "leaderboard_markdown", "leaderboard_table", "run_text"]

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


def leaderboard_json(leaderboard: Leaderboard) -> str:
    """Everything, unrounded; what cannot be computed is null."""
    rows = [asdict(row) | {"is_baseline": row.is_baseline} for row in leaderboard.rows]
    data = asdict(leaderboard) | {"rows": rows}
    if stability := leaderboard.stability:
        data["stability"] |= {"same_best": stability.same_best, "same_order": stability.same_order}
    return strict_json(data)


def leaderboard_csv(leaderboard: Leaderboard) -> str:
    """One row a method, unrounded; what cannot be computed is empty."""
    rows = [dict(_flat("", asdict(row) | {"baselines": " ".join(row.baselines)})) for row in leaderboard.rows]
    names = dict.fromkeys(name for row in rows for name in row)
    # A gap or consistency that one row lacks is one empty column where another has several.
    kept = [name for name in names if not any(other.startswith(f"{name}_") for other in names)]
    text = io.StringIO()
    writer = csv.DictWriter(text, kept, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: null_for_nan(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _flat(prefix: str, value: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, item in value.items():
        name = f"{prefix}_{key}" if prefix else key
        if isinstance(item, dict):
            yield from _flat(name, item)
        else:
            yield name, item
