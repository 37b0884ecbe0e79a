"""The leaderboard on top of the model: its counts by hand, its model columns against the fit, its refusals."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from diffbench.records.progress import Track
from diffbench.results.leaderboard import engines
from diffbench.results.leaderboard.ranking import Leaderboard, leaderboard
from diffbench.results.leaderboard.sections import sections
from diffbench.results.leaderboard.text import (
    leaderboard_csv,
    leaderboard_json,
    leaderboard_markdown,
    leaderboard_table,
)
from diffbench.results.model import Fit, Stability, design_of
from diffbench.results.model.checks import WithoutOrganism
from diffbench.results.schema import LeftOut
from diffbench.views.panels import Table
from prior_fits import prior_fit
from rich.console import Console
from simulation import Size, simulate

LEFT_OUT = (LeftOut("b.eval", None, "unreadable or truncated: BadZipFile"),)


@pytest.fixture(scope="module")
def graded() -> pd.DataFrame:
    """Three methods on six organisms of three families, one of them controls."""
    frame, _ = simulate(Size(methods=3, families=3, organisms=6, runs=2), seed=3)
    frame["family"] = frame["family"].replace("family02", "null")
    frame["verdict"] = np.where(frame["grade"] >= 3, "changed", "no_narrow_change")
    frame["verdict"] = frame.groupby(["log", "sample", "epoch"])["verdict"].transform("first")
    frame["confidence"] = 0.75
    return frame


@pytest.fixture
def made(graded: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Leaderboard:
    monkeypatch.setattr(engines, "fit", prior_fit)
    return leaderboard(graded, loo=False, left_out=LEFT_OUT)


def printed(made: Leaderboard, width: int = 80) -> str:
    file = io.StringIO()
    Console(width=width, file=file).print(leaderboard_table(made))
    return file.getvalue()


def section(made: Leaderboard, key: str) -> Table:
    [found] = [section.table for section in sections(made) if section.key == key]
    return found


def test_counts_of_the_rows_by_pandas(made: Leaderboard, graded: pd.DataFrame) -> None:
    for shown in made.rows:
        own = graded[graded["method"] == shown.method]
        attempts = own.drop_duplicates(["log", "sample", "epoch"])
        controls = attempts[attempts["family"] == "null"]
        assert shown.false_alarms.share == pytest.approx((controls["verdict"] == "changed").mean())
        assert shown.false_alarms.of == len(controls) > 0
        assert (shown.grades, shown.findings, shown.organisms) == (len(own), len(attempts), own["organism"].nunique())
        observed = next(found for found in made.shares if found.method == shown.method).observed
        assert observed == pytest.approx([(own["grade"] == grade).mean() for grade in range(1, 6)])


def test_rows_are_the_models(made: Leaderboard, graded: pd.DataFrame) -> None:
    summary = prior_fit(graded).summary
    assert made.ranked
    assert [row.method for row in made.rows] == [found.method for found in summary.methods]
    for shown, found in zip(made.rows, summary.methods, strict=True):
        assert (shown.grade, shown.rank, shown.p_best) == (found.grade, found.rank, found.p_best)
        assert (shown.at_least_2, shown.at_least_4) == (found.at_least_2, found.at_least_4)
    assert sum(shown.p_best for shown in made.rows) == pytest.approx(1)


def test_fitted_shares_by_simulation(graded: pd.DataFrame) -> None:
    """Grades drawn for every row of the frame from the draws' own parameters."""
    fitted = prior_fit(graded, draws=25)
    shares = engines.fitted_shares(fitted)
    parameters, design = fitted.parameters, fitted.design
    rng = np.random.default_rng(0)
    order = ["method", "family", "investigator", "organism"]
    names = {name: design.factors[name] for name in order}
    cells = list(zip(*(names[name].codes for name in order), strict=True))
    index = {cell: i for i, cell in enumerate(cells)}
    columns = {
        "method": graded["method"],
        "family": graded["family"],
        "investigator": graded["agent"] + " with " + graded["agent_model"],
        "organism": graded["suite"] + "." + graded["organism"],
    }
    codes = [columns[name].map({level: i for i, level in enumerate(names[name].levels)}) for name in order]
    cell = np.array([index[key] for key in zip(*codes, strict=True)])
    judge = graded["judge"].map({level: i for i, level in enumerate(design.factors["judge"].levels)}).to_numpy()
    eta = fitted.layout.predictor(parameters)
    drawn = []
    for draw in np.repeat(np.arange(parameters.draws), 40):
        at = eta[draw, cell] + parameters.effects["judge"][draw, judge]
        latent = at + parameters.sd["run"][draw] * rng.normal(size=len(at)) + rng.logistic(size=len(at))
        drawn.append(1 + (latent[:, None] > parameters.cutpoints[draw]).sum(axis=1))
    for method in names["method"].levels:
        grades = np.concatenate([grade[(graded["method"] == method).to_numpy()] for grade in drawn])
        assert shares[method] == pytest.approx([(grades == k).mean() for k in range(1, 6)], abs=0.006)


