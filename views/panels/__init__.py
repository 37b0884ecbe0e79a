"""Panels: what a person looks at, as plain data.

Nothing here draws. All classes hold strings, numbers and tuples only, so that ``dataclasses.asdict`` gives JSON.
"""

from .charts import Bar, Bars, Dot, Dots, Interval, Intervals, Lines, Series, Stack, Stacks
from .page import Group, Page, Panel
from .tables import Table
from .texts import HeatText, Note, RankedToken, Row, SideBySide, TokenColumn, TokenTable

__all__ = [
    "Bar",
    "Bars",
    "Dot",
    "Dots",
    "Group",
    "HeatText",
    "Interval",
    "Intervals",
    "Lines",
    "Note",
    "Page",
    "Panel",
    "RankedToken",
    "Row",
    "Series",
    "SideBySide",
    "Stack",
    "Stacks",
    "Table",
    "TokenColumn",
    "TokenTable",
]
