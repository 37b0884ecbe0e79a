"""How many organisms and repeats would separate two methods.

A study is simulated and analysed without sampling. Of a cell (method, organism) with predictor eta its R findings tell
eta with about the precision R I(eta), where I is the Fisher information of one finding with J grades,

    I(eta) = sum_y (dL_y / d eta)^2 / L_y,   L_y = integral of prod_j p(y_j | eta + judge_j + r) over r ~ N(0, sd_run).

So each cell is simulated as ``z ~ Normal(eta, 1 / (R I))``, I averaged over organisms, and the posterior of the study's
effect, under the priors of the model, is a mixture of normals over a grid of what it would have to learn as
well: the sds of method x organism and of method x family. Cutpoints, severities and the other sds are taken for known.
Each simulated study has a truth of its own, a draw of the scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...records.errors import MendableError
from ...records.progress import Track, untracked
from .design import GRADES
from .scenario import Scenario, interpolated
from .summary import LEVEL
from .terms import Floats, Ints

__all__ = ["MOST_JUDGES", "PlannedStudy", "finding_information", "plan", "posterior_effect", "smallest"]

MOST_JUDGES = 4
_REACH, _STEP = 14.0, 0.5
_NODES = 12
_PRIOR_SCALE = 0.5
"""Of the half-normal priors of the sds of method x organism and method x family."""
_FAMILY_PRECISION = 0.1
_CHUNK = 250


@dataclass(frozen=True)
class PlannedStudy:
    """A design, and what it would show."""

    organisms: int
    families: int
    """As many as the scenario has, with at least two organisms in each."""
    repeats: int | None
    """Findings of each method on each organism; None for the limit of endlessly many."""
    judges: int
    findings: int | None
    width: dict[str, float]
    """Mean width of the 90 % interval of the effect, by scale (``logit``, ``grade``)."""
    separated: float
    """Share of the simulated studies whose 90 % interval excludes 0 on the true side."""
    error: float
    """Monte-Carlo standard error of that share."""
    wrong: float
    """Share whose interval excludes 0 on the wrong side."""


def plan(
    scenario: Scenario,
    organisms: Sequence[int],
    repeats: Sequence[int],
    judges: int = 2,
    seed: int = 0,
    track: Track = untracked,
) -> tuple[PlannedStudy, ...]:
    """All designs of organisms x repeats, and for each number of organisms the limit of endless repeats.

    Each finding is graded by all judges; one investigator works all cases.

    Args:
        scenario: Its number of draws is that of the simulated studies.
        organisms: Numbers of organisms, dealt to the families in turn; both methods meet each.
        repeats: Numbers of findings of each method on each organism.
        judges: Grades of each finding, 1 to 4.
        seed: Of the simulation.
        track: Shows how many designs were simulated.

    Raises:
        MendableError: For fewer than 2 organisms, fewer than 1 repeat, fewer than 1 or more than 4 judges.
    """
    for name, numbers, low, high in (
        ("organisms", organisms, 2, 1000),
        ("repeats", repeats, 1, 1000),
        ("judges", [judges], 1, MOST_JUDGES),
    ):
        wrong = [number for number in numbers if not low <= number <= high]
        if wrong or not numbers:
            raise MendableError(f"{name}: {wrong[0] if wrong else 'none given'}; allowed is {low} to {high}")
    information = _information_table(scenario, judges, np.random.default_rng(seed))
    designs = list(product(sorted(set(organisms)), [*sorted(set(repeats)), None]))
    studies = track(designs, "Simulating studies")
    return tuple(_study(scenario, information, number, repeat, judges, seed) for number, repeat in studies)


def smallest(studies: Sequence[PlannedStudy], power: float) -> PlannedStudy | None:
    """The design with the fewest findings, then the fewest organisms, that separates with that probability."""
    found = [(s.findings, s.organisms, i) for i, s in enumerate(studies) if s.findings and s.separated >= power]
    return studies[min(found)[2]] if found else None


def _study(
    scenario: Scenario, information: Floats, organisms: int, repeats: int | None, judges: int, seed: int
) -> PlannedStudy:
    families = min(scenario.family.shape[1], max(1, organisms // 2))
    code = np.arange(organisms) % families
    z, noise = _estimates(scenario, information, code, repeats, np.random.default_rng(seed + 1))
    low, high = [], []
    for start in range(0, scenario.draws, _CHUNK):
        part = slice(start, start + _CHUNK)
        ends = posterior_effect(z[part], noise[part], code, scenario.sd["organism"][part])
        low.append(ends[0])
        high.append(ends[1])
    bounds = np.column_stack([np.concatenate(low), np.concatenate(high)])
    sign = np.where(scenario.effect < 0, -1, 1)
    side = np.where(bounds[:, 0] > 0, 1, np.where(bounds[:, 1] < 0, -1, 0))
    separated = float((side == sign).mean())
    in_grades = scenario.in_grades(bounds)
    return PlannedStudy(
        organisms=organisms,
        families=families,
        repeats=repeats,
        judges=judges,
        findings=None if repeats is None else 2 * organisms * repeats,
        width={"logit": float(np.diff(bounds, axis=1).mean()), "grade": float(np.diff(in_grades, axis=1).mean())},
        separated=separated,
        error=float(np.sqrt(separated * (1 - separated) / scenario.draws)),
        wrong=float((side == -sign).mean()),
    )


def _estimates(
    scenario: Scenario, information: Floats, code: Ints, repeats: int | None, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Estimated predictors of all cells and the variances of their noise, both ``[draws, organisms, 2]``."""
    draws, organisms, families = scenario.draws, len(code), int(code.max()) + 1
    rows = np.arange(draws)[:, None]
    chosen = rng.random((draws, scenario.family.shape[1])).argsort(axis=1)[:, :families]
    added = scenario.by_family[rows, chosen]
    difference = scenario.effect[:, None] + added - added.mean(axis=1, keepdims=True)
    level, half = scenario.family[rows, chosen][:, code], difference[:, code] / 2
    expected = np.stack([level + half, level - half], axis=2)
    organism, own = (scenario.sd[name][:, None, None] for name in ("organism", "method x organism"))
    eta = expected + organism * rng.normal(size=(draws, organisms, 1)) + own * rng.normal(size=expected.shape)
    told = _averaged(information, expected, np.sqrt(organism**2 + own**2)) * (1e9 if repeats is None else repeats)
    noise = 1 / np.maximum(told, 1e-6)
    return eta + np.sqrt(noise) * rng.normal(size=eta.shape), noise