def test_evidence_reader_enters_the_gap_only(
    row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]
) -> None:
    reader = {"agent": "evidence_reader", "agent_model": "keyless/investigator", "log": "r.eval"}
    keyless = {"agent_model": "keyless/investigator", "log": "k.eval"}
    rows = [row("a", 4), row("b", 5), row("a", 1, **reader), row("b", 2, **reader), row("b", 1, **keyless)]
    made = leaderboard(frame(*rows), model=False)
    [shown] = made.rows
    assert (shown.grade.mean, shown.grades) == (4.5, 2)
    assert shown.gap is not None
    assert (shown.gap.gap, shown.gap.organisms) == (3.0, 2)
    assert shown.baselines == ()
    assert "3 of 5 grades are of baseline investigators" in made.notes[0]
    assert len(made.simple.rows) == 3
    alone = leaderboard(frame(*rows[2:4]), model=False)
    assert alone.rows[0].baselines == ("reader", "keyless")
    assert alone.rows[0].gap is None


def test_without_a_model_nothing_is_ranked(graded: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Fit:
        raise ModuleNotFoundError("No module named 'nutpie'")

    monkeypatch.setattr(engines, "fit", missing)
    made = leaderboard(graded)
    assert not made.ranked
    assert any("nutpie" in note and "diffbench[results]" in note for note in made.notes)
    by_organism = graded.groupby(["method", "organism"])["grade"].mean().groupby("method").mean()
    assert {row.method: row.grade.mean for row in made.rows} == pytest.approx(by_organism.to_dict())
    assert all(math.isnan(row.p_best) and math.isnan(row.rank.mean) for row in made.rows)
    assert [row.method for row in made.rows] == sorted(row.method for row in made.rows)
    assert "Nothing is ranked" in " ".join(printed(made).split())


def test_without_a_model_means_by_investigator_and_organism_are_shown(
    row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]
) -> None:
    control = {"family": "null", "method": "kl", "verdict": "changed", "interactions_used": 8}
    made = leaderboard(frame(row("a", 5), row("b", 2, method="kl"), row("q", 1, **control)), model=False)
    means = section(made, "simple")
    shown = [dict(zip(means.header, cells, strict=True)) for cells in means.rows]
    assert [(cells["method"], cells["grade"], cells["narrow"], cells["control"]) for cells in shown] == [
        ("adl", "5.00", "5.00", "–"),
        ("kl", "1.50", "2.00", "1.00"),
    ]
    assert [(cells["false alarms"], cells["asked"], cells["n"]) for cells in shown] == [
        ("–", "2.0", "1/1/1"),
        ("1.00", "5.0", "2/2/2"),
    ]
    organisms = section(made, "organisms")
    assert organisms.header == ("organism", "adl", "kl")
    assert organisms.rows == (("smol.a", "5.00", "–"), ("smol.b", "–", "2.00"), ("smol.q (control)", "–", "1.00"))
    text = printed(made)
    for part in (
        "Simple means",
        "Mean grade by organism",
        "bootstrap intervals over organisms (2000 resamples, seed 0)",
    ):
        assert part in " ".join(text.split())
    assert text.count("* Baseline") == 0


def test_with_a_model_means_by_organism_are_left_to_it(made: Leaderboard) -> None:
    assert "organisms" not in {found.key for found in sections(made)}
    assert "Simple means" not in printed(made)
    assert section(made, "simple").header == ("method", "agent", "model", "grade", "interval", "n")


def test_means_of_long_names_fit_80_columns(
    row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]
) -> None:
    long = {"agent_model": "openrouter/some-vendor/a-rather-long-model-name-2026-01-01", "interactions_used": 1234}
    organisms = {"a_long_organism_name_of_some_kind": "sdf", "b": "sdf", "quiet": "null"}
    rows = [
        row(name, grade, method=method, family=family, seconds=12345.6, **long)
        for method, grade in [("adl", 5), ("blackbox", 2), *((f"method_{i}", 3) for i in range(6))]
        for name, family in organisms.items()
    ]
    made = leaderboard(frame(*rows, row("b", 1, method="single|bar")), model=False)
    text = printed(made)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for part in ("blackbox *", "5.00–5.00", "12346", "1234.0", "smol.quiet (control)"):
        assert part in text
    assert r"| single\|bar |" in leaderboard_markdown(made)


def test_a_model_that_refuses_the_grades(graded: pd.DataFrame) -> None:
    twice = graded.assign(family=np.where(graded["method"] == "method00", "other", graded["family"]))
    made = leaderboard(twice)
    assert any("could not be fitted" in note and "give each organism one family" in note for note in made.notes)


