"""The leaderboard for a terminal and as Markdown. Nothing here prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..table import escape_markdown, left_out_table, markdown_table, plain_table
from .ranking import Leaderboard
from .sections import Section, printable, sections

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["leaderboard_markdown", "leaderboard_table", "run_text"]

_WIDTH = 80
_WIDEST_NAME = 24
_WIDEST_HEAD = 11
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
            gap = _gap(section)
            parts += [_terminal(section, columns, gap) for columns in _cuts(section, gap)]
            parts += [Text(section.note, style="dim"), Text()]
    parts += [Text(f"Model: {run_text(made)}", style="dim")] if made.model else []
    parts += [Text(printable(note), style="dim") for note in made.notes]
    parts.append(Text(_MORE if made.summary else _MORE_WITHOUT_MODEL, style="dim"))
    if made.left_out:
        parts.append(left_out_table(made.left_out))
    return Group(*parts)


def leaderboard_markdown(made: Leaderboard) -> str:
    """All tables as Markdown, a heading each."""
    parts = []
    for section in sections(made):
        table = markdown_table(section.header, section.rows, left=section.left)
        parts.append(f"## {section.title}\n\n{table}\n\n{escape_markdown(section.note)}")
    notes = [f"Model: {run_text(made)}"] if made.model else []
    listed = "\n".join(f"- {escape_markdown(printable(note))}" for note in [*notes, *made.notes])
    left_out = [f"- {item.log}, {item.sample or 'whole log'}: {item.reason}" for item in made.left_out]
    parts += [f"## Notes\n\n{listed}"] if listed else []
    parts += ["## Left out\n\n" + "\n".join(escape_markdown(printable(line)) for line in left_out)] if left_out else []
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


def _gap(section: Section) -> int:
    """Spaces between columns: one where two are too many for one table."""
    sizes = [_column_width(section, column) for column in range(len(section.header))]
    return 2 if sum(sizes) + 2 * len(sizes) <= _WIDTH else 1


def _cuts(section: Section, gap: int) -> Iterator[list[int]]:
    """Columns of each part, so that all parts fit: the names, and as many others as have room."""
    names = list(range(section.left))
    sizes = [_column_width(section, column) + gap for column in range(len(section.header))]
    part, used = [*names], sum(sizes[: section.left])
    for column in range(section.left, len(section.header)):
        if used + sizes[column] > _WIDTH and len(part) > len(names):
            yield part
            part, used = [*names], sum(sizes[: section.left])
        part.append(column)
        used += sizes[column]
    yield part


def _column_width(section: Section, column: int) -> int:
    most = max((len(row[column]) for row in section.rows), default=0)
    head = max(map(len, section.header[column].split()), default=0)
    limit = _name_width(section) if column < section.left else _WIDTH
    return max(1, min(max(most, min(head, _WIDEST_HEAD)), limit))


def _name_width(section: Section) -> int:
    return _WIDEST_NAME if section.left < 3 else 18


def _terminal(section: Section, columns: Sequence[int], gap: int) -> Table:
    from rich.text import Text

    table = plain_table(section.title, padding=gap - 1)
    for column in columns:
        name = column < section.left
        table.add_column(
            Text(section.header[column]),
            justify="left" if name else "right",
            overflow="fold",
            width=_column_width(section, column),
        )
    for row in section.rows:
        table.add_row(*(Text(row[column]) for column in columns))
    return table
