"""The leaderboard's page: well-formed, escaped, whole, and nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from diffbench.results.leaderboard import engines
from diffbench.results.leaderboard.page import leaderboard_page
from diffbench.results.leaderboard.ranking import Leaderboard, leaderboard
from diffbench.results.leaderboard.sections import sections
from diffbench.results.schema import LeftOut
from diffbench.views.html import page_html
from diffbench.views.text import printable
from prior_fits import prior_fit

HOSTILE = "<script>alert(1)</script>\"' onload=x &amp; \x1b[0m"
VOID = {"meta", "wbr", "br"}


class Reader(HTMLParser):
    """Checks nesting; collects tags, attributes, ids and the text of table cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.rows: list[list[str]] = []
        self.cell: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.cell = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in {"td", "th"} and self.cell is not None:
            self.rows[-1].append(self.cell)
            self.cell = None

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def hostile(
    row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> Leaderboard:
    """Every name that comes from logs is an attack; every section has rows."""
    monkeypatch.setattr(engines, "fit", prior_fit)
    families = {"a": f"fam{HOSTILE}", "b": "sdf", "c": "sdf", "quiet": "null"}
    rows = [
        row(
            organism + HOSTILE,
            1 + (len(method) + epoch + ord(organism[0]) + len(judge)) % 5,
            method=method,
            judge=judge,
            epoch=epoch,
            family=family,
            variant=variant,
            sample=f"{organism}{variant}{method}",
            agent_model=HOSTILE,
            framing=HOSTILE,
        )
        for method in (f"m{HOSTILE}", "blackbox", "kl")
        for organism, family in families.items()
        for variant in ("default", "mix1-1", f"v{HOSTILE}")
        for judge in (f"j{HOSTILE}", "k")
        for epoch in (1, 2)
    ]
    left_out = (LeftOut(HOSTILE, HOSTILE, HOSTILE),)
    return leaderboard(frame(*rows), draws=100, loo=False, left_out=left_out)


def test_hostile_names_are_text(hostile: Leaderboard) -> None:
    page = page_html(leaderboard_page(hostile))
    reader = read(page)
    assert not reader.tags & {"script", "img", "iframe", "link", "object", "a:href"}
    assert not any(name.startswith("on") for _, name, _ in reader.attributes)
    assert "\x1b" not in page
    cells = [cell for row in reader.rows for cell in row]
    assert any(cell.startswith("m<script>alert(1)</script>\"' onload=x &amp; ") for cell in cells)


def test_nothing_comes_from_elsewhere(hostile: Leaderboard) -> None:
    reader = read(page_html(leaderboard_page(hostile)))
    links = [value for _, name, value in reader.attributes if name in {"href", "src", "xlink:href"}]
    assert links
    assert all(link and link.startswith("#") for link in links)
    policy = [value for tag, name, value in reader.attributes if tag == "meta" and name == "content"]
    assert "default-src 'none'; style-src 'unsafe-inline'" in policy


def test_every_row_of_every_table_is_there(hostile: Leaderboard) -> None:
    reader = read(page_html(leaderboard_page(hostile)))
    shown = [tuple(row) for row in reader.rows]
    keys = {section.key for section in sections(hostile)}
    assert keys >= {"ranking", "families", "pairs", "shares", "dilution", "judges", "calibration", "conditions"}
    for section in sections(hostile):
        for cells in (section.table.header, *section.table.rows):
            assert tuple(map(printable, cells)) in shown


def test_keyboard_and_screen_readers(hostile: Leaderboard) -> None:
    page = page_html(leaderboard_page(hostile))
    reader = read(page)
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for tag, name, value in reader.attributes if (tag, name) == ("a", "href") and value}
    assert targets <= set(ids)
    assert len(targets) == len(leaderboard_page(hostile).panels)
    assert page.count('class="box" role="region" tabindex="0" aria-label=') == page.count("<table>")
    assert len(re.findall(r'<svg width="100%"[^>]* role="img" aria-label="[^"]+"', page)) == 5
    assert [int(level) for level in re.findall(r"<h(\d)", page)] == [1] + [2] * page.count("<h2")
    assert '<html lang="en">' in page


def test_forest_plot_places_grades(hostile: Leaderboard) -> None:
    """1 lies at 3 per cent of the width, 5 at 97."""
    page = page_html(leaderboard_page(hostile))
    places = [float(x) for x in re.findall(r'<circle class="dot[^"]*" cx="([\d.]+)%"', page)]
    grades = [row.grade.mean for row in hostile.rows]
    assert places[: len(grades)] == pytest.approx([3 + 94 * (grade - 1) / 4 for grade in grades], abs=0.006)
    assert page.count('class="dot hollow"') == 1


def test_bars_of_shares_fill_the_width(hostile: Leaderboard) -> None:
    page = page_html(leaderboard_page(hostile))
    widths = [float(width) for width in re.findall(r'<rect class="g[1-5]" x="[\d.]+%" width="([\d.]+)%"', page)]
    assert len(widths) == 5 * 2 * len(hostile.rows)
    assert sum(widths) == pytest.approx(100 * 2 * len(hostile.rows), abs=0.5)


def test_a_page_without_a_model(row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]) -> None:
    reader = read(page_html(leaderboard_page(leaderboard(frame(row("a", 3)), model=False))))
    assert ["adl", "3.00", "–", "–", "–", "–", "–", "–"] in reader.rows
