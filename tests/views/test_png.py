"""The page as a PNG: a sheet in columns and lines, and what is drawn on it."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from diffbench.views import png, sheet
from diffbench.views.panels import HeatText, Interval, Intervals, Note, Page, Stack, Stacks
from hostile_page import HEAT, PAGE


def test_columns_of_the_sheet() -> None:
    assert [sheet.width(text) for text in ("owl", "猫", "e\u0301")] == [3, 2, 1]
    paper = sheet.Sheet()
    for token in ["x" * 100, "y" * 30, "z" * 300]:
        paper.place(token)
    pieces = [(piece.x, piece.y, len(piece.text)) for piece in paper._pieces]
    assert pieces == [(0, 0, 100), (0, 1, 30), (0, 2, 124), (0, 3, 124), (0, 4, 52)]
    paper = sheet.Sheet()
    paper.write("an owl " * 40, indent=4)
    assert all(piece.x + len(piece.text) <= sheet.COLUMNS for piece in paper._pieces)
    assert " ".join(piece.text for piece in paper._pieces).split() == ["an", "owl"] * 40
    paper = sheet.Sheet()
    paper.cell(10, 8, "much too long")
    assert paper._pieces[0].text == "much to…"


def pixels(data: bytes) -> Any:
    from matplotlib.image import imread

    assert data.startswith(b"\x89PNG")
    return imread(io.BytesIO(data), format="png")


def orange(image: Any) -> int:
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return int(((red > 0.95) & (green > 0.5) & (green < 0.75) & (blue < 0.4)).sum())


def test_a_picture_is_drawn() -> None:
    data = png.page_png(PAGE)
    width, height = struct.unpack(">II", data[16:24])
    assert 1200 < width < 1600
    assert height > 1000
    assert orange(pixels(data)) > 500
    cold = HeatText("t", HEAT.tokens, (0.0,) * 5)
    assert orange(pixels(png.page_png(Page("t", (), (), (cold,))))) == 0


def test_a_sheet_that_is_too_tall_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MOST_LINES", 20.0)
    data = png.page_png(Page("t", (), (), (Note("n", "line\n" * 200),)))
    assert struct.unpack(">II", data[16:24])[1] < 800


def test_intervals_and_shares_are_in_proportion() -> None:
    paper = sheet.Sheet()
    rows = (Interval("a", 3.0, 2.0, 4.0), Interval("b", 9.0, 1.0, 5.0, hollow=True))
    png._draw(paper, Intervals("t", "grade", rows, (1, 5)), 1)
    (first, _, half, _), (start, _, whole, _) = paper._boxes
    assert (half, first - start) == pytest.approx((whole / 2, whole / 4))
    marks = [(piece.text, piece.x) for piece in paper._pieces if piece.text in {"●", "○"}]
    assert marks == [("●", pytest.approx(start + whole / 2)), ("○", pytest.approx(start + whole))]
    paper = sheet.Sheet()
    png._draw(paper, Stacks("t", ("1", "2"), (Stack("a", (0.25, 0.75)),)), 1)
    (left, _, quarter, _), (middle, _, rest, _) = paper._boxes
    assert (rest, middle) == pytest.approx((3 * quarter, left + quarter))
