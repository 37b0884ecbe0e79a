"""A page of every kind of panel whose texts are attacks."""

from __future__ import annotations

from diffbench.views.panels import (
    Bar,
    Bars,
    Dot,
    Dots,
    Group,
    HeatText,
    Interval,
    Intervals,
    Lines,
    Note,
    Page,
    RankedToken,
    Row,
    Series,
    SideBySide,
    Stack,
    Stacks,
    Table,
    TokenColumn,
    TokenTable,
)

EVIL = '</title></style><script>alert(1)</script><img src="https://x.test/a.png" onerror="alert(2)">'
HEAT = HeatText(f"text {EVIL}", ("A", " day", "\n", EVIL, " owl"), (None, -1.0, 0.0, 0.5, 2.0), "nats", signed=True)
CHART = Lines(
    "chart", "layer", "norm", ("2", "4", "6"), (Series(EVIL, (1.0, None, 4.0)), Series("$_x$", (2.0, 3.0, 2.5)))
)
TABLE = TokenTable(
    "table",
    "p",
    (TokenColumn(EVIL, (RankedToken(EVIL, 0.5, marked=True), RankedToken("$x")), EVIL), TokenColumn("b", ())),
    mark=EVIL,
    shown=1,
)
SIDES = SideBySide(
    "sides", ("one", EVIL), (Row(EVIL, (("left",), (EVIL, ""))), Row("second", (("l",), ("r",)))), shown=1
)
BARS = Bars("bars", "share", (Bar(EVIL, 0.5), Bar("half", 0.25), Bar("$last", 0.125)), percent=True, shown=2)
FOREST = Intervals(
    f"forest {EVIL}", EVIL, (Interval(EVIL, 3.0, 2.0, 4.0, EVIL), Interval("$b", 0.5, hollow=True)), (1, 5)
)
STACKS = Stacks("stacks", ("1", EVIL), (Stack(EVIL, (0.25, 0.75), EVIL, (0.5, 0.5)), Stack("b", (0.04, 0.96))))
DOTS = Dots("dots", EVIL, EVIL, (Dot(0.5, 0.25, 0.125, 0.5, EVIL), Dot(1.0, 1.0)), (0, 1), (0, 1), diagonal=True)
CELLS = Table(
    "cells",
    ("name", EVIL, "n"),
    ((EVIL, "a_b", "1.0"), (EVIL, "plain", "2.0")),
    2,
    EVIL,
    ((None, -0.5, 0.0), (None, 1.0, 0.25)),
)
PAGE = Page(
    f"tiny.alpha, {EVIL}",
    (("Organism", "tiny.alpha"), ("Corpus", EVIL)),
    (EVIL,),
    (
        Note("summary", f"first\n{EVIL}"),
        Note("overview", EVIL, verbatim=True),
        Group("texts", (HEAT, HEAT), EVIL, shown=1),
        CHART, TABLE, SIDES, BARS,
        Group("ranking", (FOREST, STACKS, DOTS, CELLS), EVIL, headings=False),
        Note("list", "", items=("one", EVIL)), Table("left out", ("log",), ((EVIL,),), fold=EVIL),
    ),
)  # fmt: skip
