"""The model's density in plain numpy, to compare the compiled one with."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from diffbench.results.model.arrays import nodes_for
from diffbench.results.model.design import Design
from diffbench.results.model.layout import Layout, Parameters
from scipy import special, stats

__all__ = ["cell_log_likelihood", "plain_log_density"]

Floats = np.ndarray


def plain_log_density(frame: pd.DataFrame, design: Design, vector: Floats, nodes: int) -> float:
    """Log density at ``vector``, finding by finding, from the frame's own rows: no codes, cells or patterns.

    Up to a constant; the vector is read in the order that `Layout` states.
    """
    x, weights = np.polynomial.hermite_e.hermegauss(nodes)
    effects, sd_run, cut, total = _read(design, vector)
    bounds = np.r_[-np.inf, cut, np.inf]
    for _, rows in frame.groupby(["log", "sample", "epoch"]):
        names = _levels(rows.iloc[0])
        eta = sum(effects[term.name][names[term.name]] for term in design.terms if term.name != "judge")
        likelihood = weights / weights.sum()
        for judge, grade in zip(rows["judge"], rows["grade"], strict=True):
            at = eta + effects.get("judge", {}).get(judge, 0.0) + sd_run * x
            likelihood = likelihood * (special.expit(bounds[grade] - at) - special.expit(bounds[grade - 1] - at))
        total += math.log(likelihood.sum())
    return total


def _read(design: Design, vector: Floats) -> tuple[dict[str, dict[str, float]], float, Floats, float]:
    """Effects by term and level, the run effect's sd, the cutpoints, and the log prior."""
    pooled = [term for term in design.terms if term.pooled]
    scales = [term.scale for term in pooled] + [1.0] * design.run_effect
    spreads, z, rest = np.split(vector, [len(scales), len(scales) + 4])
    prior = float(stats.norm(0, scales).logpdf(spreads).sum()) if scales else 0.0
    helmert = np.array([[1.0] * k + [-k] + [0.0] * (4 - k) for k in range(1, 5)])
    logits = z @ (helmert / np.linalg.norm(helmert, axis=1, keepdims=True))
    p = np.exp(logits - special.logsumexp(logits))
    # The Dirichlet density and the Jacobian of z -> p.
    prior += float(stats.dirichlet(np.full(5, 2.0)).logpdf(p) + np.log(p).sum())
    sd = dict(zip([term.name for term in pooled], spreads, strict=False))
    effects = {}
    for term in design.terms:
        basis = np.eye(len(term.levels)) if term.basis is None else term.basis
        w, rest = np.split(rest, [basis.shape[1]])
        spread = sd.get(term.name, term.scale)
        h = math.sqrt(1 + term.information * spread**2)
        prior += float(stats.norm(0, h).logpdf(w).sum())
        effects[term.name] = dict(zip(term.levels, basis @ w * spread / h, strict=True))
    assert not len(rest)
    cut = special.logit(np.cumsum(p)[:-1])
    return effects, float(spreads[-1]) if design.run_effect else 0.0, cut, prior


def _levels(row: pd.Series) -> dict[str, str]:
    """Level of a finding in each term, named as the design names it."""
    names = {
        name: str(row[name]) for name in ("method", "family", "variant", "interactions", "framing", "blind", "hints")
    }
    names["investigator"] = f"{row['agent']} with {row['agent_model']}"
    names["organism"] = f"{row['suite']}.{row['organism']}"
    return names | {
        f"method x {other}": f"{names['method']}, {names[other]}" for other in ("family", "investigator", "organism")
    }


def cell_log_likelihood(layout: Layout, parameters: Parameters) -> Floats:
    """Log likelihood of each cell's grades, the run effect integrated out; ``[draws, cells]``."""
    design = layout.design
    eta = layout.predictor(parameters)
    judge = parameters.effects.get("judge", np.zeros((parameters.draws, 1)))
    sd_run = parameters.spread("run")
    x, weights = np.polynomial.hermite_e.hermegauss(nodes_for(design, float(sd_run.max())) if design.run_effect else 1)
    log_weights = np.log(weights / weights.sum())
    cell_of_pattern = np.repeat(np.arange(design.cells), np.diff(design.patterns.cell_start))
    cell_of_code = np.repeat(cell_of_pattern, np.diff(design.patterns.pattern_start))
    log_likelihood = np.empty((parameters.draws, design.cells))
    for draw in range(parameters.draws):
        at = eta[draw, :, None, None] + judge[draw, :, None] + sd_run[draw] * x
        table = _log_probabilities(at, parameters.cutpoints[draw])
        judges = len(judge[draw])
        picked = table.transpose(0, 1, 3, 2).reshape(design.cells, -1, len(x))
        codes = design.patterns.codes if judges > 1 else design.patterns.codes % 5
        by_pattern = np.add.reduceat(picked[cell_of_code, codes], design.patterns.pattern_start[:-1], axis=0)
        pattern = np.logaddexp.reduce(by_pattern + log_weights, axis=1) * design.patterns.pattern_count
        log_likelihood[draw] = np.add.reduceat(pattern, design.patterns.cell_start[:-1])
    return log_likelihood


def _log_probabilities(eta: Floats, cutpoints: Floats) -> Floats:
    """Ordered-logistic log probabilities, ``[..., grades]``, without differences of nearly equal numbers."""
    z = cutpoints - eta[..., None]
    at_most, above = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    zero = np.zeros_like(eta)[..., None]
    gaps = np.concatenate([[0.0], np.log(-np.expm1(-np.diff(cutpoints))), [0.0]])
    table: Floats = np.concatenate([at_most, zero], axis=-1) + np.concatenate([zero, above], axis=-1) + gaps
    return table
