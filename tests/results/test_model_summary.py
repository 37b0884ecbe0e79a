"""Posterior functionals against grades simulated from the same parameters, and diagnostics against arviz."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from diffbench.results.model.design import Design, design_of
from diffbench.results.model.diagnostics import Diagnostics, effective_sizes, r_hat
from diffbench.results.model.layout import Layout, Parameters
from diffbench.results.model.summary import Summary, summarise
from scipy import stats
from simulation import Size, Truth, simulate

SIZE = Size(methods=3, families=2, organisms=4, investigators=2, judges=2, runs=2)
SPREAD = {"method x family": 0.3, "method x investigator": 0.2, "organism": 0.7, "method x organism": 0.4, "run": 0.8}


@pytest.fixture(scope="module")
def truth() -> Truth:
    drawn = Truth.from_prior(SIZE, np.random.default_rng(5))
    return dataclasses.replace(drawn, sd=SPREAD, method=np.array([0.9, -0.1, -0.8]))


@pytest.fixture(scope="module")
def design() -> Design:
    return design_of(simulate(SIZE, seed=1)[0])


@pytest.fixture(scope="module")
def parameters(truth: Truth) -> Parameters:
    """Two draws, both the truth."""
    return Parameters(
        {name: np.stack([effect, effect]) for name, effect in truth.effects.items()},
        {name: np.array([sd, sd]) for name, sd in truth.sd.items()},
        np.stack([truth.cutpoints, truth.cutpoints]),
    )


@pytest.fixture(scope="module")
def summary(design: Design, parameters: Parameters) -> Summary:
    return summarise(design, parameters, ranked=True)


def drawn_grades(truth: Truth, method: int, family: int, judge: float = 0.0) -> np.ndarray:
    """A great many grades of new findings on new organisms, by logistic noise and cutpoints."""
    rng = np.random.default_rng(method * 10 + family)
    eta = truth.method[method] + truth.family[family] + truth.method_family[method, family] + judge
    noise = [rng.normal(0, SPREAD[name], 400_000) for name in ("organism", "method x organism", "run")]
    latent = eta + sum(noise) + rng.logistic(size=400_000)
    return 1 + (latent[:, None] > truth.cutpoints).sum(axis=1)


def test_expected_grades_are_those_of_new_findings(truth: Truth, summary: Summary) -> None:
    for row in summary.methods:
        method = int(row.method[-2:])
        grades = [drawn_grades(truth, method, family) for family in range(2)]
        assert row.grade.mean == pytest.approx(np.mean([g.mean() for g in grades]), abs=0.01)
        assert row.at_least_2.mean == pytest.approx(np.mean([(g >= 2).mean() for g in grades]), abs=0.004)
        assert row.at_least_4.mean == pytest.approx(np.mean([(g >= 4).mean() for g in grades]), abs=0.004)


def test_families_and_judges_too(truth: Truth, summary: Summary) -> None:
    for cell in summary.families:
        grades = drawn_grades(truth, int(cell.method[-2:]), int(cell.family[-2:]))
        assert cell.grade.mean == pytest.approx(grades.mean(), abs=0.01)
        assert cell.cases == 4
    for i, judge in enumerate(summary.judges):
        grades = [drawn_grades(truth, m, f, truth.judge[i]).mean() for m in range(3) for f in range(2)]
        assert judge.grade.mean == pytest.approx(np.mean(grades), abs=0.01)
        assert judge.severity.mean == pytest.approx(-truth.judge[i])


def test_variance_shares_sum_to_one(truth: Truth, summary: Summary) -> None:
    shares = {share.term: share.share.mean for share in summary.variance}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["run"] / shares["residual"] == pytest.approx(0.64 / (math.pi**2 / 3))
    assert shares["method"] / shares["run"] == pytest.approx(np.mean(truth.method**2) / 0.64)


def test_ranks_of_draws_that_disagree(design: Design, parameters: Parameters) -> None:
    method = np.array([[0.9, -0.1, -0.8], [-0.1, 0.9, -0.8], [0.9, -0.1, -0.8], [0.9, -0.1, -0.8]])
    effects = {name: np.repeat(effect[:1], 4, axis=0) for name, effect in parameters.effects.items()}
    del effects["method x family"]
    sd = {name: np.repeat(draws[:1], 4) for name, draws in parameters.sd.items()}
    of_four = Parameters(effects | {"method": method}, sd, np.repeat(parameters.cutpoints[:1], 4, axis=0))
    summary = summarise(design, of_four, ranked=True)
    assert [row.p_best for row in summary.methods] == [0.75, 0.25, 0.0]
    assert [row.rank.mean for row in summary.methods] == [1.25, 1.75, 3.0]
    higher = {(pair.first[-1], pair.second[-1]): pair.p_first_higher for pair in summary.comparisons}
    assert higher["0", "1"] == 0.75
    assert higher["1", "0"] == 0.25
    assert higher["2", "1"] == 0.0


def test_what_is_refused_is_nan(design: Design, parameters: Parameters) -> None:
    summary = summarise(design, parameters, ranked=False)
    assert [row.method for row in summary.methods] == ["method00", "method01", "method02"]
    assert all(math.isnan(row.p_best) and math.isnan(row.rank.mean) for row in summary.methods)
    assert all(math.isnan(pair.p_first_higher) for pair in summary.comparisons)
    assert not any(math.isnan(row.grade.mean) for row in summary.methods)


def test_the_prior_is_the_models(design: Design) -> None:
    """Effects of draws from the prior have the variances that the priors' definitions give."""
    drawn = Layout(design).parameters(Layout(design).prior(20_000, seed=0))
    assert drawn.effects["method"].var() == pytest.approx(1 * 2 / 3, rel=0.03)
    assert drawn.effects["judge"].var() == pytest.approx(0.25 / 2, rel=0.03)
    # E[sd^2] is the square of the half-normal's scale; an interaction keeps (1 - 1/3)(1 - 1/2) of it.
    assert drawn.effects["method x family"].var() == pytest.approx(0.25 / 3, rel=0.06)
    assert drawn.effects["organism"].var() == pytest.approx(1, rel=0.05)
    below = 1 / (1 + np.exp(-drawn.cutpoints))
    assert below.mean(axis=0) == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.01)
    assert below[:, 0].var() == pytest.approx(2 * 8 / (10**2 * 11), rel=0.05)


