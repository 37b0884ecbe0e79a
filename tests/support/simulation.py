"""Grades simulated from the model with known effects, written without the code that fits it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from diffbench.records.names import DEFAULT_VARIANT, NO_HINTS
from diffbench.results.model.terms import Floats
from diffbench.results.schema import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Size", "Truth", "simulate"]


@dataclass(frozen=True)
class Size:
    """How many of everything; every method meets every organism, investigator and judge."""

    methods: int = 4
    families: int = 4
    organisms: int = 12
    """Dealt to the families in turn."""
    investigators: int = 2
    judges: int = 2
    runs: int = 5
    """Findings for each method, organism and investigator."""

    @property
    def grades(self) -> int:
        """Rows of the frame."""
        return self.methods * self.organisms * self.investigators * self.judges * self.runs


@dataclass(frozen=True)
class Truth:
    """All effects, on the logit scale; main effects and interactions sum to zero."""

    method: Floats
    family: Floats
    investigator: Floats
    judge: Floats
    method_family: Floats
    method_investigator: Floats
    organism: Floats
    method_organism: Floats
    sd: dict[str, float]
    """Of method x family, method x investigator, organism, method x organism and run."""
    cutpoints: Floats

    @property
    def effects(self) -> dict[str, Floats]:
        """By the model's terms, levels in their order, pairs row by row."""
        return {
            "method": self.method,
            "family": self.family,
            "investigator": self.investigator,
            "judge": self.judge,
            "method x family": self.method_family.ravel(),
            "method x investigator": self.method_investigator.ravel(),
            "organism": self.organism,
            "method x organism": self.method_organism.ravel(),
        }

    @classmethod
    def from_prior(cls, size: Size, rng: np.random.Generator) -> Truth:
        """One draw from the model's prior."""
        scales = {
            "method x family": 0.5,
            "method x investigator": 0.5,
            "organism": 1,
            "method x organism": 0.5,
            "run": 1,
        }
        sd = {name: abs(float(rng.normal(0, scale))) for name, scale in scales.items()}
        cumulative = np.cumsum(rng.dirichlet(np.full(5, 2.0)))[:4]
        pairs = _centred(rng.normal(0, sd["method x family"], (size.methods, size.families)))
        shifts = _centred(rng.normal(0, sd["method x investigator"], (size.methods, size.investigators)))
        return cls(
            method=_centred(rng.normal(0, 1, size.methods)),
            family=_centred(rng.normal(0, 1, size.families)),
            investigator=_centred(rng.normal(0, 0.5, size.investigators)),
            judge=_centred(rng.normal(0, 0.5, size.judges)),
            method_family=pairs,
            method_investigator=shifts,
            organism=rng.normal(0, sd["organism"], size.organisms),
            method_organism=rng.normal(0, sd["method x organism"], (size.methods, size.organisms)),
            sd=sd,
            cutpoints=np.log(cumulative / (1 - cumulative)),
        )


def simulate(size: Size, seed: int, truth: Truth | None = None) -> tuple[pd.DataFrame, Truth]:
    """A grades frame of the given size, and the truth behind it: ``truth`` or a draw from the prior.

    For each run r ~ Normal(0, sd_run); for each of its judges grade = 1 + #{k: u > P(grade <= k)} with u uniform and
    ``P(grade <= k) = logistic(cut_k - eta - judge - r)``.
    """
    rng = np.random.default_rng(seed)
    truth = truth or Truth.from_prior(size, rng)
    shape = (size.methods, size.organisms, size.investigators, size.runs, size.judges)
    m, o, a, r, g = (index.ravel() for index in np.indices(shape))
    f = o % size.families
    run = rng.normal(0, truth.sd["run"], shape[:4])[m, o, a, r]
    eta = truth.method[m] + truth.family[f] + truth.investigator[a] + truth.judge[g] + truth.organism[o] + run
    eta += truth.method_family[m, f] + truth.method_investigator[m, a] + truth.method_organism[m, o]
    below = 1 / (1 + np.exp(eta[:, None] - truth.cutpoints))
    grade = 1 + (rng.random(len(eta))[:, None] > below).sum(axis=1)
    return _frame(m, o, f, a, r, g, grade), truth


def _centred(values: Floats) -> Floats:
    """Deviations from the means over each axis: normal draws, given that they sum to zero."""
    for axis in range(values.ndim):
        values = values - values.mean(axis=axis, keepdims=True)
    return values


def _frame(*columns: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    m, o, f, a, r, g, grade = columns

    def names(prefix: str, index: np.ndarray) -> np.ndarray:
        known: np.ndarray = np.array([f"{prefix}{i:02d}" for i in range(index.max() + 1)], dtype=object)[index]
        return known

    method, organism, model = names("method", m), names("organism", o), names("model/", a)
    given = {
        "log": names("log", a),
        "sample": "sim." + organism + "." + method,
        "epoch": r + 1,
        "suite": "sim",
        "organism": organism,
        "family": names("family", f),
        "variant": DEFAULT_VARIANT,
        "method": method,
        "agent": "investigator",
        "agent_model": model,
        "interactions": 10,
        "framing": "standard",
        "blind": False,
        "hints": NO_HINTS,
        "judge": names("judge", g),
        "judge_repeat": 0,
        "grade": grade,
        "tokens": 0,
    }
    return pd.DataFrame(given, columns=list(COLUMNS))
