"""What holds other panels: groups and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .charts import Bars, Dots, Intervals, Lines, Stacks
from .tables import Table
from .texts import HeatText, Note, SideBySide, TokenTable

__all__ = ["Group", "Page", "Panel"]


@dataclass(frozen=True)
class Group:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]
    note: str = ""
    shown: int | None = None
    """Panels that are not folded away; None for all."""
    headings: bool = True
    """Whether its panels have headings of their own; False for a chart and the table of its numbers, say."""


Panel: TypeAlias = Note | HeatText | Lines | Bars | Intervals | Stacks | Dots | Table | TokenTable | SideBySide | Group


@dataclass(frozen=True)
class Page:
    """A page, ready to be painted."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """What the page is about, as names and values."""
    notes: tuple[str, ...]
    """What was scaled down or stood in for."""
    panels: tuple[Panel, ...]
