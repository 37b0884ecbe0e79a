"""Pages that hold what they should, however hostile the texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from diffbench.views import html
from diffbench.views.html import page_html
from diffbench.views.panels import Group, Note, Page, Table
from hostile_page import BARS, CELLS, EVIL, HEAT, PAGE


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
        if tag not in {"meta", "br", "wbr"}:
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
    return Reader(page_html(PAGE))


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
    assert set(links) == {f"p{i}" for i in range(1, 11)}


def test_boxes_that_scroll_can_be_reached_by_keyboard(read: Reader) -> None:
    boxes = [a for a in read.all("div") if a.get("class") == "box"]
    assert len(boxes) == 7
    assert all(a["tabindex"] == "0" and a["aria-label"] and a["role"] == "region" for a in boxes)


def test_tokens_carry_their_values() -> None:
    spans = re.findall(r"<span([^>]*)>(.*?)</span>", page_html(Page("t", (), (), (HEAT,))), re.DOTALL)
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
        EVIL,
    ]
    assert any(text == "second" for _, text in read.texts)


def test_bars_are_in_proportion() -> None:
    source = page_html(Page("t", (), (), (BARS,)))
    assert re.findall(r'class="fill" style="width:([\d.]+)%"', source) == ["100.0", "50.0", "25.0"]
    assert re.findall(r'<td class="number">(.*?)</td>', source) == ["50.0%", "25.0%", "12.5%"]


def luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["--hot", "--cold"])
def test_text_on_the_full_colour_is_legible(scheme: str, ink: str) -> None:
    style = (Path(html.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
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


def test_cells_are_shaded_by_their_depth() -> None:
    source = page_html(Page("t", (), (), (CELLS,)))
    assert re.findall(r'<td class="([^"]*)"(?: style="--a:([\d.]+)")?>(.*?)</td>', source) == [
        ("name cold", "0.40", "a_<wbr>b"),
        ("number", "", "1.0"),
        ("name hot", "0.80", "plain"),
        ("number hot", "0.20", "2.0"),
    ]


def test_parts_of_one_figure_have_no_headings_of_their_own() -> None:
    notes = (Note("first", "a"), Note("second", "b"))
    apart, together = (page_html(Page("t", (), (), (Group("g", notes, headings=held),))) for held in (True, False))
    assert re.findall(r"<h(\d) id=\"(.*?)\">(.*?)</h", apart)[1:] == [("3", "p1-1", "first"), ("3", "p1-2", "second")]
    assert re.findall(r"<h\d id=\"(.*?)\">", together) == ["p1"]
    assert [f"<p>{text}</p>" in together for text in "ab"] == [True, True]
    assert "second" not in together


def test_a_folded_table_says_what_it_holds() -> None:
    source = page_html(Page("t", (), (), (Table("left out", ("log",), (("a",),), fold="1 log"),)))
    assert re.search(
        r"<details><summary>1 log</summary>\s*<div class=\"box\".*<td|<th scope=\"row\">a</th>", source, re.DOTALL
    )