def _averaged(information: Floats, expected: Floats, scatter: Floats) -> Floats:
    """Mean information of the cells of a method and family, over organisms.

    An analysis weighs a cell by what it expects of it. Weights by the cell's own predictor would pull the methods
    together: the better one's best cells, near the highest grade, tell least.
    """
    x, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    parts = zip(x, weights / weights.sum(), strict=True)
    return sum(
        (weight * interpolated(information, -_REACH, _STEP, expected + scatter * node) for node, weight in parts),
        np.zeros_like(expected),
    )


def posterior_effect(z: Floats, noise: Floats, code: Ints, sd_organism: Floats) -> tuple[Floats, Floats]:
    """Bounds of the central 90 % interval of the effect in each study.

    With ``z_oA, z_oB = a_f +- d_f / 2 + organism + method x organism + noise``, the effect is the mean of the d_f.
    Given the sds, organisms are pairs of correlated normals, each family's level a_f is integrated out (its prior is
    wide), and the precision of the d_f is diagonal plus a constant, which the Sherman-Morrison formula inverts.

    Args:
        z: Estimates, ``[studies, organisms, 2]``.
        noise: Their variances.
        code: Family of each organism.
        sd_organism: Of the organisms' effects, ``[studies]``.
    """
    families = int(code.max()) + 1
    tau, tau_weight = _sd_grid(24)
    # With one family there is no method x family: any sd does that leaves the effect's own prior.
    s, s_weight = _sd_grid(8) if families > 1 else (np.ones(1), np.ones(1))
    e, d, log_weight = _by_family(z, noise, code, sd_organism, tau)
    # Priors of the model for two methods: effect ~ N(0, 2), d_f - effect of variance 2 s^2 and sum zero.
    apart, together = 1 / (2 * s**2), 1 / (2 * families)
    w = 1 / (d[:, :, None, :] + apart[:, None])
    c = (together - apart) / families
    total = 1 + c * w.sum(axis=3)
    pulled = (w * e[:, :, None, :]).sum(axis=3)
    mean = pulled / total / families
    sd = np.sqrt(w.sum(axis=3) / total) / families
    log_weight = log_weight[:, :, None] + 0.5 * ((w * e[:, :, None, :] ** 2).sum(axis=3) - c * pulled**2 / total)
    log_weight += 0.5 * ((families - 1) * np.log(apart) + np.log(w).sum(axis=3) - np.log(total))
    log_weight += np.log(tau_weight)[:, None] + np.log(s_weight)
    flat = (len(z), -1)
    weight = np.exp(log_weight - log_weight.max(axis=(1, 2), keepdims=True)).reshape(flat)
    return _bounds(mean.reshape(flat), sd.reshape(flat), weight / weight.sum(axis=1, keepdims=True))


