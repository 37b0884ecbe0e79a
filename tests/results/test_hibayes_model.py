"""HiBayES' draws in our terms, its priors, and the parity of both models where HiBayES is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from diffbench.results import hibayes_model
from diffbench.results.hibayes import HibayesDraws, hibayes_command
from diffbench.results.hibayes_model import fit_flat
from diffbench.results.leaderboard.ranking import leaderboard
from diffbench.results.model import Fit, design_of
from diffbench.results.model.layout import Parameters
from diffbench.results.schema import check_frame
from scipy import integrate, stats

ORGANISMS = {"cake": "sdf", "gold": "taboo", "calm": "null"}


@pytest.fixture(scope="module")
def parity() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "performance")
        yield importlib.import_module("hibayes_parity")


@pytest.fixture
def grades(row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """3 organisms x 2 methods, each blinded and not, each finding graded by two judges."""
    rng = np.random.default_rng(0)
    rows = [
        row(
            organism,
            int(rng.integers(1, 6)),
            family=family,
            method=method,
            log=f"{blind}.eval",
            judge=judge,
            blind=blind,
        )
        for organism, family in ORGANISMS.items()
        for method in ("adl", "kl")
        for blind in (False, True)
        for judge in ("j1", "j2")
    ]
    return check_frame(frame(*rows))


LEVELS = {
    "diff_method": ["adl", "kl"],
    "organism_type": ["control", "sdf", "taboo"],
    "grader": ["j1", "j2"],
    "blind": ["blind", "not_blind"],
}


@pytest.fixture
def found() -> HibayesDraws:
    """800 draws in four chains of what HiBayES would return for ``grades``."""
    rng = np.random.default_rng(1)
    free = {name: rng.normal(0.5, 0.1, (800, len(levels) - 1)) for name, levels in LEVELS.items()}
    effects = {
        name: pd.DataFrame(np.column_stack([draws, -draws.sum(axis=1)]), columns=LEVELS[name])
        for name, draws in free.items()
    }
    cutpoints = np.sort(rng.normal([-4.0, -3.0, -2.0, -1.0], 0.01, (800, 4)))
    return HibayesDraws(effects, rng.normal(-2.5, 0.1, 800), cutpoints, chains=4, divergences=1)


@pytest.fixture
def fitted(grades: pd.DataFrame, found: HibayesDraws, monkeypatch: pytest.MonkeyPatch) -> Fit:
    monkeypatch.setattr(hibayes_model, "fit_with_hibayes", lambda folder: found)
    return fit_flat(grades, draws=200, seed=3)


def test_draws_come_under_our_names(fitted: Fit, found: HibayesDraws, grades: pd.DataFrame) -> None:
    effects = fitted.parameters.effects
    assert sorted(effects) == ["blind", "family", "judge", "method"]
    assert fitted.design.factors["family"].levels == ("null", "sdf", "taboo")
    assert effects["family"][:, 0] == pytest.approx(found.effects["organism_type"]["control"].to_numpy())
    assert fitted.design.factors["blind"].levels == ("False", "True")
    assert effects["blind"][:, 1] == pytest.approx(found.effects["blind"]["blind"].to_numpy())
    assert fitted.parameters.cutpoints == pytest.approx(found.cutpoints - found.intercept[:, None])
    assert (fitted.diagnostics.draws, fitted.diagnostics.divergences) == (800, 1)
    assert fitted.diagnostics.ess_bulk > 400
    assert any(said.startswith("agent: one level only") for said in fitted.design.omitted)
    assert any("independent" in said for said in fitted.design.omitted)


def test_expected_grades_follow_from_effects_and_cutpoints(fitted: Fit, found: HibayesDraws) -> None:
    """By hand: the mean over families of 1 + sum_k P(grade > k), other effects at their average of zero."""
    method, family = found.effects["diff_method"]["adl"], found.effects["organism_type"].to_numpy()
    eta = found.intercept[:, None] + method.to_numpy()[:, None] + family
    above = stats.logistic.cdf(eta[:, :, None] - found.cutpoints[:, None, :])
    by_hand = 1 + above.sum(axis=2).mean(axis=1)
    [adl] = [row for row in fitted.summary.methods if row.method == "adl"]
    assert adl.grade.mean == pytest.approx(by_hand.mean())
    assert adl.grade.low == pytest.approx(np.quantile(by_hand, 0.05))
    [pair] = [pair for pair in fitted.summary.comparisons if pair.first == "adl"]
    assert pair.p_first_higher == pytest.approx((method > 0).mean())
    assert [judge.severity.mean for judge in fitted.summary.judges] == pytest.approx([-0.5, 0.5], abs=0.02)
    assert fitted.summary.variance == ()


def test_draws_that_cannot_be_trusted_rank_nothing(
    grades: pd.DataFrame, found: HibayesDraws, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = found.cutpoints + np.repeat([0.0, 0.0, 0.0, 1.0], 200)[:, None]
    broken = replace(found, cutpoints=apart, divergences=100)
    monkeypatch.setattr(hibayes_model, "fit_with_hibayes", lambda folder: broken)
    fitted = fit_flat(grades)
    assert len(fitted.problems) >= 2
    assert not fitted.summary.ranked
    assert all(np.isnan(row.p_best) for row in fitted.summary.methods)


def test_unknown_engines_are_refused_with_those_there_are(grades: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"unknown engine 'pymc'; choose one of diffbench, hibayes"):
        leaderboard(grades, engine="pymc", resamples=100)


def random_parameters(draws: int) -> Parameters:
    rng = np.random.default_rng(4)
    method = rng.normal(0, 0.6, (draws, 3))
    cutpoints = np.cumsum(np.column_stack([rng.normal(-3, 0.3, draws), rng.uniform(0.5, 1.5, (draws, 3))]), axis=1)
    return Parameters({"method": method - method.mean(axis=1, keepdims=True)}, {}, cutpoints)


def test_the_prior_of_hibayes_is_the_documented_one(parity: ModuleType) -> None:
    """Against scipy's densities, the intercept integrated out numerically."""
    given = random_parameters(5)

    def density(cut: np.ndarray, effects: np.ndarray) -> float:
        gaps = stats.lognorm.pdf(np.diff(cut) - 0.3, 0.3, scale=np.exp(-0.5)).prod()
        first = integrate.quad(lambda i: stats.norm.pdf(i) * stats.norm.pdf(cut[0] + i, -4, 0.2), -5, 5, points=[0])[0]
        return float(np.log(first * gaps * stats.norm.pdf(effects[:-1]).prod()))

    by_hand = [density(*one) for one in zip(given.cutpoints, given.effects["method"], strict=True)]
    assert np.diff(parity.hibayes_log_prior(given)) == pytest.approx(np.diff(by_hand), abs=1e-6)
    narrow = replace(given, cutpoints=given.cutpoints[:, [0, 0, 2, 3]])
    assert (parity.hibayes_log_prior(narrow) == -np.inf).all()


