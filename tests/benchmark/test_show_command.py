"""The command ``diffbench show``: what it writes, opens and refuses; files are written whole."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli import show as show_command
from diffbench.benchmark.cli.main import main
from diffbench.benchmark.cli.output import write_output
from diffbench.methods.activations.corpus import load_corpus
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.jobs import key_for
from diffbench.methods.kl.method import KlMethod
from diffbench.methods.registry import config_for, find_method
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import find_organism
from diffbench.views.panels import Note
from raw_payload import raw

KL = {
    "summary": dict.fromkeys(("mean", "median", "p99", "max", "mean_chat", "mean_text"), 1.0)
    | {"texts": 1, "tokens": 2},
    "rows": [{"index": 0, "kind": "text", "mean": 1.0, "max": 2.0, "tokens": ["An", "<b>owl</b>"], "kl": [0.0, 2.0]}],
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
    monkeypatch.setattr("diffbench.benchmark.cli.stored.ArtifactStore", lambda: store)

    def save(corpus: Path | None = None, payload: dict[str, Any] = KL) -> Artifact:
        organism, method = find_organism("smol.cake_bake"), find_method("kl")
        texts = load_corpus(corpus) if corpus else None
        key = key_for(organism, method, config_for(method, "smol"), "float32", texts)
        about = {"method": "kl", "config": {}, "base": {}, "finetuned": {}, "corpus_sha256": "c", "device": "cpu"}
        return store.save(
            key,
            Content(raw(payload), notes=("scaled down: a lot",)),
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
            write_output(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    assert path.read_text(encoding="utf-8") == "old"
    write_output(path, b"new")
    assert path.read_text(encoding="utf-8") == "new"


def test_a_method_without_pictures_shows_its_overview(
    stored: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(KlMethod, "pictures")
    (overview,) = show_command.artifact_page("smol.cake_bake", find_method("kl"), stored()).panels
    assert isinstance(overview, Note)
    assert overview.title == "Overview of kl"
    assert overview.verbatim
    assert "in nats" in overview.text
