"""Logs and submissions that lie on another file system (fsspec's own memory stands for a bucket)."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner
from diffbench.benchmark.cli.main import main
from diffbench.results.frame import grades_frame
from diffbench.results.packing import write_submission
from hand_logs import hand_log
from inspect_ai.log import EvalLog


@pytest.fixture
def log(tmp_path, run_log, case, grade) -> EvalLog:
    return run_log(tmp_path / "logs", [case("cake", grades=[grade(4)]), case("calm", family="null")])


@pytest.fixture
def bucket():
    fs = fsspec.filesystem("memory")
    yield fs
    fs.rm("/", recursive=True)


def columns(frame):
    return frame.drop(columns="log")


def test_folder_and_file_read_as_here(log, bucket):
    name = Path(log.location).name
    bucket.pipe(f"/bucket/deep/{name}", Path(log.location).read_bytes())
    bucket.pipe("/bucket/notes.txt", b"no log")
    here = grades_frame(log.location).frame
    there = grades_frame("memory://bucket").frame
    assert columns(there).equals(columns(here))
    assert set(there["log"]) == {f"memory:///bucket/deep/{name}"}
    twice = grades_frame([f"memory://bucket/deep/{name}", "memory://bucket"])
    assert twice.frame.equals(there)
    assert twice.left_out == ()


def test_a_log_that_is_here_and_there_is_read_once(log, bucket):
    bucket.pipe(f"/bucket/{Path(log.location).name}", Path(log.location).read_bytes())
    both = grades_frame([log.location, "memory://bucket"])
    assert len(both.frame) == 2
    assert all("duplicate: superseded by" in item.reason for item in both.left_out)
    assert len(both.left_out) == 2


def test_submission_and_damaged_files_keep_their_address(bucket, tmp_path):
    log, packed = hand_log(tmp_path / "logs" / "a.eval"), tmp_path / "ours.zip"
    write_submission(log, packed, name="Alice")
    content = log.read_bytes()
    bucket.pipe("/bucket/ours.zip", packed.read_bytes())
    bucket.pipe("/bucket/torn.zip", packed.read_bytes()[:500])
    bucket.pipe("/bucket/2026-01-01T00-00-00_diffing_cut.eval", content[: len(content) // 2])
    grades = grades_frame("memory://bucket")
    assert set(grades.frame["log"]) == {"memory:///bucket/ours.zip/logs/a.eval"}
    reasons = {item.log: item.reason for item in grades.left_out}
    assert reasons["memory:///bucket/torn.zip"].startswith("memory:///bucket/torn.zip is no whole submission")
    assert reasons["memory:///bucket/2026-01-01T00-00-00_diffing_cut.eval"].startswith("unreadable or truncated")


def test_file_urls_are_files(log):
    by_url = grades_frame(Path(log.location).as_uri())
    assert by_url.frame.equals(grades_frame(log.location).frame)


def test_leaderboard_of_a_remote_folder(log, bucket):
    bucket.pipe(f"/bucket/{Path(log.location).name}", Path(log.location).read_bytes())
    result = CliRunner().invoke(main, ["leaderboard", "memory://bucket", "--simple", "--format", "csv"])
    assert result.exit_code == 0, result.output
    assert "adl" in result.output


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://nowhere/logs", "nothing at memory://nowhere/logs"),
        ("memory://empty", "no evaluation log and no submission at memory://empty"),
        ("cloud9://bucket", "Protocol not known: cloud9"),
    ],
)
def test_what_cannot_be_read_is_said(url, said, bucket):
    bucket.mkdir("/empty")
    result = CliRunner().invoke(main, ["leaderboard", url])
    assert result.exit_code == 1
    assert said in result.output
