"""``diffbench run``: a sweep's plan, its growth, what stops it, and how it goes on after a kill."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main
from diffbench.benchmark.sweep.cost import DEFAULT_TOKENS
from diffbench.benchmark.sweep.file import load_sweep
from diffbench.methods.registry import list_methods
from diffbench.results.frame import grades_frame
from inspect_ai.model import ModelInfo, set_model_info
from scripted_models import SCRIPTS, Server, local, serving

# A script that asks the targets nothing, so that no process loads weights.
MODEL, JUDGE = "openai-api/local/wrong_then_right", "openai-api/local/judge"
TURNS = len(SCRIPTS["wrong_then_right"].turns)
REQUESTS = TURNS + 1
"""Of a case: the investigator's turns and one grade."""
SECONDS = 300.0
PRICE = {"input": 3.0, "output": 15.0, "input_cache_write": 3.75, "input_cache_read": 0.3}
PRICES = {MODEL: PRICE, JUDGE: {**PRICE, "input": 1.0, "output": 2.0}}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in local(running).items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(methods=…)``: a sweep of one case of the tiny suite on the local server, changed as said."""

    def build(**fields: Any) -> Path:
        sweep = {
            "suites": {"tiny": ["alpha"]},
            "methods": "blackbox",
            "models": MODEL,
            "judges": JUDGE,
            "conditions": {"interactions": 2, "response_tokens": 3},
            "limits": {"retry_attempts": 0},
        }
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(sweep | fields, sort_keys=False), encoding="utf-8")
        return path

    return build


@pytest.fixture
def run(bench: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """``run(path)``: the command in this process; the server's requests are those of this run."""
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 300)

    def invoke(path: Path, *options: str) -> Result:
        server.requests.clear()
        return CliRunner().invoke(main, ["run", str(path), "--log-dir", str(tmp_path / "logs"), *options])

    yield invoke
    server.gate = lambda body: None
    for name in PRICES:
        set_model_info(name, ModelInfo())


def cases_in(folder: Path) -> Counter[tuple[str, int]]:
    frame = grades_frame(folder).frame
    return Counter(zip(frame["sample"], frame["epoch"], strict=True))