def _by_family(z: Floats, noise: Floats, code: Ints, sd_organism: Floats, tau: Floats) -> tuple[Floats, Floats, Floats]:
    """Linear and quadratic term of the log likelihood in each d_f, and the rest; at each tau."""
    of_family = np.eye(int(code.max()) + 1)[code]
    shared = sd_organism[:, None, None] ** 2
    own = tau[:, None] ** 2 + np.moveaxis(noise, 2, 0)[:, :, None, :]
    x, y = own[0], own[1]
    determinant = shared * (x + y) + x * y
    first, second, both = (shared + y) / determinant, (shared + x) / determinant, -shared / determinant
    za, zb = z[:, None, :, 0], z[:, None, :, 1]
    aa = (first + 2 * both + second) @ of_family + _FAMILY_PRECISION
    ad = 0.5 * (first - second) @ of_family
    dd = 0.25 * (first - 2 * both + second) @ of_family
    ha = ((first + both) * za + (both + second) * zb) @ of_family
    hd = 0.5 * ((first - both) * za - (second - both) * zb) @ of_family
    square = first * za**2 + 2 * both * za * zb + second * zb**2
    rest = -0.5 * (np.log(determinant) + square).sum(axis=2) + 0.5 * (ha**2 / aa - np.log(aa)).sum(axis=2)
    return hd - ad * ha / aa, dd - ad**2 / aa, rest


def _sd_grid(nodes: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes of an sd up to four times its half-normal prior's scale, with their prior weights."""
    x, weights = np.polynomial.legendre.leggauss(nodes)
    sd = 2 * _PRIOR_SCALE * (x + 1)
    return sd, weights * np.exp(-0.5 * (sd / _PRIOR_SCALE) ** 2)


def _bounds(mean: Floats, sd: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Central 90 % interval of mixtures of normals, ``[studies, components]``, by bisection."""
    from scipy.special import ndtr

    found = []
    for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        low, high = (mean - 6 * sd).min(axis=1), (mean + 6 * sd).max(axis=1)
        for _ in range(22):
            middle = (low + high) / 2
            below = (weight * ndtr((middle[:, None] - mean) / sd)).sum(axis=1) < share
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        found.append((low + high) / 2)
    return found[0], found[1]


def _information_table(scenario: Scenario, judges: int, rng: np.random.Generator) -> Floats:
    """Information of a finding at predictors from -_REACH to _REACH; ``[draws, predictors]``."""
    severity = rng.normal(size=(scenario.draws, judges))
    severity = (severity - severity.mean(axis=1, keepdims=True)) * scenario.sd["judge"][:, None]
    eta = np.arange(-_REACH, _REACH + _STEP, _STEP)
    step = max(1, 4000 // GRADES**judges)
    parts = [slice(start, start + step) for start in range(0, scenario.draws, step)]
    return np.concatenate(
        [finding_information(eta, severity[i], scenario.sd["run"][i], scenario.cutpoints[i]) for i in parts]
    )


def finding_information(eta: Floats, severity: Floats, sd_run: Floats, cutpoints: Floats) -> Floats:
    """Fisher information of one finding's grades about its predictor, ``[draws, predictors]``.

    Args:
        eta: Predictors.
        severity: Effect of each judge, ``[draws, judges]``.
        sd_run: ``[draws]``.
        cutpoints: ``[draws, GRADES - 1]``.
    """
    x, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    at = eta[:, None] + (sd_run[:, None] * x)[:, None, :]
    likelihood = np.broadcast_to(weights / weights.sum(), at.shape)[..., None]
    slope = np.zeros_like(likelihood)
    for judge in severity.T:
        below = 1 / (1 + np.exp(at[..., None] + (judge[:, None] - cutpoints)[:, None, None, :]))
        p = np.diff(below, axis=-1, prepend=0.0, append=1.0)
        rise = -np.diff(below * (1 - below), axis=-1, prepend=0.0, append=0.0)
        shape = (*at.shape, -1)
        slope = (slope[..., None] * p[..., None, :] + likelihood[..., None] * rise[..., None, :]).reshape(shape)
        likelihood = (likelihood[..., None] * p[..., None, :]).reshape(shape)
    found: Floats = (slope.sum(axis=2) ** 2 / np.maximum(likelihood.sum(axis=2), 1e-300)).sum(axis=-1)
    return found
