"""The model's part in a leaderboard: fitting it where that is possible, and what it expects of the findings made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...records.errors import MendableError, MissingError
from ...records.progress import Track, ticking
from ..hibayes_model import fit_flat
from ..model import Fit, Stability, fit, leave_one_organism_out
from ..model.design import GRADES
from ..model.layout import Parameters
from ..model.summary import exceedance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENGINES", "FitOutcome", "ModelRun", "fitted_shares", "run_model"]

ENGINES = {"diffbench": "hierarchical ordinal model", "hibayes": "HiBayES' flat ordinal model"}
"""What can fit the grades, and what it is called."""

_FITTED_DRAWS = 100
_MORE, _MORE_TUNING = 4, 1500
_REFIT = 0.35
"""Time of a fit without an organism, to that of the whole fit with 500 draws."""
_PATIENCE = 300.0
"""Seconds of such fits that are spent unasked."""
_NO_FIT = (MendableError, np.linalg.LinAlgError, RuntimeError)
"""What the model, its linear algebra and its sampler raise for grades that they cannot take."""
_INSTALL = "pip install 'diffbench[results]'"
_FLAT_NOTES = (
    "Intervals of HiBayES' flat model are too narrow, and P(A > B), P(best) and ranks too sure: it takes grades of one "
    "finding, and findings on one organism, for independent. In simulations its 90 % intervals held the truth in 67 %. "
    "Variance shares and leave-one-organism-out are not computed of it; diffbench's own engine has both.",
)


@dataclass(frozen=True)
class ModelRun:
    """How the model was fitted, and whether its draws can be trusted."""

    engine: str
    """One of `ENGINES`."""
    draws: int
    """After tuning, over all chains."""
    seed: int
    seconds: float
    r_hat: float
    ess_bulk: float
    ess_tail: float
    divergences: int
    problems: tuple[str, ...]
    """Why no ranking is read off it; empty when it can be."""
    omitted: tuple[str, ...]
    """What the grades cannot tell and is therefore not in the model."""
    grades: int
    runs: int
    cells: int

    @classmethod
    def of(cls, fitted: Fit) -> ModelRun:
        """The figures of a fit."""
        found = fitted.diagnostics
        return cls(
            engine=fitted.engine,
            draws=found.draws,
            seed=fitted.seed,
            seconds=fitted.seconds,
            r_hat=found.r_hat,
            ess_bulk=found.ess_bulk,
            ess_tail=found.ess_tail,
            divergences=found.divergences,
            problems=fitted.problems,
            omitted=fitted.design.omitted,
            grades=fitted.design.grades,
            runs=fitted.design.runs,
            cells=fitted.design.cells,
        )

    @property
    def name(self) -> str:
        """What the model is called."""
        return ENGINES[self.engine]


@dataclass(frozen=True)
class FitOutcome:
    """A fit with the order's stability, or why there is none."""

    fit: Fit | None = None
    stability: Stability | None = None
    notes: tuple[str, ...] = ()


def run_model(
    frame: pd.DataFrame, draws: int, seed: int, loo: bool | None, track: Track, cores: int, engine: str
) -> FitOutcome:
    """Fit the model, and fit it again without each organism; a note where either cannot be done.

    Raises:
        MissingError: When HiBayES is to fit and is not installed.
        MendableError: For fewer than 50 draws and an unknown engine.
    """
    if draws < 50:
        raise MendableError(f"draws is {draws}; it must be at least 50, e.g. 500")
    if engine not in ENGINES:
        raise MendableError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    try:
        found, again = _fit(frame, draws, seed, track, partial(fit, cores=cores) if engine == "diffbench" else fit_flat)
    except ModuleNotFoundError as error:
        return FitOutcome(notes=(f"The model was not fitted: {error}; install what it needs with: {_INSTALL}",))
    except MissingError:
        raise
    except _NO_FIT as error:
        # Grades of any shape come from logs: what the model refuses still has its means.
        return FitOutcome(notes=(f"The model could not be fitted: {error}",))
    if found.engine == "hibayes":
        return FitOutcome(found, notes=(*again, *_FLAT_NOTES))
    expected = _REFIT * found.seconds * len(found.design.factors["organism"].levels)
    if loo is None and expected > _PATIENCE:
        why = f"would have taken about {expected / 60:.0f} minutes; ask for it with --loo"
        return FitOutcome(found, notes=(*again, f"Leave-one-organism-out {why}."))
    if loo is False:
        return FitOutcome(found, notes=(*again, "Leave-one-organism-out was switched off."))
    stable = _with_stability(found, frame, track, cores)
    return replace(stable, notes=(*again, *stable.notes))


