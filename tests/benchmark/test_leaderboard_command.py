"""``diffbench leaderboard`` from the command line: formats, files, errors and fall-backs, on logs written directly."""

from __future__ import annotations

import csv
import io
import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main
from diffbench.results.leaderboard import engines
from diffbench.results.schema import load_frame
from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, EvalStats, write_eval_log
from inspect_ai.scorer import Score
from prior_fits import prior_fit

METHODS, ORGANISMS = ("adl", "blackbox", "kl"), {"a": "sdf", "b": "sdf", "c": "taboo", "d": "taboo", "quiet": "null"}


def sample(organism: str, family: str, method: str, epoch: int, grades: tuple[int, int]) -> EvalSample:
    given = [{"judge": f"j{i}", "repeat": 0, "grade": grade, "error": None} for i, grade in enumerate(grades)]
    score = Score(value=sum(grades) / 2, metadata={"grades": given, "verdict": "changed", "confidence": 0.7})
    metadata = {
        "suite": "smol",
        "organism": organism,
        "variant": "default",
        "family": family,
        "method": method,
        "agent": "method_agent",
        "interactions": 10,
        "framing": "neutral",
        "blind": True,
    }
    return EvalSample(
        id=f"smol.{organism}.{method}",
        epoch=epoch,
        input="What changed?",
        target="",
        metadata=metadata,
        scores={"rubric_grade": score},
    )


