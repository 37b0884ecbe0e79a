"""``diffbench adl``: reports on the artifacts of ``adl`` that read the ground truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main


@pytest.fixture
def diffbench(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 300)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def test_relevance_reports_each_position_and_writes_all_figures(
    diffbench: Callable[..., Result], tmp_path: Path
) -> None:
    result = diffbench("adl", "relevance", "tiny.alpha", "--json", str(tmp_path / "report.json"))
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["organism"] == "tiny.alpha"
    positions = {row["position"] for row in report["graded"]}
    assert {"text:0", "text:1"} <= positions
    for position in positions:
        assert f"logit_lens {position} difference:" in result.output
    for row in report["graded"]:
        assert row["fraction"] == pytest.approx(sum(row["relevant"]) / len(row["tokens"]))


def test_without_training_data_the_causal_effect_says_what_is_missing(diffbench: Callable[..., Result]) -> None:
    result = diffbench("adl", "causal", "tiny.alpha", "--items", "2", "--controls", "1")
    assert result.exit_code == 1
    assert "tiny.alpha: has no recipe, so its training data are not known here" in result.output


def test_without_an_artifact_the_command_that_computes_it_is_named(
    diffbench: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "empty"))
    result = diffbench("adl", "relevance", "tiny.alpha")
    assert result.exit_code == 1
    assert "diffbench diff tiny.alpha --method adl" in result.output
