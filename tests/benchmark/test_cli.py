from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli import main
from diffbench.methods.store import ArtifactStore


@pytest.fixture
def diffbench(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``diffbench("organisms", "list")``: the command's result."""
    monkeypatch.setattr("diffbench.benchmark.progress.console._width", 300)
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


def test_organisms_are_listed(diffbench: Callable[..., Result]) -> None:
    listed = diffbench("organisms", "list")
    assert listed.exit_code == 0
    for name in ("tiny.alpha", "tiny.beta", "tiny.same", "smol.cake_bake", "default, half"):
        assert name in listed.output
    only = diffbench("organisms", "list", "--suite", "tiny")
    assert "tiny.alpha" in only.output
    assert "smol" not in only.output


def test_an_organism_is_shown_with_its_ground_truth(diffbench: Callable[..., Result]) -> None:
    shown = diffbench("organisms", "show", "tiny.alpha")
    assert shown.exit_code == 0
    assert "tiny.alpha" in shown.output.splitlines()[0]
    spec = json.loads(shown.output[shown.output.index("\n{") :])
    assert spec["key_facts"][0]["fact"] == "It speaks of owls."
    assert diffbench("organisms", "show", "alpha").exit_code == 0


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
    assert len(list(own_store.iterdir())) == 6


def test_whole_artifacts_pass(diffbench: Callable[..., Result], own_store: Path) -> None:
    verified = diffbench("artifacts", "verify")
    assert verified.exit_code == 0, verified.output
    assert f"{6 + shipped()} artifacts are whole, 0 broken" in verified.output


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
    refused(verified, f"artifact {folder.name}", f"{5 + shipped()} artifacts are whole, 1 broken", "--recompute")
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
    assert done.output.count("is there (") == 8
    assert {path: path.stat().st_mtime_ns for path in own_store.rglob("*")} == before


def test_version_and_help(diffbench: Callable[..., Result]) -> None:
    assert diffbench("--version").exit_code == 0
    for command in ([], ["organisms"], ["artifacts"], ["diff"], ["leaderboard"]):
        assert diffbench(*command, "--help").exit_code == 0