def write_log(
    path: Path,
    methods: tuple[str, ...] = METHODS,
    organisms: dict[str, str] = ORGANISMS,
    task: str = "diffbench/diffing",
    grade: int | None = None,
) -> Path:
    """A log whose grades differ by method and organism, or are all ``grade``."""
    samples = [
        sample(organism, family, method, epoch, (grade or 1 + (m + i + epoch) % 5, grade or 1 + (2 * m + i) % 5))
        for m, method in enumerate(methods)
        for i, (organism, family) in enumerate(organisms.items())
        for epoch in (1, 2)
    ]
    spec = EvalSpec(
        created="2026-01-01T00:00:00+00:00",
        task=task,
        task_id=path.stem,
        model="openai/gpt",
        dataset=EvalDataset(samples=len(samples) // 2),
        config=EvalConfig(epochs=2),
    )
    write_eval_log(EvalLog(status="success", eval=spec, samples=samples, stats=EvalStats()), str(path))
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    write_log(folder / "one.eval")
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of the prior in place of the sampler's."""
    monkeypatch.setattr(engines, "fit", prior_fit)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``run(*arguments)``: the command in a terminal of 80 columns."""
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 80)
    return lambda *arguments: CliRunner().invoke(main, ["leaderboard", *map(str, arguments)])


def test_tables_and_page(quick: None, run: Callable[..., Result], logs: Path, tmp_path: Path) -> None:
    page = tmp_path / "board.html"
    done = run(logs, "--no-loo", "--html", page)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    for part in ("Leaderboard", "P(best)", "false", "blackbox *", "P(A > B)"):
        assert part in done.stdout
    assert "Fitting the model to 60 grades" in done.stderr
    assert f"page written to {page}" in done.stderr
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_formats_to_standard_output_and_files(
    quick: None, run: Callable[..., Result], logs: Path, tmp_path: Path
) -> None:
    found = json.loads(run(logs, "--no-loo", "--format", "json").stdout)
    assert sorted(row["method"] for row in found["rows"]) == list(METHODS)
    rows = list(csv.DictReader(io.StringIO(run(logs, "--no-loo", "--format", "csv").stdout)))
    assert [row["method"] for row in rows] == [row["method"] for row in found["rows"]]
    assert [float(row["grade_mean"]) for row in rows] == [row["grade"]["mean"] for row in found["rows"]]
    assert "| adl |" in run(logs, "--no-loo", "--format", "markdown").stdout
    for form, start in [("html", "<!doctype html>"), ("terminal", " "), ("csv", "method,")]:
        file = tmp_path / f"board.{form}"
        done = run(logs, "--no-loo", "--format", form, "--out", file)
        assert (done.exit_code, done.stdout) == (0, "")
        assert file.read_text(encoding="utf-8").startswith(start)


def test_the_same_seed_gives_the_same_numbers(quick: None, run: Callable[..., Result], logs: Path) -> None:
    def numbers(seed: int) -> str:
        return run(logs, "--no-loo", "--format", "csv", "--seed", seed).stdout

    assert numbers(1) == numbers(1) != numbers(2)


def test_simple_means_need_no_model(run: Callable[..., Result], logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "fit", lambda *_, **__: pytest.fail("the model was fitted"))
    table = run(logs, "--simple")
    assert "Mean grade by organism" in table.stdout
    assert run(logs, "--simple", "--format", "table").stdout == table.stdout
    found = json.loads(run(logs, "--simple", "--format", "json").stdout)
    assert (found["model"], found["ranked"], found["simple"]["resamples"]) == (None, False, 2000)
    assert "| method | agent | model |" in run(logs, "--simple", "--format", "markdown").stdout
    rows = list(csv.DictReader(io.StringIO(run(logs, "--simple", "--format", "csv").stdout)))
    assert [float(row["grade_mean"]) for row in rows] == [row["grade"]["mean"] for row in found["rows"]]
    assert "no model" in run(logs, "--simple", "--format", "html").stdout


def test_without_the_extra_it_says_what_to_install(
    run: Callable[..., Result], logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nutpie", None)
    done = run(logs)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    for words in ("pip install", "diffbench[results]", "Nothing is ranked"):
        assert words in said
    means = json.loads(run(logs, "--format", "json").stdout)
    assert all(row["p_best"] is None for row in means["rows"])


@pytest.fixture
def hibayes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command in HiBayES' place that writes a fit as it does, of as many draws as the configuration asks for."""
    pytest.importorskip("h5netcdf")
    text = """
    import sys
    from pathlib import Path
    import numpy as np, pandas as pd, xarray as xr, yaml
    [model] = yaml.safe_load(Path("config.yaml").read_text())["model"]["models"]
    rows, sampling = pd.read_csv("grades.csv"), model["config"]["fit"]
    rng, shape = np.random.default_rng(sampling["seed"]), (4, sampling["samples"])
    drawn = {
        "intercept": (("chain", "draw"), rng.normal(0, 0.1, shape)),
        "cutpoints": (("chain", "draw", "k"), np.arange(4) - 1.5 + rng.normal(0, 0.1, (*shape, 1))),
    }
    coords = {}
    for factor in model["config"]["main_effects"]:
        levels = sorted(rows[factor].unique())
        free = rng.normal(np.arange(1, len(levels)) / 2, 0.2, (*shape, len(levels) - 1))
        effects = np.concatenate([free, -free.sum(axis=-1, keepdims=True)], axis=-1)
        drawn[f"{factor}_effects"], coords[factor] = (("chain", "draw", factor), effects), levels
    path = Path("fit/models/ordered_logistic_modelmain/inference_data.nc")
    path.parent.mkdir(parents=True)
    xr.Dataset(drawn, coords).to_netcdf(path, group="posterior", engine="h5netcdf")
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros(shape, dtype=bool))})
    stats.to_netcdf(path, group="sample_stats", engine="h5netcdf", mode="a")
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "hibayes-full"
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return path


def test_hibayes_fits_where_it_is_asked_to(run: Callable[..., Result], logs: Path, hibayes: Path) -> None:
    found = json.loads(run(logs, "--engine", "hibayes", "--draws", 400, "--format", "json").stdout)
    assert (found["model"]["engine"], found["model"]["draws"], found["ranked"]) == ("hibayes", 1600, True)
    # Effects of about .5, 1 and -1.5 by the order of the names.
    assert [row["method"] for row in found["rows"]] == ["blackbox", "adl", "kl"]
    assert [row["p_best"] for row in found["rows"]] == pytest.approx([0.96, 0.04, 0], abs=0.03)
    assert found["stability"] is None
    assert found["summary"]["variance"] == []
    assert {shares["method"]: sum(shares["fitted"]) for shares in found["shares"]} == pytest.approx(
        dict.fromkeys(METHODS, 1)
    )
    done = run(logs, "--engine", "hibayes", "--draws", 400)
    said = " ".join(done.stdout.split())
    for words in ("HiBayES' flat ordinal model", "intervals are too narrow", "P(A > B)", "for independent"):
        assert words in said
    page = run(logs, "--engine", "hibayes", "--draws", 400, "--format", "html").stdout
    assert "flat ordinal model, diagnostics passed" in page


def test_hibayes_that_fails_leaves_the_means_and_says_why(
    run: Callable[..., Result], logs: Path, hibayes: Path
) -> None:
    hibayes.write_text(f"{hibayes.read_text().splitlines()[0]}\nraise SystemExit('no device')")
    found = json.loads(run(logs, "--engine", "hibayes", "--format", "json").stdout)
    assert found["model"] is None
    assert any("no device" in note for note in found["notes"])
    assert all(row["p_best"] is None for row in found["rows"])


def test_an_engine_that_is_not_there_is_refused_before_logs_are_read(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    nowhere = tmp_path / "nowhere"
    missing = run(nowhere, "--engine", "hibayes")
    assert missing.exit_code != 0
    assert "HiBayES is not installed" in missing.output
    assert "pip install git" in missing.output
    unknown = run(nowhere, "--engine", "pymc")
    assert "'pymc' is not one of 'diffbench', 'hibayes'" in unknown.output
    assert "leave out --engine hibayes" in run(nowhere, "--engine", "hibayes", "--simple").output


def test_one_truncated_log_among_others_is_named(quick: None, run: Callable[..., Result], logs: Path) -> None:
    broken = write_log(logs / "two.eval")
    broken.write_bytes(broken.read_bytes()[:-400])
    done = run(logs, "--no-loo", "--format", "json")
    assert done.exit_code == 0, done.output
    [left_out] = json.loads(done.stdout)["left_out"]
    assert Path(left_out["log"]).name == "two.eval"
    assert "truncated" in left_out["reason"]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "one.eval").unlink(), ("no evaluation log", "inspect eval")),
        (lambda folder: (folder / "one.eval").write_bytes(b"PK"), ("no grade could be read", "truncated")),
        (lambda folder: write_log(folder / "one.eval", task="arc"), ("log of the task 'arc'", "diffing")),
    ],
)
def test_nothing_to_rank(
    run: Callable[..., Result], logs: Path, harm: Callable[[Path], object], words: tuple[str, ...]
) -> None:
    harm(logs)
    done = run(logs)
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    for word in words:
        assert word in done.output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": ("adl",)}, "adl is the only method"),
        ({"organisms": {"a": "sdf"}}, "One organism only"),
        ({"grade": 4}, "All grades are 4"),
    ],
)
def test_thin_logs_still_give_a_result(
    quick: None, run: Callable[..., Result], logs: Path, changes: dict[str, Any], words: str
) -> None:
    write_log(logs / "one.eval", **changes)
    done = run(logs, "--no-loo")
    assert done.exit_code == 0, done.output
    assert words in " ".join(done.stdout.split())
    assert "adl" in done.stdout


def test_files_that_cannot_be_written_are_refused_before_the_fit(
    run: Callable[..., Result], logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "fit", lambda *_, **__: pytest.fail("the model was fitted"))
    done = run(logs, "--html", tmp_path / "nowhere" / "board.html")
    assert done.exit_code != 0
    assert "nowhere" in done.output
    refused = run(logs, "--draws", 10)
    assert "draws is 10" in refused.output


def test_parquet_still_works(run: Callable[..., Result], logs: Path, tmp_path: Path) -> None:
    done = run(logs, "--simple", "--parquet", tmp_path / "grades.parquet")
    assert "60 grades written to" in done.stderr
    assert len(load_frame(tmp_path / "grades.parquet")) == 60


def test_a_real_fit(run: Callable[..., Result], logs: Path) -> None:
    """The sampler itself, with leave-one-out where the ranking stands: few draws, so that it may be refused."""
    pytest.importorskip("nutpie")
    found = json.loads(run(logs, "--draws", 50, "--no-loo", "--format", "json").stdout)
    assert found["model"]["grades"] == 60
    assert found["ranked"] == (not found["model"]["problems"])
    for row in found["rows"]:
        assert 1 < row["grade"]["low"] < row["grade"]["mean"] < row["grade"]["high"] < 5
