"""Tables and texts as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .text import printable

__all__ = ["Markdown", "bold", "code", "escape_markdown", "markdown_table"]


class Markdown(str):
    """Text that is Markdown already: the writers below leave it as it is."""

    __slots__ = ()


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> str:
    """A table.

    Args:
        header: Names of the columns.
        rows: Their cells; all but those of the class ``Markdown`` are escaped.
        names: How many of the first columns are aligned to the left; the others hold numbers.
    """
    rule = [Markdown("---" if column < names else "---:") for column in range(len(header))]
    return "\n".join(f"| {' | '.join(map(escape_markdown, line))} |" for line in (header, rule, *rows))


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line: names come from logs."""
    if isinstance(text, Markdown):
        return text
    return re.sub(r"([\\|*`\[])", r"\\\1", printable(text)).replace("<", "&lt;").replace("\n", " ")


def code(text: str) -> Markdown:
    """A name in monospaced type."""
    return Markdown(f"`{text}`")


def bold(text: str) -> Markdown:
    """Words in bold type."""
    return Markdown(f"**{escape_markdown(text)}**")
