"""``diffbench submit`` and ``diffbench export hibayes`` from logs to files and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main
from hand_logs import hand_log, hand_sample


@pytest.fixture
def diffbench() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return hand_log(tmp_path / "logs" / "a.eval", model_args={"device": "cuda"})


def board(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    rows: list[dict[str, object]] = json.loads(result.stdout)["rows"]
    return rows


def test_a_submission_gives_the_leaderboard_of_its_logs(
    diffbench: Callable[..., Result], log: Path, tmp_path: Path
) -> None:
    done = diffbench("submit", log.parent, "--out", tmp_path / "s.zip", "--name", "Alice")
    assert done.exit_code == 0, done.output
    assert "4 grades of 1 logs; methods: adl; artifacts: 2" in done.output
    assert "emptied in the packed logs, because they can hold secrets: model_args" in done.output
    packed = board(diffbench("leaderboard", tmp_path / "s.zip", "--format", "json"))
    assert packed == board(diffbench("leaderboard", log, "--format", "json"))
    assert packed == board(diffbench("leaderboard", log, tmp_path / "s.zip", "--format", "json"))


def test_refusals_are_one_message(diffbench: Callable[..., Result], log: Path, tmp_path: Path) -> None:
    cut = hand_log(tmp_path / "cut.eval", [hand_sample()], status="cancelled")
    refused = diffbench("submit", cut, "--out", tmp_path / "s.zip", "--name", "Alice")
    assert refused.exit_code == 1
    assert "unfinished, status 'cancelled'" in refused.output
    assert "--allow-partial" in refused.output
    taken = diffbench("submit", cut, "--out", tmp_path / "s.zip", "--name", "Alice", "--allow-partial")
    assert taken.exit_code == 0, taken.output
    assert "unfinished: cut.eval" in taken.output
    again = diffbench("submit", log, "--out", tmp_path / "s.zip", "--name", "Alice")
    assert again.exit_code == 1
    assert "exists; remove it" in again.output


def test_export_takes_submissions_and_says_what_it_left_out(
    diffbench: Callable[..., Result], log: Path, tmp_path: Path
) -> None:
    diffbench("submit", log, "--out", tmp_path / "s.zip", "--name", "Alice", "--grades-only")
    done = diffbench("export", "hibayes", tmp_path / "s.zip", "--out", tmp_path / "folder")
    assert done.exit_code == 0, done.output
    assert "factors: organism_type, grader" in done.output
    assert "left out of the model: diff_method: one level only, adl" in done.output
    config = yaml.safe_load((tmp_path / "folder" / "config.yaml").read_text())
    assert config["model"]["models"][0]["config"]["main_effects"] == ["organism_type", "grader"]
    again = diffbench("export", "hibayes", tmp_path / "s.zip", "--out", tmp_path / "folder")
    assert again.exit_code == 1
    assert "not an empty folder" in again.output
