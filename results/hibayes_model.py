"""HiBayES' flat model in place of the hierarchical one: fitted by HiBayES, told in the terms of `results.model`."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .hibayes import CONTROL, HibayesDraws, export_hibayes, fit_with_hibayes
from .model.design import Design, design_of
from .model.diagnostics import diagnose
from .model.fitting import Fit
from .model.layout import Layout, Parameters
from .model.terms import Term, sum_to_zero
from .schema import CONTROL_FAMILY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["fit_flat", "flat_design", "flat_parameters"]

_OURS = {
    "diff_method": "method",
    "organism_type": "family",
    "agent": "investigator",
    "grader": "judge",
    "variant": "variant",
    "budget": "interactions",
    "framing": "framing",
    "blind": "blind",
    "hints": "hints",
}
_RENAMED = {"family": {CONTROL_FAMILY: CONTROL}, "blind": {"True": "blind", "False": "not_blind"}}
_FLAT = "organisms, interactions and runs: HiBayES' model is flat and takes all grades for independent"


def fit_flat(frame: pd.DataFrame, draws: int = 2000, seed: int = 0, *, tune: int | None = None) -> Fit:
    """Fit HiBayES' ordered-logistic model, with its own priors and sampler, in a process of its own.

    Grade k or less has the probability ``logistic(cut_k - eta)``, all grades independent, with

        eta = method + family + investigator + judge + variant + interactions + framing + blind + hints.

    Args:
        frame: One row a grade, with the columns of `results.schema.COLUMNS`.
        draws: Of each of four chains, after tuning.
        seed: Of all chains.
        tune: Tuning draws of each chain; by default HiBayES' 1,000.

    Raises:
        MissingError: When HiBayES is not installed.
        MendableError: For a frame that is empty or no grades frame, an organism in two families, and when HiBayES
            fails.
    """
    started = time.perf_counter()
    design = design_of(frame)
    with tempfile.TemporaryDirectory(prefix="diffbench-hibayes-") as folder:
        export = export_hibayes(frame, Path(folder) / "export", draws=draws, tune=tune or 1000, seed=seed)
        found = fit_with_hibayes(export.folder)
    layout = Layout(flat_design(design, export.factors, export.left_out))
    parameters = flat_parameters(layout.design, found)
    diagnostics = diagnose(parameters, found.chains, found.divergences, gradients=math.nan)
    return Fit(layout, parameters, diagnostics, seed, time.perf_counter() - started, "hibayes")


def flat_design(design: Design, factors: Sequence[str], left_out: Sequence[str]) -> Design:
    """The design with the main effects that an export names, the judge's last, and nothing else."""
    kept = sorted((_OURS[factor] for factor in factors), key=lambda name: name == "judge")
    terms = []
    for name in kept:
        factor = design.factors[name]
        term = Term(name, factor.levels, scale=1.0, pooled=False, basis=sum_to_zero(len(factor.levels)))
        terms.append(term if name == "judge" else replace(term, index=factor.codes))
    return replace(design, terms=tuple(terms), run_effect=False, omitted=(*left_out, _FLAT))


def flat_parameters(design: Design, found: HibayesDraws) -> Parameters:
    """HiBayES' draws under our names, levels in the design's order; its intercept is part of the cutpoints."""
    effects = {}
    for factor, draws in found.effects.items():
        name = _OURS[factor]
        renamed = _RENAMED.get(name, {})
        effects[name] = draws[[renamed.get(level, level) for level in design.factors[name].levels]].to_numpy()
    return Parameters(effects, {}, found.cutpoints - found.intercept[:, None])
