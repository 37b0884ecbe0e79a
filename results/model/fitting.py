"""Fitting the model to a grades frame."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ...records.errors import MendableError
from .design import Design, design_of
from .diagnostics import Diagnostics, diagnose
from .layout import Layout, Parameters
from .sampler import sample
from .summary import Summary, summarise

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fit", "fit"]

CHAINS = 4


@dataclass(frozen=True)
class Fit:
    """The posterior given a frame, what was left out of the model, and whether its draws can be trusted."""

    layout: Layout
    parameters: Parameters
    """Effects, sds and cutpoints of all draws."""
    diagnostics: Diagnostics
    seed: int
    seconds: float
    """Of design, sampling and diagnostics; of HiBayES' whole run, its start and checks included."""
    engine: Literal["diffbench", "hibayes"] = "diffbench"
    """What fitted it. HiBayES' own draws do not lie in the layout's vector."""

    @property
    def design(self) -> Design:
        """What the fit saw of the frame."""
        return self.layout.design

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences: why the draws cannot be trusted; empty when they can."""
        return self.diagnostics.problems

    @cached_property
    def summary(self) -> Summary:
        """What the posterior says of methods, families, judges and conditions; no ranks where there are problems.

        Of HiBayES' flat model without variance shares: organisms and runs have none there.
        """
        found = summarise(self.design, self.parameters, ranked=not self.problems)
        return found if self.engine == "diffbench" else replace(found, variance=())


def fit(frame: pd.DataFrame, draws: int = 1000, seed: int = 0, *, tune: int | None = None, cores: int = 2) -> Fit:
    """Fit the hierarchical ordered-logistic model to a grades frame.

    A run is one finding (log, sample, epoch); judge g gives it a grade of at most k with probability
    ``logistic(cut_k - eta - judge_g - r)``, ``r ~ Normal(0, sd_run)`` shared by all its grades and integrated out:

        eta = method + family + investigator + variant + interactions + framing + blind + hints
              + method x family + method x investigator + organism + method x organism.

    Main effects and interactions sum to zero; interactions and organisms are partially pooled. Prior sds: method and
    family 1, the other main effects .5; half-normal scales of the sds: .5 for what interacts with method, 1 for
    organism and run; Dirichlet(2, .., 2) for the average cell's grade probabilities.

    Args:
        frame: One row a grade, with the columns of `results.schema.COLUMNS`.
        draws: Of each of four chains, after tuning.
        seed: Of all chains. On one machine draws repeat to the last bit, however many chains run at once.
        tune: Tuning draws of each chain; by default 200.
        cores: Chains that run at once.

    Raises:
        MendableError: For a frame that is empty or no grades frame, an organism in two families, fewer than 50 draws.
    """
    if draws < 50:
        raise MendableError(f"draws is {draws}; it must be at least 50, e.g. 1000")
    started = time.perf_counter()
    layout = Layout(design_of(frame))
    sampled = sample(layout, tune=200 if tune is None else tune, draws=draws, chains=CHAINS, seed=seed, cores=cores)
    parameters = layout.parameters(sampled.pooled)
    diagnostics = diagnose(parameters, CHAINS, sampled.divergences, sampled.steps)
    return Fit(layout, parameters, diagnostics, seed, time.perf_counter() - started)