@pytest.fixture(scope="module")
def chains() -> np.ndarray:
    """``[4, 300, 6]``: independent, slow, antithetic, one chain apart, heavy tails, one chain wider."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 300, 7))[:, :, :6]
    for t in range(1, 300):
        values[:, t, 1] += 0.9 * values[:, t - 1, 1]
        values[:, t, 2] -= 0.5 * values[:, t - 1, 2]
    values[0, :, 3] += 1.0
    values[:, :, 4] = rng.standard_cauchy((4, 300))
    values[1, :, 5] *= 3
    return values


def test_r_hat_is_that_of_ranks_in_half_chains(chains: np.ndarray) -> None:
    """By its definition: variance between and within the halves of chains, of the normal scores and of their folds."""

    def plain(halves: np.ndarray) -> float:
        scores = stats.norm.ppf((stats.rankdata(halves).reshape(halves.shape) - 3 / 8) / (halves.size + 1 / 4))
        within = scores.var(axis=1, ddof=1).mean()
        return math.sqrt((150 - 1) / 150 + scores.mean(axis=1).var(ddof=1) / within)

    for i, found in enumerate(r_hat(chains)):
        halves = chains[:, :, i].reshape(8, 150)
        assert found == pytest.approx(max(plain(halves), plain(np.abs(halves - np.median(halves)))), abs=1e-12)
    assert np.isnan(r_hat(np.ones((4, 300, 1)))).all()


def test_effective_sizes(chains: np.ndarray) -> None:
    """Of an autoregression about n (1 - rho) / (1 + rho); to the digits, what an implementation of our own gave."""
    bulk, tail = effective_sizes(chains)
    assert bulk[1] == pytest.approx(1200 * 0.1 / 1.9, rel=0.25)
    assert bulk[2] == pytest.approx(1200 * 1.5 / 0.5, rel=0.25)
    assert bulk[[0, 1, 2, 4, 5]] == pytest.approx(
        [953.17699137, 58.08082629, 3695.01749526, 1371.18513903, 1137.28917556]
    )
    assert tail[:5] == pytest.approx([1106.12445704, 145.58995306, 1222.71514086, 424.63868632, 1193.61036813])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"r_hat": 1.2}, r"R-hat of sd\[run\] is 1.200"),
        ({"r_hat": math.nan}, r"R-hat of sd\[run\] is nan"),
        ({"r_hat_organisms": 1.2}, "R-hat of single organisms"),
        ({"ess_bulk": 90.0}, "effective bulk sample size is 90"),
        ({"ess_tail": math.nan}, "effective tail sample size is nan"),
        ({"divergences": 5}, "5 of 2000 draws diverged"),
    ],
)
def test_problems_are_said(changed: dict[str, float], sentence: str) -> None:
    good = Diagnostics(1.0, 1500.0, 900.0, 1.01, "sd[run]", 1, 2000, 15.0)
    assert good.problems == ()
    bad = dataclasses.replace(good, **changed)  # type: ignore[arg-type]
    [problem] = bad.problems
    assert re.search(sentence, problem)
