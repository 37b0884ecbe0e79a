"""Planning: its information and its posterior against brute force, its widths against full fits."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from click.testing import CliRunner
from diffbench.benchmark.cli import power as commands_power
from diffbench.benchmark.cli.main import main
from diffbench.records.progress import Countable
from diffbench.results.model import fit
from diffbench.results.model.planning import PlannedStudy, finding_information, plan, posterior_effect, smallest
from diffbench.results.model.scenario import Scenario, assumed_scenario, fitted_scenario
from diffbench.results.model.summary import expected_grades
from hand_logs import hand_log, hand_sample
from prior_fits import prior_fit
from simulation import Size, Truth, simulate

pytest.importorskip("scipy")

T = TypeVar("T")

CUTS = np.array([-1.5, -0.4, 0.6, 1.7])


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def shares(predictor: np.ndarray) -> np.ndarray:
    """P(grade) of predictors, ``[..., 5]``."""
    below = logistic(CUTS - predictor[..., None])
    return np.diff(np.concatenate([np.zeros_like(below[..., :1]), below, np.ones_like(below[..., :1])], -1))


def study(organisms: int = 4, repeats: int | None = 1, separated: float = 0.5) -> PlannedStudy:
    findings = None if repeats is None else 2 * organisms * repeats
    return PlannedStudy(organisms, 2, repeats, 2, findings, {"logit": 1.0, "grade": 1.0}, separated, 0.01, 0.0)


def test_information_is_the_variance_of_the_score() -> None:
    """Two judges and a run effect, by a fine sum over the run effect and differences over the predictor."""
    r = np.linspace(-6, 6, 4001)
    density = np.exp(-0.5 * r**2) / np.exp(-0.5 * r**2).sum()
    severity, sd, eta, step = (0.4, -0.4), 0.9, 0.7, 1e-4

    def likelihoods(at: float) -> np.ndarray:
        first, second = (shares(at + judge + sd * r) for judge in severity)
        return np.array(
            [(density * first[:, a] * second[:, b]).sum() for a, b in itertools.product(range(5), repeat=2)]
        )

    slope = (likelihoods(eta + step) - likelihoods(eta - step)) / (2 * step)
    expected = (slope**2 / likelihoods(eta)).sum()
    found = finding_information(np.array([0.0, eta]), np.array([severity]), np.array([sd]), CUTS[None])
    assert found[0, 1] == pytest.approx(expected, rel=1e-3)


def test_posterior_is_that_of_a_dense_normal_model() -> None:
    """All effects of two families in one covariance matrix, both sds summed over a fine grid."""
    from scipy.optimize import brentq
    from scipy.stats import multivariate_normal, norm

    rng = np.random.default_rng(3)
    code, sd_organism = np.array([0, 1, 0, 1, 0]), 0.7
    z, noise = rng.normal(0.4, 1, (5, 2)), rng.uniform(0.2, 1.5, (5, 2))
    half = np.array([0.5, -0.5])
    same_family, same_organism = (
        np.equal.outer(code, code).repeat(2, 0).repeat(2, 1),
        np.eye(5).repeat(2, 0).repeat(2, 1),
    )
    halves = np.tile(half, 5)
    opposite = np.outer(halves, halves)
    parts, nodes = [], np.linspace(0.01, 2, 40)
    for tau, s in itertools.product(nodes, nodes):
        apart = 2 * s**2 * (same_family - 0.5)
        covariance = 10 * same_family + opposite * (2 + apart) + sd_organism**2 * same_organism
        covariance = covariance + tau**2 * np.eye(10) + np.diag(noise.ravel())
        gain = 2 * halves @ np.linalg.inv(covariance)
        prior = norm.pdf(tau, scale=0.5) * norm.pdf(s, scale=0.5)
        weight = prior * multivariate_normal.pdf(z.ravel(), cov=covariance)
        parts.append((gain @ z.ravel(), np.sqrt(2 - 2 * gain @ halves), weight))
    mean, sd, weight = np.array(parts).T
    weight = weight / weight.sum()
    found = posterior_effect(z[None], noise[None], code, np.array([sd_organism]))
    for bound, share in zip(found, (0.05, 0.95), strict=True):
        exact = brentq(lambda x, share=share: (weight * norm.cdf(x, mean, sd)).sum() - share, -9, 9)
        assert bound[0] == pytest.approx(exact, abs=0.02)


def test_effect_in_grades_is_that_of_simulated_grades() -> None:
    scenario = assumed_scenario(draws=2).with_effect(0.7, "grade")
    rng, sd = np.random.default_rng(0), np.sqrt(0.7**2 + 0.5**2 + 0.8**2)
    means = []
    for side in (0.5, -0.5):
        eta = scenario.family[0][:, None] + side * scenario.effect[0] + rng.normal(0, sd, (4, 100_000))
        means.append((shares(eta) * np.arange(1, 6)).sum(axis=-1).mean())
    assert means[0] - means[1] == pytest.approx(0.7, abs=0.01)
    assert scenario.in_grades(-scenario.effect) == pytest.approx([-0.7, -0.7])


def test_organisms_buy_what_repeats_cannot() -> None:
    scenario = assumed_scenario({"method x organism": 0.9}, draws=400).with_effect(0.6, "grade")
    shown: list[tuple[int, str]] = []

    def track(items: Countable[T], label: str) -> Iterable[T]:
        shown.append((len(items), label))
        return items

    studies = plan(scenario, [16, 4], [5, 1], judges=1, track=track)
    assert [(s.organisms, s.repeats) for s in studies] == [(4, 1), (4, 5), (4, None), (16, 1), (16, 5), (16, None)]
    assert shown == [(6, "Simulating studies")]
    few, many = studies[:3], studies[3:]
    for some in (few, many):
        assert some[0].width["grade"] > some[1].width["grade"] > some[2].width["grade"]
        assert some[0].separated < some[1].separated <= some[2].separated
    assert many[1].separated > few[2].separated + 0.1
    assert (few[0].families, many[0].families) == (2, 4)
    assert many[1].findings == 160
    assert many[1].error == pytest.approx(np.sqrt(many[1].separated * (1 - many[1].separated) / 400))


def test_without_an_effect_few_studies_separate() -> None:
    studies = plan(assumed_scenario(draws=1000), [8], [3])
    assert studies[0].separated + studies[0].wrong < 0.12


def test_the_smallest_design_has_the_fewest_findings() -> None:
    studies = [study(4, 5, 0.9), study(4, None, 0.99), study(8, 2, 0.85), study(16, 1, 0.85), study(8, 1, 0.7)]
    assert smallest(studies, 0.8) is studies[2]
    assert smallest(studies, 0.95) is None


def test_widths_are_those_of_full_fits() -> None:
    pytest.importorskip("nutpie")
    scenario = assumed_scenario(draws=500).with_effect(0.6, "grade")
    [planned, _] = plan(scenario, [8], [3])
    widths = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        truth = Truth(
            method=np.array([0.5, -0.5]) * scenario.effect[seed],
            family=scenario.family[seed],
            investigator=np.zeros(1),
            judge=np.array([0.25, -0.25]),
            method_family=np.array([0.5, -0.5])[:, None] * scenario.by_family[seed],
            method_investigator=np.zeros((2, 1)),
            organism=rng.normal(0, 0.7, 8),
            method_organism=rng.normal(0, 0.5, (2, 8)),
            sd={"run": 0.8},
            cutpoints=CUTS,
        )
        fitted = fit(simulate(Size(2, 4, 8, 1, 2, 3), seed, truth)[0], draws=300, seed=seed)
        grades = expected_grades(fitted.design, fitted.parameters)
        widths.append(np.diff(np.quantile(grades[:, 0] - grades[:, 1], [0.05, 0.95]))[0])
    assert np.mean(widths) == pytest.approx(planned.width["grade"], rel=0.2)


def test_a_fit_gives_effect_and_spreads() -> None:
    fitted = prior_fit(simulate(Size(3, 2, 6, 1, 2, 2), 0)[0])
    scenario = fitted_scenario(fitted, ("method02", "method00"), draws=300)
    effects = fitted.parameters.effects["method"]
    assert np.isin(scenario.effect, effects[:, 2] - effects[:, 0]).all()
    assert np.isin(scenario.sd["run"], fitted.parameters.sd["run"]).all()
    assert scenario.by_family.sum(axis=1) == pytest.approx(np.zeros(300), abs=1e-9)
    assert scenario.notes == ()
    best = fitted_scenario(fitted, draws=10).methods
    assert best == tuple(row.method for row in fitted.summary.methods[:2])


def test_what_a_fit_cannot_tell_is_assumed_and_said() -> None:
    fitted = prior_fit(simulate(Size(2, 2, 4, 1, 1, 1), 0)[0])
    scenario = fitted_scenario(fitted, spreads={"organism": 0.2}, draws=10)
    assert set(scenario.sd["run"]) == {0.8}
    assert set(scenario.sd["organism"]) == {0.2}
    [note] = scenario.notes
    assert "run 0.8" in note
    assert "organism 0.2" not in note


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"methods": ("method00", "odd")}, "unknown method 'odd'; the grades have method00, method01"),
        ({"methods": ("method00", "method00")}, "both methods are 'method00'"),
        ({"spreads": {"runs": 1.0}}, "unknown spread 'runs'; known are organism"),
        ({"spreads": {"run": -1.0}}, "the spread of run is -1"),
    ],
)
def test_wrong_requests_are_refused(arguments, problem) -> None:
    fitted = prior_fit(simulate(Size(2, 2, 4, 1, 2, 2), 0)[0])
    with pytest.raises(ValueError, match=problem):
        fitted_scenario(fitted, **arguments)


def test_designs_and_effects_out_of_range_are_refused() -> None:
    scenario: Scenario = assumed_scenario(draws=10)
    with pytest.raises(ValueError, match="organisms: 1; allowed is 2 to 1000"):
        plan(scenario, [4, 1], [1])
    with pytest.raises(ValueError, match="judges: 5; allowed is 1 to 4"):
        plan(scenario, [4], [1], judges=5)
    with pytest.raises(ValueError, match="effect is 6; on the scale grade it must be above 0 and below"):
        scenario.with_effect(6, "grade")


def test_the_command_without_logs(tmp_path: Path) -> None:
    options = ["--organisms", "4,8", "--repeats", "2", "--simulations", "200", "--json", str(tmp_path / "plan.json")]
    result = CliRunner().invoke(main, ["power", "--effect", "0.9", "--spread", "run=0.3", *options])
    assert result.exit_code == 0, result.output
    assert "Repeats cannot buy what only more organisms can" in " ".join(result.output.split())
    assert "leave open" not in result.output
    told = json.loads((tmp_path / "plan.json").read_text())
    assert [design["repeats"] for design in told["designs"]] == [2, None, 2, None]
    assert told["spreads"]["run"]["mean"] == pytest.approx(0.3)
    assert told["effect"]["grade"]["mean"] == pytest.approx(0.9)
    assert told["simulations"] == 200


def test_the_command_with_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [hand_sample(o, m) for o in ("cake_bake", "owl_preference") for m in ("adl", "kl")]
    log = hand_log(tmp_path / "logs" / "a.eval", samples)
    monkeypatch.setattr(commands_power, "fit", lambda frame, **options: prior_fit(frame, seed=options["seed"]))
    command = ["power", str(log), "--organisms", "4", "--repeats", "1", "--simulations", "100"]
    result = CliRunner().invoke(main, [*command, "--methods", "kl,adl"])
    assert result.exit_code == 0, result.output
    assert "kl less adl: " in result.output
    assert "leave open which of the two is better" in " ".join(result.output.split())
    assert "cannot tell these standard deviations" in result.output


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "without LOGS give --effect"),
        (["--effect", "0.5", "--methods", "a,b"], "without LOGS give --effect"),
        (["--effect", "0.5", "--organisms", "4,many"], "'4,many' is no list of whole numbers"),
        (["--effect", "0.5", "--spread", "run"], "is not of the form organism=0.7"),
    ],
)
def test_the_command_says_what_it_needs(options, problem) -> None:
    result = CliRunner().invoke(main, ["power", *options])
    assert result.exit_code == 2
    assert problem in result.output