def _fit(
    frame: pd.DataFrame, draws: int, seed: int, track: Track, fitter: Callable[..., Fit]
) -> tuple[Fit, tuple[str, ...]]:
    """Fit, and where the draws cannot be trusted once more with more of them and longer tuning; why, as notes."""
    with ticking(track, 1, f"Fitting the model to {len(frame)} grades") as tick:
        found = fitter(frame, draws=draws, seed=seed)
        tick()
    if not found.problems:
        return found, ()
    why = f"The first fit was not good enough ({'; '.join(found.problems)}): this is a longer one."
    with ticking(track, 1, f"Fitting it again with {_MORE} times as many draws") as tick:
        found = fitter(frame, draws=_MORE * draws, seed=seed, tune=_MORE_TUNING)
        tick()
    return found, (why,)


def _with_stability(found: Fit, frame: pd.DataFrame, track: Track, cores: int) -> FitOutcome:
    organisms = found.design.factors["organism"].levels
    if found.problems or len(organisms) < 3 or len(found.summary.methods) < 2:
        why = (
            "no ranking" if found.problems else f"{len(found.summary.methods)} method(s), {len(organisms)} organism(s)"
        )
        return FitOutcome(found, notes=(f"Leave-one-organism-out was not computed: {why}.",))
    try:
        return FitOutcome(found, leave_one_organism_out(found, frame, cores=cores, track=track))
    except _NO_FIT as error:
        return FitOutcome(found, notes=(f"Leave-one-organism-out could not be computed: {error}",))


def fitted_shares(found: Fit) -> dict[str, tuple[float, ...]]:
    """By method, the shares of grades 1..5 that the model expects of the very findings and judges of the frame.

    The mean over 100 draws; the run effect is integrated out.
    """
    design, parameters = found.design, _thinned(found.parameters)
    weights = _grades_by_cell_and_judge(found)
    judge = parameters.effects.get("judge", np.zeros((parameters.draws, weights.shape[1])))
    eta = found.layout.predictor(parameters)
    expected = np.zeros((design.cells, GRADES))
    for g in range(weights.shape[1]):
        above = exceedance(parameters, eta + judge[:, [g]], ["run"])
        shares = -np.diff(above, prepend=1.0, append=0.0, axis=0).mean(axis=1)
        expected += weights[:, [g]] * shares.T
    shares_of = {}
    for i, method in enumerate(design.factors["method"].levels):
        total = expected[design.factors["method"].codes == i].sum(axis=0)
        shares_of[method] = tuple((total / total.sum()).tolist())
    return shares_of


def _thinned(parameters: Parameters) -> Parameters:
    step = max(1, parameters.draws // _FITTED_DRAWS)
    return Parameters(
        {name: effect[::step] for name, effect in parameters.effects.items()},
        {name: sd[::step] for name, sd in parameters.sd.items()},
        parameters.cutpoints[::step],
    )


def _grades_by_cell_and_judge(found: Fit) -> np.ndarray:
    """Numbers of grades, ``[cells, judges]``."""
    design = found.design
    lengths = np.diff(design.patterns.pattern_start)
    cell = np.repeat(np.repeat(np.arange(design.cells), np.diff(design.patterns.cell_start)), lengths)
    counts = np.zeros((design.cells, len(design.factors["judge"].levels)))
    np.add.at(counts, (cell, design.patterns.codes // GRADES), np.repeat(design.patterns.pattern_count, lengths))
    return counts
