"""What the prior says before any grade, and how much the order of methods hangs on single organisms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...records.errors import MendableError
from ...records.progress import Track, untracked
from .design import GRADES, design_of
from .fitting import Fit
from .layout import Layout
from .sampler import sample
from .summary import Estimate, expected_grades

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Stability", "WithoutOrganism", "leave_one_organism_out", "prior_predictive"]


@dataclass(frozen=True)
class WithoutOrganism:
    """The methods when one organism is left out."""

    organism: str
    order: tuple[str, ...]
    """By falling expected grade."""
    agreement: float
    """Kendall's tau with the order on all organisms, -1..1."""
    largest_shift: float
    """Of a method's expected grade, in grades."""


@dataclass(frozen=True)
class Stability:
    """How the order of methods holds when organisms are left out one by one."""

    order: tuple[str, ...]
    """On all organisms."""
    without: tuple[WithoutOrganism, ...]

    @property
    def same_best(self) -> float:
        """Share of the refits with the same best method."""
        return float(np.mean([refit.order[0] == self.order[0] for refit in self.without]))

    @property
    def same_order(self) -> float:
        """Share of the refits with the very same order."""
        return float(np.mean([refit.order == self.order for refit in self.without]))


def prior_predictive(frame: pd.DataFrame, draws: int = 1000, seed: int = 0) -> tuple[Estimate, ...]:
    """Share of each grade, 1..5, in data of the frame's shape drawn from the prior.

    The interval is over prior draws of all parameters, each with the run effects of its own; one grade is drawn for
    each cell's average judge.

    Raises:
        MendableError: For a frame that is empty or no grades frame.
    """
    layout = Layout(design_of(frame))
    parameters = layout.parameters(layout.prior(draws, seed))
    rng = np.random.default_rng(seed + 1)
    eta = layout.predictor(parameters)
    eta += parameters.spread("run")[:, None] * rng.normal(size=eta.shape)
    below = 1 / (1 + np.exp(np.clip(eta[..., None] - parameters.cutpoints[:, None, :], -700, 700)))
    grades = (rng.random(eta.shape)[..., None] > below).sum(axis=-1)
    return tuple(Estimate.of((grades == grade).mean(axis=1)) for grade in range(GRADES))


def leave_one_organism_out(
    fit: Fit,
    frame: pd.DataFrame,
    organisms: Sequence[str] | None = None,
    *,
    draws: int = 150,
    cores: int = 2,
    track: Track = untracked,
) -> Stability:
    """Refit without each organism in turn, with two shorter chains: importance sampling fails at that distance.

    Args:
        fit: The fit of ``frame``.
        frame: Its grades.
        organisms: Which to leave out, as ``<suite>.<name>``; by default each.
        draws: Of each of two chains, after as many tuning draws and 100.
        cores: Chains that run at once.
        track: Shows how many organisms were left out.

    Raises:
        MendableError: When there is only one method or one organism, or for an unknown organism.
    """
    known = fit.design.factors["organism"].levels
    methods = fit.design.factors["method"].levels
    if len(known) < 2 or len(methods) < 2:
        raise MendableError(f"{len(methods)} method(s) on {len(known)} organism(s); both must be at least two")
    unknown = sorted(set(organisms or ()) - set(known))
    if unknown:
        raise MendableError(f"unknown organism {unknown[0]!r}; the frame has {', '.join(known)}")
    full = expected_grades(fit.design, fit.parameters).mean(axis=0)
    names = frame["suite"].astype(str) + "." + frame["organism"].astype(str)
    without = []
    for organism in track(organisms or known, "Leaving out organisms one by one"):
        layout = Layout(design_of(frame[names != organism]))
        sampled = sample(layout, tune=draws + 100, draws=draws, chains=2, seed=fit.seed + 1, cores=cores)
        found = expected_grades(layout.design, layout.parameters(sampled.pooled)).mean(axis=0)
        without.append(_compare(organism, methods, full, layout.design.factors["method"].levels, found))
    return Stability(_order(methods, full), tuple(without))


def _compare(
    organism: str, methods: tuple[str, ...], full: np.ndarray, left: tuple[str, ...], found: np.ndarray
) -> WithoutOrganism:
    """Compare over the methods that were also run on other organisms."""
    from scipy.stats import kendalltau

    before = np.array([full[methods.index(name)] for name in left])
    tau = float(kendalltau(before, found).statistic) if len(left) > 1 else math.nan
    return WithoutOrganism(organism, _order(left, found), tau, float(np.abs(found - before).max()))


def _order(methods: tuple[str, ...], grades: np.ndarray) -> tuple[str, ...]:
    return tuple(methods[i] for i in np.argsort(-grades, kind="stable"))
