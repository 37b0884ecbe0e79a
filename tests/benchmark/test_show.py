"""``diffbench show``: pages that hold what they should, however hostile the texts, and files written whole."""

from __future__ import annotations

import io
import re
import struct
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli import main
from diffbench.benchmark.show import html, page, png, sheet
from diffbench.benchmark.show.charts import HEIGHT, line_chart, ticks, vertical
from diffbench.benchmark.show.page import Page, printable, shown_token, write_whole
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.base import Labels, config_for, find_method, key_for
from diffbench.methods.corpus import load_corpus
from diffbench.methods.pictures import (
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
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import find_organism

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


# --- the command ------------------------------------------------------------------------------------------------

KL = {
    "summary": dict.fromkeys(("mean", "median", "p99", "max", "mean_chat", "mean_text"), 1.0)
    | {"texts": 1, "tokens": 2},
    "rows": [{"index": 0, "kind": "text", "mean": 1.0, "max": 2.0, "tokens": ["An", EVIL], "kl": [0.0, 2.0]}],
    "top_by_mean": [0],
    "top_by_max": [0],
}


@pytest.fixture
def diffbench() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main, ["show", *map(str, arguments)])


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Artifact]:
    """``stored()``: an artifact of kl for smol.cake_bake in a store of one's own; nothing is shipped."""
    (tmp_path / "none").mkdir()
    store = ArtifactStore(tmp_path / "store", tmp_path / "none")
    monkeypatch.setattr("diffbench.benchmark.commands_artifacts.ArtifactStore", lambda: store)

    def save(corpus: Path | None = None, payload: dict[str, Any] = KL) -> Artifact:
        organism, method = find_organism("smol.cake_bake"), find_method("kl")
        key = key_for(organism, method, config_for(method, "smol"), load_corpus(corpus) if corpus else None)
        about = {"method": "kl", "config": {}, "base": {}, "finetuned": {}, "corpus_sha256": "c", "device": "cpu"}
        return store.save(
            key,
            Content(payload, notes=("scaled down: a lot",)),
            **about,
            corpus_name="own",
            seconds=12.3,
            peak_memory_mib=1,
        )

    return save


def test_files_are_written_and_nothing_is_opened(
    diffbench: Callable[..., Result], stored: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.launch", lambda *_: pytest.fail("a browser was started"))
    artifact = stored()
    out = tmp_path / "out"
    out.mkdir()
    done = diffbench("cake_bake", "kl", "--html", out / "a.html", "--png", out / "a.png")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["a.html", "a.png"]
    shown = (out / "a.html").read_text(encoding="utf-8")
    for said in ("smol.cake_bake", "kl", "own", "12 s on cpu", artifact.key, "scaled down: a lot"):
        assert said in shown
    assert "<script>" not in shown
    assert (out / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_files_a_browser_is_started(
    diffbench: Callable[..., Result], stored: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored()
    opened: list[str] = []

    def launch(path: str) -> int:
        opened.append(path)
        return 1

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("click.launch", launch)
    done = diffbench("smol.cake_bake", "kl")
    assert done.exit_code == 0
    assert f"page written to {opened[0]}" in done.output
    assert "no browser could be started" in done.output
    assert Path(opened[0]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.glob(".diffbench-*")) == []


def test_another_corpus_has_its_own_artifact(
    diffbench: Callable[..., Result], stored: Callable[..., Artifact], tmp_path: Path
) -> None:
    corpus = tmp_path / "mine.jsonl"
    corpus.write_text('{"text": "An owl."}\n', encoding="utf-8")
    options = ("--corpus", corpus, "--html", tmp_path / "a.html")
    stored()
    missing = diffbench("cake_bake", "kl", *options)
    assert missing.exit_code == 1
    assert f"compute it with: diffbench diff smol.cake_bake --method kl --corpus {corpus}" in missing.output
    stored(corpus)
    assert diffbench("cake_bake", "kl", *options).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("smol.cake_bakes", "kl"), "unknown organism 'smol.cake_bakes'; did you mean smol.cake_bake"),
        (("cake_bake", "kll"), "unknown method 'kll'; did you mean kl"),
        (("cake_bake", "blackbox"), "blackbox computes no artifact"),
        (("cake_bake", "kl"), "compute it with: diffbench diff smol.cake_bake --method kl"),
    ],
)
def test_what_cannot_be_shown_is_named(
    arguments: tuple[str, str], message: str, diffbench: Callable[..., Result], stored: Callable[..., Artifact]
) -> None:
    refused = diffbench(*arguments)
    assert refused.exit_code == 1
    assert message in refused.output
    assert isinstance(refused.exception, SystemExit)


def test_files_that_cannot_be_written_are_named(
    diffbench: Callable[..., Result], stored: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored()
    for option in ("--html", "--png"):
        refused = diffbench("cake_bake", "kl", option, tmp_path / "nowhere" / "a")
        assert refused.exit_code == 1
        assert f"there is no folder {tmp_path / 'nowhere'}; create it first" in refused.output
    assert diffbench("cake_bake", "kl", "--html", tmp_path).exit_code == 2
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = diffbench("cake_bake", "kl", "--png", tmp_path / "a.png", "--html", tmp_path / "a.html")
    assert refused.exit_code == 1
    assert "--png needs matplotlib" in refused.output
    assert "pip install 'diffbench[local]'" in refused.output
    assert not (tmp_path / "a.html").exists()
    assert diffbench("cake_bake", "kl", "--html", tmp_path / "a.html").exit_code == 0


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.html"
    path.write_text("old", encoding="utf-8")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(ValueError, match=r"a\.html cannot be written: No space left"):
            write_whole(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    assert path.read_text(encoding="utf-8") == "old"
    write_whole(path, b"new")
    assert path.read_text(encoding="utf-8") == "new"


def test_readers_without_pictures_show_the_overview(
    stored: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = SimpleNamespace(toolset=lambda *_: [], evidence=lambda _: None)
    for readers in (bare, None):
        monkeypatch.setattr(page, "readers_for", lambda _, readers=readers: readers)
        about, overview = page.page_of("smol.cake_bake", find_method("kl"), stored(), Labels()).pictures
        assert isinstance(about, Note)
        assert "have no pictures" in about.text
        assert isinstance(overview, Note)
        assert overview.verbatim
        assert "in nats" in overview.text
