"""``diffbench show``: pages that hold what they should, however hostile the texts."""

from __future__ import annotations

import io
import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from diffbench.views.panels import (
    Bar,
    Bars,
    Group,
    HeatText,
    Lines,
    Note,
    RankedToken,
    Row,
    Series,
    SideBySide,
    TokenColumn,
    TokenTable,
)
from diffbench.views.show import html, png, sheet
from diffbench.views.show.charts import HEIGHT, line_chart, ticks, vertical
from diffbench.views.show.page import Page, printable, shown_token

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
PAGE = Page(
    f"tiny.alpha, {EVIL}",
    (("Organism", "tiny.alpha"), ("Corpus", EVIL)),
    (EVIL,),
    (
        Note("summary", f"first\n{EVIL}"),
        Note("overview", EVIL, verbatim=True),
        Group("texts", (HEAT, HEAT), EVIL, shown=1),
        CHART, TABLE, SIDES, BARS,
    ),
)  # fmt: skip


class Reader(HTMLParser):
    """Elements in order, their attributes, and the text of the page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader(html.page_html(PAGE))


# --- HTML -------------------------------------------------------------------------------------------------------


def test_hostile_texts_stay_texts(read: Reader) -> None:
    assert read.open == []
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "base", "form"}
    assert {name for _, attributes in read.elements for name in attributes if name.startswith("on")} == set()
    addresses = [a[name] for _, a in read.elements for name in ("href", "src") if name in a]
    assert all(str(address).startswith("#") for address in addresses)
    policy = next(a["content"] for a in read.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in str(policy)
    # Title, heading, fact, two notes and so on: escaped once, so that the reader gives the text itself back.
    assert sum(EVIL in text for _, text in read.texts) >= 10


def test_the_contents_lead_to_every_picture(read: Reader) -> None:
    ids = [a["id"] for _, a in read.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [str(a["href"]).removeprefix("#") for a in read.all("a")]
    assert set(links) <= set(ids)
    assert set(links) == {f"p{i}" for i in range(1, 8)}


def test_boxes_that_scroll_can_be_reached_by_keyboard(read: Reader) -> None:
    boxes = [a for a in read.all("div") if a.get("class") == "box"]
    assert len(boxes) == 5
    assert all(a["tabindex"] == "0" and a["aria-label"] and a["role"] == "region" for a in boxes)


def test_tokens_carry_their_values() -> None:
    spans = re.findall(r"<span([^>]*)>(.*?)</span>", html.page_html(Page("t", (), (), (HEAT,))), re.DOTALL)
    attributes = [found for found, _ in spans]
    assert len(attributes) == 5
    assert 'title="left out"' in attributes[0]
    # Strength 0.8 at the full colour, which is that of the largest |value|, 2.
    assert [re.findall(r'--a:([\d.]+)" title="(.*?)"', found) for found in attributes[1:]] == [
        [("0.40", "-1")],
        [("0", "0")],
        [("0.20", "0.5")],
        [("0.80", "2")],
    ]
    assert 'class="n s"' in attributes[1]
    assert 'class="s"' in attributes[4]
    assert "class" not in attributes[2]
    assert spans[2][1] == "↵\n"


def test_what_is_folded_away_is_still_there(read: Reader) -> None:
    folds = [text for tag, text in read.texts if tag == "summary"]
    assert folds == [
        "What was scaled down or stood in for",
        "1 more",
        "Values",
        "1 more ranks",
        "1 more prompts",
        "1 more",
    ]
    assert any(text == "second" for _, text in read.texts)


def test_bars_are_in_proportion() -> None:
    source = html.page_html(Page("t", (), (), (BARS,)))
    assert re.findall(r'class="fill" style="width:([\d.]+)%"', source) == ["100.0", "50.0", "25.0"]
    assert re.findall(r'<td class="number">(.*?)</td>', source) == ["50.0%", "25.0%", "12.5%"]


def luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["--hot", "--cold"])
def test_text_on_the_full_colour_is_legible(scheme: str, ink: str) -> None:
    style = Path(html.__file__).with_name("style.css").read_text(encoding="utf-8")
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    source = light if scheme == "light" else dark

    def colour(name: str) -> tuple[float, ...]:
        value = re.search(rf"{name}: (.*?);", source)
        assert value
        digits = value[1].lstrip("#")
        return tuple(map(float, digits.split())) if " " in digits else tuple(bytes.fromhex(digits))

    over = zip(colour(ink), colour("--bg"), strict=True)
    blended = tuple(0.8 * a + 0.2 * b for a, b in over)
    high, low = sorted((luminance(blended), luminance(colour("--fg"))), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5


# --- charts -----------------------------------------------------------------------------------------------------


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
    (points,) = re.findall(r'<polyline [^>]*points="(.*?)"', chart)
    heights = [float(point.split(",")[1]) for point in points.split()]
    grid = [
        (float(mark), float(y) - 4)
        for y, mark in re.findall(r'<text x="55" y="([\d.]+)" text-anchor="end">([\d.e+-]+)</text>', chart)
    ]
    # Straight through the outermost grid lines, in the value or in its exponent.
    import numpy as np

    place = np.log10 if log else np.asarray
    (low, y_low), (high, y_high) = grid[0], grid[-1]
    expected = [y_low + (place(v) - place(low)) / (place(high) - place(low)) * (y_high - y_low) for v in values]
    assert heights == pytest.approx(expected, abs=0.2)
    assert vertical(high, [low, high], log) < vertical(low, [low, high], log) < HEIGHT


def test_gaps_are_left_out() -> None:
    (first, second) = re.findall(r'points="(.*?)"', line_chart(CHART))
    assert (len(first.split()), len(second.split())) == (2, 3)


# --- texts ------------------------------------------------------------------------------------------------------


def test_signs_without_a_shape_are_escaped() -> None:
    assert printable("a\x00b\x1b[0m\u202ec\ud800\u200d\n\t") == "a\\x00b\\x1b[0m\\u202ec\\ud800\u200d\n\t"
    assert [shown_token(t) for t in ("", "\n", " owl", "\n" + 12 * " ")] == ["∅", "↵", " owl", "↵␣×12"]
    note = Note("\ud800", "\udfff\x07")
    assert html.page_html(Page("\ud800", (), (), (note,))).encode("utf-8")


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


# --- PNG --------------------------------------------------------------------------------------------------------


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
