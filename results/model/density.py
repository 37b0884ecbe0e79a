"""The model's log density and its gradient, compiled. Imports numba: import it in functions only.

With f = exp(eta + judge + sd_run * node), t_k = f * exp(-cut_k) and s_k = P(grade <= k) = 1 / (1 + t_k):

    p_1 = s_1,  p_k = (t_{k-1} - t_k) s_k s_{k-1},  p_K = t_{K-1} s_{K-1},
    d log p_k / d eta       = s_k + s_{k-1} - 1            (s_0 = 0, s_K = 1),
    d log p_k / d cut_k     = 1 + a_k - s_k,               a_k = t_k / (t_{k-1} - t_k), a_1 = 0,
    d log p_k / d cut_{k-1} = -a_k - s_{k-1},              a_K = 0.

No difference of nearly equal numbers is taken: exp(-cut_{k-1}) - exp(-cut_k) follows from the average cell's grade
probabilities, and so does a_k, which depends on nothing else. A run with grades y has likelihood
``sum_q weight_q prod_i p_{y_i}(node_q)``.
"""

from __future__ import annotations

import numpy as np

from .arrays import DensityArrays, TermArrays
from .compiled import compiled
from .likelihood import MOST, cells_likelihood
from .terms import Floats

__all__ = ["log_density"]

_LEAST = 1e-60


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def log_density(vector: Floats, gradient: Floats, arrays: DensityArrays) -> float:
    """Log density of the posterior at ``vector`` (up to a constant), with its ``gradient`` filled in."""
    terms, node = arrays.terms, arrays.nodes.at
    sds, cuts = len(terms.sd_scales), arrays.cut_basis.shape[1]
    gradient[:] = 0.0
    total = _sd_priors(vector, gradient, terms.sd_scales)
    p, below, above = _average_grades(vector[sds : sds + cuts], arrays.cut_basis)
    spread_run = vector[sds - 1] if arrays.run_effect else 0.0
    if not (below[0] > _LEAST and above[-1] > _LEAST and abs(spread_run) * node[-1] < MOST):
        return -np.inf
    total += 2.0 * np.log(p).sum()
    coefficients, slopes = vector[sds + cuts :], gradient[sds + cuts :]
    raw, effect = _effects(coefficients, vector, terms)
    total += _effect_priors(coefficients, slopes, vector, gradient, terms)
    effect_slope, cut_slope = np.zeros(len(effect)), np.zeros(cuts)
    likelihood, run_slope = cells_likelihood(
        effect, effect_slope, cut_slope, p, below, above, np.exp(spread_run * node), arrays.grades, arrays.nodes
    )
    if arrays.run_effect:
        gradient[sds - 1] += run_slope
    _cut_gradient(gradient[sds : sds + cuts], cut_slope, arrays.cut_basis, p, below, above)
    _effect_gradient(slopes, gradient, vector, raw, effect_slope, terms)
    density: float = total + likelihood
    return density


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _sd_priors(vector: Floats, gradient: Floats, scales: Floats) -> float:
    """Half-normal priors of the sds: normal ones of the signed spreads."""
    total = 0.0
    for i in range(len(scales)):
        total -= 0.5 * (vector[i] / scales[i]) ** 2
    for i in range(len(scales)):
        gradient[i] = -vector[i] / scales[i] ** 2
    return total


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _average_grades(coordinates: Floats, basis: Floats) -> tuple[Floats, Floats, Floats]:
    """Grade probabilities of the average cell, their sums from below up to each cutpoint, and from above down to it."""
    grades, cuts = basis.shape
    logits = np.zeros(grades)
    for k in range(grades):
        logit = 0.0
        for i in range(cuts):
            logit += basis[k, i] * coordinates[i]
        logits[k] = logit
    p = np.exp(logits - logits.max())
    p /= p.sum()
    below, above = np.empty(cuts), np.empty(cuts)
    below[0], above[cuts - 1] = p[0], p[cuts]
    for k in range(1, cuts):
        below[k] = below[k - 1] + p[k]
        above[cuts - 1 - k] = above[cuts - k] + p[cuts - k]
    return p, below, above


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _effects(coefficients: Floats, vector: Floats, terms: TermArrays) -> tuple[Floats, Floats]:
    """``raw = basis @ coefficients`` and ``raw * s / h`` of all terms' levels, ``h^2 = 1 + information * s^2``."""
    raw, effect = np.empty(terms.first_level[-1]), np.empty(terms.first_level[-1])
    for term in range(len(terms.sd_of_term)):
        factor = 1.0
        if terms.sd_of_term[term] >= 0:
            spread = vector[terms.sd_of_term[term]]
            factor = spread / np.sqrt(1.0 + terms.information[term] * spread * spread)
        for level in range(terms.first_level[term], terms.first_level[term + 1]):
            value = 0.0
            for j in range(terms.basis_start[level], terms.basis_start[level + 1]):
                value += terms.basis_value[j] * coefficients[terms.basis_column[j]]
            raw[level] = value
            effect[level] = value * factor
    return raw, effect


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _effect_priors(coefficients: Floats, slopes: Floats, vector: Floats, gradient: Floats, terms: TermArrays) -> float:
    """Normal priors of the coefficients, with sd h where the term is pooled."""
    total = 0.0
    for term in range(len(terms.sd_of_term)):
        sd, first, end = terms.sd_of_term[term], terms.first_column[term], terms.first_column[term + 1]
        spread = vector[sd] if sd >= 0 else 0.0
        informed = terms.information[term] * spread
        precision = 1.0 / (1.0 + informed * spread)
        squares = 0.0
        for i in range(first, end):
            squares += coefficients[i] * coefficients[i]
        for i in range(first, end):
            slopes[i] = -precision * coefficients[i]
        total -= 0.5 * (squares * precision + (end - first) * np.log(1.0 + informed * spread))
        if sd >= 0:
            gradient[sd] += informed * precision * (squares * precision - (end - first))
    return total


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _cut_gradient(gradient: Floats, cut_slope: Floats, basis: Floats, p: Floats, below: Floats, above: Floats) -> None:
    """Through cut_k = log(below_k) - log(above_k) and the softmax to the coordinates, with the Dirichlet prior."""
    grades, cuts = basis.shape
    slope = np.zeros(grades)
    for k in range(cuts):
        for j in range(grades):
            slope[j] += cut_slope[k] / below[k] if j <= k else -cut_slope[k] / above[k]
    mean = (slope * p).sum()
    for j in range(grades):
        at_logit = p[j] * (slope[j] - mean) + 2.0 - 2.0 * grades * p[j]
        for i in range(cuts):
            gradient[i] += basis[j, i] * at_logit


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _effect_gradient(
    slopes: Floats, gradient: Floats, vector: Floats, raw: Floats, effect_slope: Floats, terms: TermArrays
) -> None:
    """From the slopes in all levels' effects to those in the coefficients and in the spreads."""
    for term in range(len(terms.sd_of_term)):
        sd, share, factor = terms.sd_of_term[term], 0.0, 1.0
        if sd >= 0:
            spread = vector[sd]
            share = 1.0 / np.sqrt(1.0 + terms.information[term] * spread * spread)
            factor = spread * share
        scaled = 0.0
        for level in range(terms.first_level[term], terms.first_level[term + 1]):
            scaled += effect_slope[level] * raw[level]
        if sd >= 0:
            gradient[sd] += share**3 * scaled
        for level in range(terms.first_level[term], terms.first_level[term + 1]):
            for j in range(terms.basis_start[level], terms.basis_start[level + 1]):
                slopes[terms.basis_column[j]] += factor * effect_slope[level] * terms.basis_value[j]
