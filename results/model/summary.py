"""What a posterior says of methods, families, judges and conditions, in grades and probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .design import CONDITIONS, GRADES, Design
from .layout import Parameters
from .terms import Floats

__all__ = [
    "Comparison",
    "Estimate",
    "FamilyGrade",
    "JudgeSeverity",
    "LevelEffect",
    "MethodSummary",
    "Summary",
    "VarianceShare",
    "exceedance",
    "expected_grades",
    "summarise",
]

LEVEL = 0.9
_NODES = 15
_POPULATION = ("organism", "method x organism", "run")
"""What scatters from organism to organism and from finding to finding."""


@dataclass(frozen=True)
class Estimate:
    """Posterior mean and central 90 % interval; NaN where unknown."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> Estimate:
        """The estimate from draws."""
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(draws.mean()), float(low), float(high))

    @classmethod
    def unknown(cls) -> Estimate:
        """An estimate of which nothing is known."""
        return cls(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class MethodSummary:
    """One method, for a new organism and finding; families weigh equally, investigator, judge, conditions average."""

    method: str
    grade: Estimate
    """Expected grade, 1..5."""
    at_least_2: Estimate
    """Probability of a grade of 2 or more."""
    at_least_4: Estimate
    """Probability of a grade of 4 or more."""
    p_best: float
    """Probability that its expected grade is the highest; NaN when ranking is refused or there is one method."""
    rank: Estimate
    """1 is the highest expected grade."""


@dataclass(frozen=True)
class Comparison:
    """Two methods."""

    first: str
    second: str
    p_first_higher: float
    """Probability that the first has the higher expected grade; NaN when ranking is refused."""
    difference: Estimate
    """Expected grade of the first less that of the second."""


@dataclass(frozen=True)
class FamilyGrade:
    """One method on one family."""

    method: str
    family: str
    grade: Estimate
    cases: int
    """Cells of the design that were run; with none, the estimate is the model's extrapolation."""


@dataclass(frozen=True)
class JudgeSeverity:
    """One judge against the average of them."""

    judge: str
    severity: Estimate
    """On the logit scale; positive is stricter. NaN for a single judge, and where judges are confounded."""
    grade: Estimate
    """Expected grade it gives, methods and families weighing equally."""


@dataclass(frozen=True)
class LevelEffect:
    """One level of a condition (or the investigator), the others average."""

    condition: str
    level: str
    effect: Estimate
    """On the logit scale, against the average of the levels."""
    grade: Estimate
    """Expected grade, methods and families weighing equally."""


@dataclass(frozen=True)
class VarianceShare:
    """Share of a grade's variance on the logit scale; ``residual`` is the logistic's pi^2 / 3."""

    term: str
    share: Estimate


@dataclass(frozen=True)
class Summary:
    """Everything reported of a fit."""

    methods: tuple[MethodSummary, ...]
    """By falling expected grade; by name where ranking is refused."""
    comparisons: tuple[Comparison, ...]
    families: tuple[FamilyGrade, ...]
    judges: tuple[JudgeSeverity, ...]
    conditions: tuple[LevelEffect, ...]
    variance: tuple[VarianceShare, ...]
    ranked: bool
    omitted: tuple[str, ...]


def summarise(design: Design, parameters: Parameters, ranked: bool) -> Summary:
    """Compute all functionals; ranks, P(best) and P(A > B) are NaN unless ``ranked``."""
    eta = _method_family(design, parameters)
    exceed = exceedance(parameters, eta)
    by_family = 1 + exceed.sum(axis=0)
    methods = _methods(design, exceed, ranked)
    order = (lambda row: -row.grade.mean) if ranked else (lambda row: row.method)
    return Summary(
        methods=tuple(sorted(methods, key=order)),
        comparisons=tuple(_comparisons(design, by_family.mean(axis=2), ranked)),
        families=tuple(_families(design, by_family)),
        judges=tuple(_judges(design, parameters, eta)),
        conditions=tuple(_conditions(design, parameters, eta)),
        variance=tuple(_variance(parameters)),
        ranked=ranked,
        omitted=design.omitted,
    )


def expected_grades(design: Design, parameters: Parameters) -> Floats:
    """Expected grade of each method, families weighing equally; ``[draws, methods]``."""
    exceed = exceedance(parameters, _method_family(design, parameters))
    grades: Floats = 1 + exceed.sum(axis=0).mean(axis=2)
    return grades


def _method_family(design: Design, parameters: Parameters) -> Floats:
    """Predictor of method and family with all else average; ``[draws, methods, families]``."""
    methods, families = (len(design.factors[name].levels) for name in ("method", "family"))
    shape = (parameters.draws, methods, families)
    eta = np.zeros(shape)
    if "method" in parameters.effects:
        eta += parameters.effects["method"][:, :, None]
    if "family" in parameters.effects:
        eta += parameters.effects["family"][:, None, :]
    if "method x family" in parameters.effects:
        eta += parameters.effects["method x family"].reshape(shape)
    return eta


def exceedance(parameters: Parameters, eta: Floats, scatter: Sequence[str] = _POPULATION) -> Floats:
    """P(grade > k) for k = 1..4 at predictors ``[draws, ...]``, by default of a new organism's new finding.

    The effects named in ``scatter`` are integrated out together, as one normal variable with the sum of their variances
    (15 Gauss-Hermite nodes). Returns ``[GRADES - 1, *eta.shape]``.
    """
    sd = np.sqrt(sum((parameters.spread(name) ** 2 for name in scatter), np.zeros(parameters.draws)))
    x, weights = np.polynomial.hermite_e.hermegauss(_NODES if sd.any() else 1)
    expand = (slice(None), *[None] * (eta.ndim - 1))
    exceed = np.zeros((GRADES - 1, *eta.shape))
    for node, weight in zip(x, weights / weights.sum(), strict=True):
        at = eta + (sd * node)[expand]
        for k in range(GRADES - 1):
            exceed[k] += weight * 0.5 * (1 + np.tanh(0.5 * (at - parameters.cutpoints[:, k][expand])))
    return exceed


def _methods(design: Design, exceed: Floats, ranked: bool) -> Iterator[MethodSummary]:
    averaged = exceed.mean(axis=3)
    grades = 1 + averaged.sum(axis=0)
    ranked = ranked and grades.shape[1] > 1
    ranks = 1 + (-grades).argsort(axis=1).argsort(axis=1)
    for i, method in enumerate(design.factors["method"].levels):
        yield MethodSummary(
            method=method,
            grade=Estimate.of(grades[:, i]),
            at_least_2=Estimate.of(averaged[0, :, i]),
            at_least_4=Estimate.of(averaged[2, :, i]),
            p_best=float((ranks[:, i] == 1).mean()) if ranked else math.nan,
            rank=Estimate.of(ranks[:, i].astype(float)) if ranked else Estimate.unknown(),
        )


def _comparisons(design: Design, grades: Floats, ranked: bool) -> Iterator[Comparison]:
    methods = design.factors["method"].levels
    for i, first in enumerate(methods):
        for j, second in enumerate(methods):
            if i != j:
                difference = grades[:, i] - grades[:, j]
                higher = float((difference > 0).mean()) if ranked else math.nan
                yield Comparison(first, second, higher, Estimate.of(difference))


def _families(design: Design, by_family: Floats) -> Iterator[FamilyGrade]:
    method, family = design.factors["method"], design.factors["family"]
    pairs = method.codes * len(family.levels) + family.codes
    cases = np.bincount(pairs, minlength=len(method.levels) * len(family.levels)).reshape(len(method.levels), -1)
    for i, name in enumerate(method.levels):
        for j, other in enumerate(family.levels):
            yield FamilyGrade(name, other, Estimate.of(by_family[:, i, j]), int(cases[i, j]))


def _shifted(parameters: Parameters, eta: Floats, shift: Floats) -> Estimate:
    """Expected grade with ``shift`` on all predictors, methods and families weighing equally."""
    exceed = exceedance(parameters, eta + shift[:, None, None])
    return Estimate.of(1 + exceed.sum(axis=0).mean(axis=(1, 2)))


def _judges(design: Design, parameters: Parameters, eta: Floats) -> Iterator[JudgeSeverity]:
    effects = parameters.effects.get("judge")
    for i, judge in enumerate(design.factors["judge"].levels):
        if effects is None:
            alone = len(design.factors["judge"].levels) == 1
            grade = _shifted(parameters, eta, np.zeros(parameters.draws)) if alone else Estimate.unknown()
            yield JudgeSeverity(judge, Estimate.unknown(), grade)
        else:
            yield JudgeSeverity(judge, Estimate.of(-effects[:, i]), _shifted(parameters, eta, effects[:, i]))


def _conditions(design: Design, parameters: Parameters, eta: Floats) -> Iterator[LevelEffect]:
    for name in ("investigator", *CONDITIONS):
        effects = parameters.effects.get(name)
        if effects is None:
            continue
        for i, level in enumerate(design.factors[name].levels):
            effect = effects[:, i]
            yield LevelEffect(name, level, Estimate.of(effect), _shifted(parameters, eta, effect))


def _variance(parameters: Parameters) -> Iterator[VarianceShare]:
    """Main effects and interactions by the mean square over their levels, organisms and runs by their variance."""
    squares = {name: (effect**2).mean(axis=1) for name, effect in parameters.effects.items() if name not in _POPULATION}
    squares |= {name: parameters.sd[name] ** 2 for name in _POPULATION if name in parameters.sd}
    squares["residual"] = np.full(parameters.draws, np.pi**2 / 3)
    total = sum(squares.values(), np.zeros(parameters.draws))
    for name, square in squares.items():
        yield VarianceShare(name, Estimate.of(square / total))