def rows_of(result: Result) -> list[list[str]]:
    """The cells of the plan's table."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    for word in words:
        assert word in result.output, result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("suite: smol", ["suites: is missing", "suite: no such field; did you mean suites?"]),
        ("suites: {smol: some}", ["suites.smol: Input should be 'default' or 'all'", "or a list of names"]),
        ("suites: {smol: all}\nagents: investigatr", ["unknown agent 'investigatr'; did you mean investigator"]),
        ("suites: {smol: all}\nmodels: gpt", ["models.0: is no Inspect model name; write provider/model"]),
        ("suites: {smol: all}\nmethods: [kl, kl]", ["methods: 'kl' stands there more than once"]),
        ("suites: {smol: all}\nmethods: []", ["methods: is empty"]),
        ("suites: {smol: all}\nconditions: {interaction: 3}", ["unknown condition 'interaction'; did you mean"]),
        ("suites: {smol: all}\nconditions: {interactions: '3'}", ["conditions: interactions: '3'", "valid integer"]),
        ("suites: {smol: all}\nconditions: {framing: loud}", ["framing: 'loud'", "'neutral' or 'presuppositional'"]),
        ("suites: {smol: all}\nconditions: {agent: blackbox}", ["agent: is given by the field agents"]),
        ("suites: {smol: all}\nlimits: {max_sample: 3}", ["limits.max_sample: no such field; did you mean"]),
        ("suites: {smol: all}\nprices: {openai/x: {input: 1}}", ["prices.openai/x.output: is missing; give all four"]),
        ("suites: {smol: all}\ngenerate: {reasoning: high}", ["unknown generation option 'reasoning'"]),
        ("suites: {smol: all}\ngenerate: {temperature: hot}", ["generate: temperature", "valid number"]),
        ("suites: {smol", ["not YAML"]),
        ("- smol", ["is a mapping"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_field(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"wrong\.yaml") as refusal:
        load_sweep(path)
    for word in words:
        assert word in str(refusal.value)


def test_a_plan_is_the_product_without_what_does_not_go_together(
    write: Callable[..., Path], run: Callable[..., Result], server: Server, tmp_path: Path
) -> None:
    fields = {
        "suites": {"tiny": "all"},
        "methods": ["blackbox", "kl"],
        "agents": ["method_agent", "blackbox", "evidence_reader"],
        "models": [MODEL, "keyless/investigator"],
        "conditions": {"interactions": [2, 3], "blind": [False, True], "turns": 4},
    }
    planned = run(write(**fields), "--plan")
    assert planned.exit_code == 0, planned.output
    conditions = [(n, blind) for n in "23" for blind in ("False", "True")]
    models = (MODEL, "keyless/investigator")
    expected = [("kl", "method_agent", model, *given) for model in models for given in conditions]
    expected += [("blackbox", "blackbox", model, *given) for model in models for given in conditions]
    # It uses no model: once, not once a model.
    reader = ("evidence_reader", "keyless/investigator")
    expected += [(method, *reader, *given) for method in ("blackbox", "kl") for given in conditions]
    assert [tuple(row[:5]) for row in rows_of(planned)] == expected
    assert {tuple(row[5:8]) for row in rows_of(planned)} == {("3", "0", "0")}
    assert "72 cases, 0 done, 72 to run" in planned.output
    assert "left out: method_agent with blackbox: agent method_agent has nothing to read" in planned.output
    assert "left out: blackbox with kl: agent blackbox is not shown artifacts" in planned.output
    assert not server.requests
    assert not (tmp_path / "logs").exists()
    planned = run(write(**fields | {"methods": None}), "--plan")
    assert f"{(len(list_methods()) * 2 + 1 * 2 + len(list_methods())) * 4} tasks" in planned.output


def test_a_method_that_no_agent_takes_is_refused(write: Callable[..., Path], run: Callable[..., Result]) -> None:
    refused(run(write(methods=["blackbox", "kll"])), "sweep.yaml: unknown method 'kll'; did you mean kl")
    refused(run(write(agents="method_agent")), "sweep.yaml: agent method_agent has nothing to read")
    refused(run(write(suites={"tiny": ["alfa"]})), "unknown organism 'tiny.alfa'; did you mean tiny.alpha")
    refused(run(write(conditions={"interactions": -1})), "sweep.yaml: interactions is -1")


def test_missing_artifacts_stop_it_before_anything_is_spent(
    write: Callable[..., Path],
    run: Callable[..., Result],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "empty"))
    path = write(suites={"tiny": ["alpha", "beta"]}, methods=["blackbox", "kl"], conditions={"blind": [False, True]})
    done = run(path)
    refused(done, "nothing was run", "2 artifacts are missing")
    for name in ("alpha", "beta"):
        assert done.output.count(f"\n  diffbench diff tiny.{name} --method kl\n") == 1
    assert {tuple(row[:5]) for row in rows_of(done) if row[0] == "kl"} == {
        ("kl", blind, "2", "0", "2") for blind in ("False", "True")
    }
    assert not server.requests
    assert not (tmp_path / "logs").exists()


def test_only_what_is_new_runs(
    write: Callable[..., Path], run: Callable[..., Result], server: Server, tmp_path: Path
) -> None:
    first = run(write())
    assert first.exit_code == 0, first.output
    assert f"diffbench leaderboard {tmp_path / 'logs'}" in first.output
    assert len(server.requests) == REQUESTS
    again = run(write())
    assert again.exit_code == 0, again.output
    assert "1 cases, 1 done, 0 to run" in again.output
    assert not server.requests

    grown = {"suites": {"tiny": ["beta", "alpha"]}, "methods": ["kl", "blackbox"]}
    more = run(write(**grown))
    assert more.exit_code == 0, more.output
    assert "4 cases, 1 done, 3 to run" in more.output
    assert len(server.requests) == 3 * REQUESTS
    ids = [f"tiny.{name}.{method}.i2" for name in ("alpha", "beta") for method in ("blackbox", "kl")]
    assert cases_in(tmp_path / "logs") == Counter((case, 1) for case in ids)

    repeated = run(write(**grown, epochs=2))
    assert repeated.exit_code == 0, repeated.output
    assert "8 cases, 4 done, 4 to run" in repeated.output
    assert len(server.requests) == 4 * REQUESTS
    assert cases_in(tmp_path / "logs") == Counter((case, epoch) for case in ids for epoch in (1, 2))

    changed = {"interactions": 4, "response_tokens": 3}
    refused(
        run(write(**grown, epochs=2, conditions=changed)),
        "interactions: the logs have 2, the file 4 (",
        "put back what was changed or removed, or give the changed sweep a folder of its own",
    )
    refused(run(write(methods=["kl", "blackbox"], epochs=2)), "organisms: the logs have tiny.beta, the file does not")
    refused(run(write(**grown)), "epochs: the logs have 2, the file 1")
    refused(run(write(**grown, epochs=2, judges="keyless/grader")), f'judges: the logs have ["{JUDGE}"], the file')
    refused(run(write(**grown, epochs=2, generate={"top_p": 0.5})), 'the logs have {}, the file {"top_p": 0.5}')
    assert not server.requests
    # What changes no answer is free to change.
    other = run(write(**grown, epochs=2, generate={"max_retries": 2}, limits={"max_samples": 1}))
    assert other.exit_code == 0, other.output
    assert not server.requests


def test_the_estimate_is_measured_tokens_times_prices(
    write: Callable[..., Path], run: Callable[..., Result], server: Server
) -> None:
    unknown = run(write(), "--plan")
    assert f"estimated cost: unknown, without {JUDGE}, {MODEL}: no price is known" in unknown.output
    assert rows_of(unknown)[0][-1] == "?"
    organisms = {"tiny": ["alpha", "beta"]}
    guessed = run(write(suites=organisms, conditions={"interactions": 10, "judge_repeats": 3}, prices=PRICES), "--plan")
    own, judge = DEFAULT_TOKENS["investigator"], DEFAULT_TOKENS["judges"]
    dollars = 2 * (own.input * 3 + own.output * 15 + 3 * (judge.input * 1 + judge.output * 2)) / 1e6
    assert f"estimated cost: {dollars:,.2f} US dollars\n" in guessed.output
    assert "defaults for 1; models take more turns" in guessed.output

    assert run(write()).exit_code == 0
    # The server counts 10 tokens read and 10 written for each answer.
    measured = run(write(suites={"tiny": "all"}, epochs=2000, prices=PRICES), "--plan")
    left = 3 * 2000 - 1
    for role, turns in (("investigator", TURNS), ("judges", 1)):
        tokens = f"{10 * turns * left:,}"
        assert f"estimated tokens of the {role}: {tokens} read, {tokens} written" in measured.output
    dollars = left * (TURNS * (10 * 3 + 10 * 15) + 10 * 1 + 10 * 2) / 1e6
    assert f"estimated cost: {dollars:,.2f} US dollars\n" in measured.output
    assert "measured in the logs for 2 tasks, defaults for 0" in measured.output


def test_a_cost_limit_needs_prices(write: Callable[..., Path], run: Callable[..., Result], server: Server) -> None:
    limits = {"cost_limit": 0.5, "retry_attempts": 0}
    refused(run(write(limits=limits)), "cost_limit needs a price for each model", JUDGE, MODEL, "under prices")
    assert not server.requests
    done = run(write(limits=limits, prices=PRICES, agents=["investigator", "evidence_reader"]))
    assert done.exit_code == 0, done.output
    assert "by cost_limit at most about 1.00 US dollars" in done.output


def test_failed_cases_are_named_and_run_again(
    write: Callable[..., Path], run: Callable[..., Result], server: Server, tmp_path: Path
) -> None:
    path = write(suites={"tiny": ["alpha", "beta"]}, limits={"retry_attempts": 0, "max_samples": 1})
    # One case of two: all requests after the first case's are refused.
    server.gate = lambda body: "the account is empty" if len(server.requests) > REQUESTS else None
    failed = run(path)
    refused(failed, "1 failures in 2 cases", "tiny.beta.blackbox.i2, epoch 1: ", "the account is empty")
    server.gate = lambda body: None
    done = run(path)
    assert done.exit_code == 0, done.output
    assert "2 cases, 1 done, 1 to run" in done.output
    assert len(server.requests) == REQUESTS
    frame = grades_frame(tmp_path / "logs").frame
    assert frame["error"].isna().all()
    assert cases_in(tmp_path / "logs") == Counter({(f"tiny.{name}.blackbox.i2", 1): 1 for name in ("alpha", "beta")})


def test_a_sweep_that_was_killed_twice_goes_on(
    bench: Any, write: Callable[..., Path], start: Callable[..., Any], server: Server, tmp_path: Path
) -> None:
    path = write(
        suites={"tiny": "all"},
        conditions={"interactions": 2, "response_tokens": 3, "blind": [False, True]},
        limits={"max_samples": 1, "max_tasks": 2, "retry_attempts": 0},
    )
    logs, output = tmp_path / "logs", tmp_path / "output.txt"
    permits = threading.Semaphore(0)
    server.gate = lambda body: None if permits.acquire() else "never"

    def go_on(answers: int) -> Any:
        server.requests.clear()
        permits.release(answers)
        options = ("run", str(path), "--log-dir", str(logs))
        return start("diffbench", *options, output=output, INSPECT_DISPLAY="plain")

    # So many answers for two tasks that work case by case: at least one case is finished in each run.
    answers = 2 * REQUESTS
    for _ in range(2):
        process = go_on(answers)
        deadline = time.monotonic() + SECONDS
        while len(server.requests) <= answers:
            said = output.read_text(encoding="utf-8")
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        permits.release(len(server.requests) - answers)
    process = go_on(6 * REQUESTS)
    assert process.wait(SECONDS) == 0, output.read_text(encoding="utf-8")
    server.gate = lambda body: None
    assert len(server.requests) <= 5 * REQUESTS
    ids = [f"tiny.{name}.blackbox.i2{blind}" for name in ("alpha", "beta", "same") for blind in ("", ".blind")]
    assert cases_in(logs) == Counter((case, 1) for case in ids)
