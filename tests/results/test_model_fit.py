"""Fits of small simulated frames, of the ordinary kind and of those that can tell little."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from diffbench.results.model import Fit, fit, leave_one_organism_out, prior_predictive
from diffbench.results.model.summary import expected_grades
from plain_density import cell_log_likelihood
from simulation import Size, Truth, simulate

pytest.importorskip("nutpie")

SIZE = Size(methods=3, families=2, organisms=6, investigators=2, judges=2, runs=4)
FEW = Size(methods=2, families=2, organisms=4, investigators=1, judges=2, runs=2)


@pytest.fixture(scope="module")
def grades() -> tuple[pd.DataFrame, Truth]:
    truth = Truth.from_prior(SIZE, np.random.default_rng(0))
    spreads = dict.fromkeys(truth.sd, 0.3)
    flat = dataclasses.replace(
        truth,
        method=np.array([-1.2, 0.0, 1.2]),
        judge=np.array([0.6, -0.6]),
        cutpoints=np.array([-1.5, -0.5, 0.5, 1.5]),
        method_family=truth.method_family * 0,
        method_investigator=truth.method_investigator * 0,
        organism=truth.organism * 0,
        method_organism=truth.method_organism * 0,
        sd=spreads,
    )
    return simulate(SIZE, seed=1, truth=flat)


@pytest.fixture(scope="module")
def fitted(grades: tuple[pd.DataFrame, Truth]) -> Fit:
    return fit(grades[0], draws=800, seed=1)


@pytest.fixture
def few() -> pd.DataFrame:
    return simulate(FEW, seed=2)[0]


def test_known_effects_are_recovered(fitted: Fit, grades: tuple[pd.DataFrame, Truth]) -> None:
    assert fitted.problems == ()
    assert fitted.summary.ranked
    assert [row.method for row in fitted.summary.methods] == ["method02", "method01", "method00"]
    for name, true in (("method", grades[1].method), ("judge", grades[1].judge)):
        draws = fitted.parameters.effects[name]
        assert np.abs((draws.mean(axis=0) - true) / draws.std(axis=0)).max() < 3
        assert draws.std(axis=0).max() < 0.5
    assert fitted.summary.methods[0].p_best > 0.95
    assert fitted.summary.judges[1].severity.mean > 0.2


def test_a_seed_gives_the_same_draws(few: pd.DataFrame) -> None:
    first, second = (fit(few, draws=50, tune=50, seed=5, cores=cores).parameters.flat() for cores in (1, 2))
    assert all(np.array_equal(draws, second[name]) for name, draws in first.items())
    assert not any(np.array_equal(draws[:50], draws[50:100]) for draws in first.values())


def test_without_enough_draws_ranking_is_refused(few: pd.DataFrame) -> None:
    short = fit(few, draws=50, tune=20)
    assert short.problems
    assert not short.summary.ranked
    assert all(math.isnan(row.p_best) for row in short.summary.methods)


def test_the_prior_comes_back_where_there_is_no_evidence(few: pd.DataFrame) -> None:
    """Of the second of two investigators only one grade is known, so the effect keeps about its prior's spread."""
    other = few.iloc[:1].assign(agent_model="model/99", log="other")
    posterior = fit(pd.concat([few, other]), draws=300).parameters.effects["investigator"]
    assert posterior[:, 0].std() == pytest.approx(0.5 / math.sqrt(2), rel=0.25)


def test_leaving_organisms_out(fitted: Fit, grades: tuple[pd.DataFrame, Truth]) -> None:
    stability = leave_one_organism_out(fitted, grades[0], ["sim.organism00", "sim.organism03"])
    assert [refit.organism for refit in stability.without] == ["sim.organism00", "sim.organism03"]
    assert stability.same_best == 1
    assert 0 < max(refit.largest_shift for refit in stability.without) < 1
    with pytest.raises(ValueError, match=r"unknown organism 'sim\.other'"):
        leave_one_organism_out(fitted, grades[0], ["sim.other"])


def test_the_prior_predicts_all_grades(few: pd.DataFrame) -> None:
    shares = [share.mean for share in prior_predictive(few, draws=500)]
    assert sum(shares) == pytest.approx(1)
    assert all(0.1 < share < 0.4 for share in shares)


@pytest.mark.parametrize(
    ("keep", "left_out"),
    [
        ("method == 'method00'", ["method", "method x family", "method x organism"]),
        ("organism == 'organism00'", ["family", "organism", "method x organism"]),
        ("family == 'family00'", ["family", "method x family"]),
        ("judge == 'judge00'", ["judge", "run"]),
        ("epoch == 1", ["method x organism"]),
        ("method == 'method00' and organism == 'organism00' and judge == 'judge00'", ["method", "organism", "run"]),
    ],
)
def test_little_data_gives_wide_intervals_and_says_what_is_left_out(
    few: pd.DataFrame, keep: str, left_out: list[str]
) -> None:
    found = fit(few.query(keep), draws=100, tune=200)
    assert {name for name in left_out if any(s.startswith(f"{name} is left out") for s in found.design.omitted)} == set(
        left_out
    )
    for row in found.summary.methods:
        assert 1 <= row.grade.low < row.grade.mean < row.grade.high <= 5
    if len(found.summary.methods) == 1:
        assert math.isnan(found.summary.methods[0].p_best)


def test_equal_grades_are_no_certainty(few: pd.DataFrame) -> None:
    found = fit(few.assign(grade=5), draws=150, tune=250)
    for row in found.summary.methods:
        assert row.grade.mean > 3.2
        assert row.grade.high - row.grade.low > 0.5


@pytest.mark.parametrize("grade", [1, 5])
def test_the_posterior_is_the_weighted_prior(few: pd.DataFrame, grade: int) -> None:
    """Of few grades the posterior by NUTS and by weighting draws from the prior with their likelihood."""
    found = fit(few.query("epoch == 1 and method == 'method00'").assign(grade=grade), draws=600, seed=3)
    prior = found.layout.parameters(found.layout.prior(40_000, seed=1))
    weights = np.exp(cell_log_likelihood(found.layout, prior).sum(axis=1))
    assert weights.sum() ** 2 / np.square(weights).sum() > 300
    expected = weights @ expected_grades(found.design, prior) / weights.sum()
    assert abs(expected[0] - 3) > 0.3
    assert found.summary.methods[0].grade.mean == pytest.approx(expected[0], abs=0.08)
    for name in ("organism", "run"):
        sd = weights @ prior.sd[name] / weights.sum()
        assert found.parameters.sd[name].mean() == pytest.approx(sd, rel=0.1)


def test_too_few_draws_are_refused(few: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="draws is 10; it must be at least 50"):
        fit(few, draws=10)