def test_bad_draws_are_fitted_again_and_then_refused(graded: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stuck(frame: pd.DataFrame, draws: int = 500, seed: int = 0, **options: Any) -> Fit:
        asked.append(draws)
        good = prior_fit(frame, 100, seed)
        return dataclasses.replace(good, diagnostics=dataclasses.replace(good.diagnostics, r_hat=1.4))

    monkeypatch.setattr(engines, "fit", stuck)
    made = leaderboard(graded, draws=100)
    assert asked == [100, 400]
    assert not made.ranked
    assert any(note.startswith("No ranking: R-hat") for note in made.notes)
    assert any(note.startswith("The first fit was not good enough (R-hat") for note in made.notes)
    assert not any(section.key == "pairs" for section in sections(made))
    assert [row[5:] for row in section(made, "ranking").rows] == [("–", "–", "–")] * 3
    assert not any(math.isnan(row.grade.mean) for row in made.rows)


@pytest.mark.parametrize(
    ("kept", "note"),
    [
        (lambda frame: frame[frame["method"] == "method00"], "method00 is the only method"),
        (lambda frame: frame[frame["organism"] == "organism00"], "One organism only"),
        (lambda frame: frame.assign(grade=3), "All grades are 3"),
        (lambda frame: frame[frame["family"] != "null"], "No control was run"),
    ],
)
def test_thin_frames_still_have_a_result(
    graded: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, kept: Callable[[pd.DataFrame], pd.DataFrame], note: str
) -> None:
    monkeypatch.setattr(engines, "fit", prior_fit)
    made = leaderboard(kept(graded))
    assert any(note in said for said in made.notes)
    assert made.summary is not None
    assert not any(math.isnan(row.grade.mean) for row in made.rows)
    assert made.rows[0].method in printed(made)


def test_bad_arguments(graded: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="draws is 10"):
        leaderboard(graded, draws=10)
    with pytest.raises(ValueError, match="the grades frame is empty"):
        leaderboard(graded.iloc[:0])


def test_terminal_fits_80_columns_and_cuts_nothing(made: Leaderboard) -> None:
    text = printed(made)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for row in made.rows:
        assert f"{row.grade.low:.2f}–{row.grade.high:.2f}" in text
    for part in ("b.eval", "BadZipFile", "P(A > B)", "R-hat", "Not in the model"):
        assert part in text


def test_terminal_with_many_long_names(graded: pd.DataFrame) -> None:
    names = [f"_with_a_long_name_{i}" for i in range(4)]
    copies = [graded.assign(method=graded["method"] + name, sample=graded["sample"] + name) for name in names]
    made = leaderboard(pd.concat(copies), model=False)
    text = printed(made)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_markdown_has_every_cell(made: Leaderboard) -> None:
    text = leaderboard_markdown(made)
    for found in sections(made):
        assert f"## {found.table.title}" in text
        for cells in found.table.rows:
            assert any(all(cell.replace("*", r"\*") in line for cell in cells) for line in text.splitlines())


def test_json_is_strict_and_whole(made: Leaderboard) -> None:
    data = json.loads(leaderboard_json(made), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [row["grade"]["mean"] for row in data["rows"]] == [row.grade.mean for row in made.rows]
    assert data["rows"][0]["cost"] is None
    assert data["model"]["draws"] == 2000
    assert len(data["summary"]["comparisons"]) == 6
    assert data["left_out"][0]["log"] == "b.eval"


def test_csv_has_a_row_a_method(made: Leaderboard) -> None:
    rows = list(csv.DictReader(io.StringIO(leaderboard_csv(made))))
    assert [row["method"] for row in rows] == [row.method for row in made.rows]
    for cells, row in zip(rows, made.rows, strict=True):
        assert float(cells["grade_mean"]) == row.grade.mean
        assert float(cells["false_alarms_share"]) == row.false_alarms.share
        assert cells["cost"] == ""


def test_steering_characters_are_escaped(
    row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]
) -> None:
    made = leaderboard(frame(row("a", 3, method="\x1b[31mred"), row("a", 3, method="[bold]x")), model=False)
    text = printed(made)
    assert "\x1b" not in text
    assert r"\x1b[31mred" in text
    assert "[bold]x" in text
    assert r"\[bold]x" in leaderboard_markdown(made)


def test_order_without_single_organisms(graded: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two organisms turn the order round when they are left out."""
    names = design_of(graded).factors["organism"].levels

    def refit(fit: Fit, frame: pd.DataFrame, cores: int, track: Track) -> Stability:
        order = tuple(row.method for row in fit.summary.methods)
        left = [order[::-1] if name in names[:2] else order for name in names]
        without = zip(names, left, strict=True)
        return Stability(order, tuple(WithoutOrganism(name, found, 1.0, 0.1) for name, found in without))

    monkeypatch.setattr(engines, "fit", prior_fit)
    monkeypatch.setattr(engines, "leave_one_organism_out", refit)
    made = leaderboard(graded)
    assert made.stability is not None
    assert (made.stability.same_best, made.stability.same_order) == pytest.approx((4 / 6, 4 / 6))
    rows = section(made, "stability").rows
    assert [row[0] for row in rows] == list(names)
    assert [row[2] for row in rows] == ["changed"] * 2 + ["same"] * 4
    assert "67%" in section(made, "stability").note


def test_refits_that_would_take_long_are_left_to_be_asked_for(
    graded: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: object, **kwargs: object) -> object:
        return dataclasses.replace(prior_fit(*args, **kwargs), seconds=400.0)

    monkeypatch.setattr(engines, "fit", slow)
    made = leaderboard(graded)
    assert made.stability is None
    assert "Leave-one-organism-out would have taken about 14 minutes; ask for it with --loo." in made.notes
