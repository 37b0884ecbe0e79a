"""Charts: what is drawn lies where its value is."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from diffbench.views.marks import ticks
from diffbench.views.panels import Dot, Dots, Interval, Intervals, Lines, Series, Stack, Stacks
from diffbench.views.svg import BOTTOM, TOP, dots_chart, intervals_chart, line_chart, stacks_chart
from hostile_page import CHART


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.0, 1.0, False, [0.0, 0.5, 1.0]),
        (0.95, 0.99, False, [0.95, 0.96, 0.97, 0.98, 0.99]),
        (3.0, 3.0, False, [3.0, 4.0]),
        (0.0, 0.0, False, [0.0, 0.5]),
        (0.3, 12.0, True, [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]),
        (1.0, 1e6, True, [10.0**i for i in range(7)]),
        (1.0, 1.0, True, [1.0, 2.0]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, log: bool, expected: list[float]) -> None:
    marks = ticks(low, high, log)
    assert marks[0] <= low
    assert marks[-1] >= high
    assert set(expected) <= {round(mark, 9) for mark in marks}


@pytest.mark.parametrize("log", [False, True])
def test_points_lie_where_their_values_are(log: bool) -> None:
    values = (0.5, 3.0, 20.0)
    chart = line_chart(Lines("c", "x", "y", ("a", "b", "c"), (Series("s", values),), log))
    heights = [y for _, y in points_of(chart)]
    grid = [
        (float(mark), float(y) - 4)
        for y, mark in re.findall(r'<text[^>]* y="([\d.]+)" text-anchor="end">([\d.e+-]+)</text>', chart)
    ]
    # Straight through the outermost grid lines, in the value or in its exponent.
    import numpy as np

    place = np.log10 if log else np.asarray
    (low, y_low), (high, y_high) = grid[0], grid[-1]
    expected = [y_low + (place(v) - place(low)) / (place(high) - place(low)) * (y_high - y_low) for v in values]
    assert heights == pytest.approx(expected, abs=0.2)
    assert TOP == y_high < y_low == BOTTOM


def test_gaps_are_left_out() -> None:
    first, second = re.findall(r"<g>(.*?)</g>", line_chart(CHART))
    assert (len(points_of(first)), len(points_of(second))) == (2, 3)
    # The pieces of a line lead from each of its points to the next one.
    pieces = [tuple(map(float, ends)) for ends in re.findall(PIECE, second)]
    points = points_of(second)
    assert pieces == [(*one, *other) for one, other in pairwise(points)]


PIECE = r'<line class="curve" x1="([\d.]+)%" y1="([\d.]+)" x2="([\d.]+)%" y2="([\d.]+)"'


def points_of(drawn: str) -> list[tuple[float, float]]:
    """Places of the markers: per cent across, pixels down."""
    return [(float(x), float(y)) for x, y in re.findall(r'<svg class="m" x="([\d.]+)%" y="([\d.]+)"', drawn)]


def test_an_axis_of_given_ends() -> None:
    lines = Lines("c", "x", "y", ("a", "b"), (Series("s", (2.0, 5.0)),), ends=(1, 5), values=False)
    (_, low), (_, high) = points_of(line_chart(lines))
    assert (low, high) == pytest.approx((BOTTOM - (BOTTOM - TOP) / 4, TOP), abs=0.06)
    single = Lines("c", "x", "y", ("a",), (Series("s", (2.0,)),))
    assert len(points_of(line_chart(single))) == 1
    assert line_chart(Lines("c", "x", "y", (), (Series("s", ()),))).startswith("<svg")


def test_intervals_lie_between_their_ends_and_beyond_the_axis_at_them() -> None:
    """1 lies at 3 per cent of the width, 5 at 97."""
    rows = (Interval("a", 3.0, 2.0, 4.0, "3 (2 to 4)"), Interval("b", 0.0), Interval("c", 2.0, -1.0, 9.0, hollow=True))
    chart = intervals_chart(Intervals("f", "grade", rows, (1, 5)))
    assert re.findall(r'class="(dot[^"]*)" cx="([\d.]+)%"', chart) == [
        ("dot", "50.00"),
        ("dot", "3.00"),
        ("dot hollow", "26.50"),
    ]
    ranges = re.findall(r'<line class="range" x1="([\d.]+)%" y1="[\d.]+" x2="([\d.]+)%"', chart)
    assert ranges == [("26.50", "73.50"), ("3.00", "97.00")]
    assert "3 (2 to 4)" in chart


def test_parts_of_a_whole_follow_each_other() -> None:
    chart = stacks_chart(Stacks("s", ("1", "2", "3"), (Stack("a", (0.5, 0.04, 0.46), "n", (0.25, 0.25, 0.5)),)))
    bars = re.findall(r'<rect class="(g\d)" x="([\d.]+)%" width="([\d.]+)%" y="[\d.]+" height="(\d+)"', chart)
    assert [bar[:3] for bar in bars] == [
        ("g1", "0.00", "50.00"), ("g3", "50.00", "4.00"), ("g5", "54.00", "46.00"),
        ("g1", "0.00", "25.00"), ("g3", "25.00", "25.00"), ("g5", "50.00", "50.00"),
    ]  # fmt: skip
    # Names stand in the wide bars where they have room.
    assert re.findall(r'<text class="on\d"[^>]*>(\d)</text>', chart) == ["1", "3"]


def test_dots_on_the_diagonal() -> None:
    dots = (Dot(0.25, 0.25, 0.0, 1.0, "told"), Dot(1.0, 1.0))
    chart = dots_chart(Dots("d", "x", "y", dots, (0, 1), (0, 1), diagonal=True))
    (start,) = re.findall(r'<line class="diagonal" x1="([\d.]+)%" y1="([\d.]+)" x2="([\d.]+)%" y2="([\d.]+)"', chart)
    x1, y1, x2, y2 = map(float, start)
    points = points_of(chart)
    assert points == [pytest.approx((x1 + (x2 - x1) / 4, y1 + (y2 - y1) / 4), abs=0.06), pytest.approx((x2, y2))]
    assert re.findall(r'<line class="range" x1="([\d.]+)%" y1="([\d.]+)" x2="([\d.]+)%" y2="([\d.]+)"', chart) == [
        (f"{points[0][0]:.2f}", f"{BOTTOM:.1f}", f"{points[0][0]:.2f}", f"{TOP:.1f}")
    ]
    assert "<title>told</title>" in chart