def test_our_prior_is_the_one_that_the_model_draws_from(parity: ModuleType) -> None:
    """Weighted by a normal density over the prior's, prior draws have the normal's moments."""
    design = design_of(parity.flat_frame(1, 0))
    from diffbench.results.model.layout import Layout

    layout = Layout(design)
    given = layout.parameters(layout.prior(400_000, 0))
    centre, spread = np.array([-1.4, -0.5, 0.4, 1.3]), 0.15
    method = given.effects["method"]
    target = -np.square((given.cutpoints - centre) / spread).sum(axis=1) / 2 - np.square(method / 0.5).sum(axis=1) / 2
    only = Parameters({"method": method}, {}, given.cutpoints)
    weight = np.exp(target - parity.our_log_prior(design, only))
    weight /= weight.sum()
    assert weight @ given.cutpoints == pytest.approx(centre, abs=0.04)
    assert np.sqrt(weight @ np.square(given.cutpoints - centre)) == pytest.approx(spread, rel=0.15)
    assert np.sqrt(weight @ np.square(method)) == pytest.approx(0.5 * np.sqrt(3 / 4), rel=0.15)


def installed() -> bool:
    try:
        hibayes_command()
    except FileNotFoundError:
        return False
    return True


@pytest.mark.skipif(not installed(), reason="HiBayES is not installed")
def test_both_models_give_the_same_effects(parity: ModuleType) -> None:
    pytest.importorskip("nutpie")
    figures = parity.parity(repeats=6, draws=700, seed=1, cores=2)
    assert figures["grades"] == 288
    assert figures["effective_share"] > 0.05
    assert figures["largest_z"] < 4.5
    for row in figures["quantities"]:
        assert row["error"] < 0.25 * row["sd"]
