"""Panels: what they refuse, and what follows from their numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from diffbench.views.panels import (
    Bar,
    Bars,
    Dot,
    Dots,
    HeatText,
    Interval,
    Intervals,
    Lines,
    Panel,
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


def test_the_colour_is_the_value_over_the_full_one() -> None:
    heat = HeatText("t", ("a", "b", "c", "d"), (1.0, -8.0, None, 4.0), signed=True, full=4.0)
    assert [heat.shade(i) for i in range(4)] == [0.25, -1.0, 0.0, 1.0]
    assert heat.strongest(2) == [1, 3]
    unsigned = HeatText("t", ("a", "b", "c"), (1.0, -8.0, 2.0))
    assert [unsigned.shade(i) for i in range(3)] == [0.125, 0.0, 0.25]
    assert unsigned.strongest() == [2, 0]
    assert [HeatText("t", ("a",), (0.0,)).shade(0), HeatText("t", (), ()).strongest()] == [0.0, []]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HeatText("t", ("a",), ()), "1 tokens and 0 values"),
        (lambda: HeatText("t", ("a",), (float("nan"),)), "'t' has the value nan"),
        (lambda: Lines("t", "x", "y", ("1", "2"), (Series("s", (1.0,)),)), "'s' of 't' has 1 values for 2 places"),
        (lambda: Lines("t", "x", "y", ("1",), (Series("s", (0.0,)),), log=True), "set log=False"),
        (lambda: Lines("t", "x", "y", ("1",), (Series("s", (float("inf"),)),)), "the value inf"),
        (lambda: Bars("t", "v", (Bar("b", -1.0),)), "below 0"),
        (lambda: Bars("t", "v", (Bar("b", float("nan")),)), "the value nan"),
        (lambda: Intervals("t", "v", (Interval("a", 1.0, float("-inf"), 2.0),), (1, 5)), "'t, a' has the value -inf"),
        (lambda: Dots("t", "x", "y", (Dot(float("nan"), 1.0),), (0, 1), (0, 1)), "'t' has the value nan"),
        (lambda: Stacks("t", ("1", "2"), (Stack("a", (1.0,)),)), "for 2 parts"),
        (lambda: Stacks("t", ("1", "2"), (Stack("a", (0.5, -0.1)),)), "none below 0"),
        (lambda: Stacks("t", ("1", "2"), (Stack("a", (0.5, 0.5), expected=(0.9, 0.2)),)), "in all 1 at most"),
        (lambda: Table("t", ("a", "b"), (("1",),)), "'t' has 1 cells for 2 columns"),
        (lambda: Table("t", ("a",), (("1",),), shades=((None,), (1.0,))), "1 rows and shades for 2"),
        (lambda: Table("t", ("a",), (("1",),), shades=((float("nan"),),)), "the value nan"),
        (lambda: SideBySide("t", ("a", "b"), (Row("r", (("x",),)),)), "'r' of 't' has 1 cells for 2 columns"),
    ],
)
def test_panels_that_cannot_be_drawn_are_refused(build: Callable[[], Panel], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_ranks_of_columns_of_unequal_length() -> None:
    one, two, other = RankedToken("a"), RankedToken("b", 0.5), RankedToken("c", marked=True)
    table = TokenTable("t", "p", (TokenColumn("x", (one, two)), TokenColumn("y", (other,)), TokenColumn("z", ())))
    assert table.rows == ((one, other, None), (two, None, None))


def test_the_longest_bar_fills_the_width() -> None:
    bars = Bars("t", "share", (Bar("a", 0.125), Bar("b", 0.5)), percent=True)
    assert (bars.longest, bars.written(bars.bars[0])) == (0.5, "12.5%")
    assert Bars("t", "v", (Bar("a", 0.0),)).longest == 1.0
