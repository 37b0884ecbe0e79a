"""Killed runs: an evaluation is finished by ``inspect eval-retry``, a store is never left with a broken artifact."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffbench.methods.store import ArtifactStore
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log
from raw_payload import payload_json

SLOW_AGENT = """
import os
from pathlib import Path

import anyio
from diffbench.tools.case import Finding, current_case
from inspect_ai.agent import Agent, AgentState, agent

DIARY, HOLD = Path(os.environ["DIARY"]), Path(os.environ["HOLD"])


def note(line: str) -> None:
    with DIARY.open("a") as file:
        file.write(line + "\\n")


@agent
def slow() -> Agent:
    async def execute(state: AgentState) -> AgentState:
        case = current_case()
        note(f"start {case.organism}")
        if case.organism != "tiny.alpha":
            while HOLD.exists():
                await anyio.sleep(0.05)
        finding = Finding(verdict="changed", description="It is about an owl.", confidence=0.5)
        case.finding, case.finding_source = finding, "submit"
        note(f"end {case.organism}")
        return state

    return execute
"""
SECONDS = 120.0
TEXTS = 300


def wait_until(done: Callable[[], bool], process: subprocess.Popen[str], output: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        said = output.read_text(encoding="utf-8")
        assert process.poll() is None, f"ended too early ({process.returncode}): {said}"
        assert time.monotonic() < deadline, f"waited too long: {said}"
        time.sleep(0.1)


def logs_in(folder: Path) -> list[EvalLog]:
    return [read_eval_log(info) for info in list_eval_logs(str(folder))]


def test_a_killed_evaluation_is_finished_without_repeating(
    bench: Any, start: Callable[..., subprocess.Popen[str]], command: Callable[..., Any], tmp_path: Path
) -> None:
    agent, logs, output = tmp_path / "slow_agent.py", tmp_path / "logs", tmp_path / "output.txt"
    diary, hold = tmp_path / "diary.txt", tmp_path / "hold"
    agent.write_text(SLOW_AGENT, encoding="utf-8")
    diary.touch()
    hold.touch()
    places = {"DIARY": str(diary), "HOLD": str(hold)}
    arguments = ["-T", "suite=tiny", "-T", "methods=blackbox", "--solver", f"{agent}@slow"]
    arguments += ["--max-samples", "1", "--log-buffer", "1", "--log-dir", str(logs), "--display", "none"]
    process = start("inspect", "eval", "benchmark/diffing.py", *arguments, output=output, **places)

    def one_is_logged() -> bool:
        found = list(logs.glob("*.eval"))
        return bool(found) and "start tiny.beta" in diary.read_text() and len(logs_in(logs)[0].samples or []) == 1

    wait_until(one_is_logged, process, output)
    process.send_signal(signal.SIGKILL)
    process.wait()

    (broken,) = logs_in(logs)
    assert broken.status == "started"
    assert [sample.id for sample in broken.samples or []] == ["tiny.alpha.blackbox"]
    hold.unlink()
    diary.write_text("")
    retried = command("inspect", "eval-retry", broken.location, "--log-dir", str(logs), "--display", "none", **places)
    assert retried.returncode == 0, retried.stdout + retried.stderr

    lines = sorted(diary.read_text().splitlines())
    assert lines == ["end tiny.beta", "end tiny.same", "start tiny.beta", "start tiny.same"]
    (finished,) = [log for log in logs_in(logs) if log.status == "success"]
    assert sorted(str(sample.id) for sample in finished.samples or []) == [
        "tiny.alpha.blackbox",
        "tiny.beta.blackbox",
        "tiny.same.blackbox",
    ]
    for sample in finished.samples or []:
        assert sample.error is None
        assert sample.scores is not None
        assert sample.scores["rubric_grade"].value in (1, 2, 3, 4, 5)


def test_a_killed_diff_leaves_no_broken_artifact(
    bench: Any, start: Callable[..., subprocess.Popen[str]], command: Callable[..., Any], tmp_path: Path
) -> None:
    store, corpus, output = tmp_path / "store", tmp_path / "large.jsonl", tmp_path / "output.txt"
    places = {"DIFFBENCH_STORE": str(store)}
    texts = [{"text": f"Text {i}: " + "The owl sits in the old oak and looks at the moon. " * 10} for i in range(TEXTS)]
    corpus.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    # One organism a pass: a killed run loses all that share the pass it was in.
    arguments = ["diff", "tiny.alpha", "tiny.beta", "--method", "kl", "--corpus", str(corpus), "--share", "1"]
    process = start("diffbench", *arguments, output=output, **places)
    wait_until(lambda: "tiny.beta kl: computing" in output.read_text(encoding="utf-8"), process, output)
    assert process.poll() is None, "the corpus is too small: it was done before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()

    # What a kill in the middle of writing leaves behind, under the dead process's number.
    half = store / f".partial-{process.pid}-{'0' * 24}"
    half.mkdir()
    (half / "payload.json").write_text('{"summary": {"te', encoding="utf-8")
    whole = ArtifactStore(folder=store, shipped=tmp_path / "none")
    assert [type(artifact).__name__ for artifact in whole] == ["Artifact"]
    verified = command("diffbench", "artifacts", "verify", **places)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert " 0 broken" in verified.stdout

    again = command("diffbench", *arguments, **places)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "tiny.alpha kl: is there" in again.stdout
    assert "tiny.beta kl: computing" in again.stdout
    assert not half.exists()
    artifacts = list(whole)
    assert len(artifacts) == 2
    for artifact in artifacts:
        assert not isinstance(artifact, Exception)
        artifact.verify()
        assert payload_json(artifact)["summary"]["texts"] == TEXTS
