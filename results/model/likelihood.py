"""The likelihood of all cells and its slopes, compiled. Imports numba: import it in functions only.

The formulas stand in `results.model.density`. Tables over grades and nodes are flat, the nodes together. The innermost
loops over nodes are of `BLOCK` steps, a number that the compiler knows: one of as many steps as there are nodes costs a
quarter to a half more time.
"""

from __future__ import annotations

import numpy as np

from .arrays import BLOCK, GradeArrays, NodeArrays
from .compiled import compiled
from .design import GRADES
from .terms import Floats, Ints

__all__ = ["MOST", "cells_likelihood"]

MOST = 150.0
"""A predictor of this size is no part of a posterior; beyond it exponentials could overflow."""
CUTS = GRADES - 1
_UNDERFLOW = 1e-250
_SMALL = 1e-100
"""Likelihoods are multiplied until they are smaller; the logarithm is taken then."""


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def cells_likelihood(
    effect: Floats,
    effect_slope: Floats,
    cut_slope: Floats,
    p: Floats,
    below: Floats,
    above: Floats,
    exp_node: Floats,
    grades: GradeArrays,
    node: NodeArrays,
) -> tuple[float, float]:
    """Log likelihood of all cells and its slope in the run effect's nodes; fills those of effects and cutpoints."""
    nodes, cuts, first_judge, cell_levels = len(node.at), CUTS, grades.first_judge, grades.cell_levels
    odds, gaps, a = _tables(p, below, above, exp_node)
    nodes_of_cuts = np.empty(cuts * nodes)
    for i in range(cuts * nodes):
        nodes_of_cuts[i] = node.at[i % nodes]
    judges = len(effect) - first_judge if first_judge >= 0 else 1
    s, table = np.empty((judges, cuts * nodes)), np.empty((judges, len(gaps)))
    weight, used = np.zeros((judges, len(gaps))), np.zeros(judges, dtype=np.bool_)
    weights, crossings = np.zeros(len(gaps)), np.zeros(cuts * nodes)
    product = np.empty(nodes)
    total, run_slope = 0.0, 0.0
    for cell in range(len(cell_levels)):
        eta = 0.0
        for i in range(cell_levels.shape[1]):
            eta += effect[cell_levels[cell, i]]
        used[:] = False
        first, last = grades.cell_start[cell], grades.cell_start[cell + 1]
        for i in range(grades.pattern_start[first], grades.pattern_start[last]):
            used[grades.codes[i] // GRADES] = True
        for g in range(judges):
            if used[g]:
                shift = eta + effect[first_judge + g] if first_judge >= 0 else eta
                if not abs(shift) < 2.0 * MOST:
                    return -np.inf, 0.0
                _probabilities(np.exp(shift), odds, gaps, s[g], table[g], nodes)
                weight[g, :] = 0.0
        total += _patterns(table.ravel(), weight.ravel(), product, grades, first, last, node.weight)
        for g in range(judges):
            if used[g]:
                slope, by_node = _slopes(weight[g], s[g], nodes_of_cuts, weights, crossings, nodes)
                run_slope += by_node
                if first_judge >= 0:
                    effect_slope[first_judge + g] += slope
                for i in range(cell_levels.shape[1]):
                    effect_slope[cell_levels[cell, i]] += slope
    for k in range(cuts):
        here, after = weights[k * nodes : (k + 1) * nodes].sum(), weights[(k + 1) * nodes : (k + 2) * nodes].sum()
        cut_slope[k] = (1.0 + a[k]) * here - a[k + 1] * after - crossings[k * nodes : (k + 1) * nodes].sum()
    return total, run_slope


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _tables(p: Floats, below: Floats, above: Floats, exp_node: Floats) -> tuple[Floats, Floats, Floats]:
    """t_k and t_{k-1} - t_k for f = exp_node, flat over cutpoints (grades) and nodes; and a_k."""
    nodes, cuts = len(exp_node), len(below)
    odds, gaps, a = np.empty(cuts * nodes), np.ones((cuts + 1) * nodes), np.zeros(cuts + 1)
    for k in range(cuts):
        odd = above[k] / below[k]
        gap = 1.0
        if k > 0:
            gap = p[k] * (below[k] + above[k]) / (below[k - 1] * below[k])
            a[k] = odd / gap
        for q in range(nodes):
            odds[k * nodes + q] = odd * exp_node[q]
            gaps[k * nodes + q] = gap * exp_node[q]
            gaps[cuts * nodes + q] = odd * exp_node[q]
    return odds, gaps, a


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _probabilities(f: float, odds: Floats, gaps: Floats, s: Floats, table: Floats, nodes: int) -> None:
    """s_k and p_k of one judge in one cell at all nodes."""
    size = CUTS * nodes
    for i in range(size):
        s[i] = 1.0 / (1.0 + f * odds[i])
    for i in range(nodes):
        table[i] = s[i]
        table[size + i] = f * gaps[size + i] * s[size - nodes + i]
    for i in range(nodes, size):
        table[i] = f * gaps[i] * s[i] * s[i - nodes]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _patterns(
    table: Floats, weight: Floats, product: Floats, grades: GradeArrays, first: int, last: int, node_weight: Floats
) -> float:
    """Log likelihood of one cell's patterns; adds to ``weight`` the posterior weight of each node, at each grade."""
    total, pending, nodes, codes = 0.0, 1.0, len(node_weight), grades.codes
    for pattern in range(first, last):
        start, end = grades.pattern_start[pattern], grades.pattern_start[pattern + 1]
        count = grades.pattern_count[pattern]
        likelihood = 0.0
        for block in range(0, nodes, BLOCK):
            for q in range(BLOCK):
                product[block + q] = node_weight[block + q]
            for i in range(start, end):
                at = codes[i] * nodes + block
                for q in range(BLOCK):
                    product[block + q] *= table[at + q]
            for q in range(BLOCK):
                likelihood += product[block + q]
        if not likelihood > _UNDERFLOW:
            likelihood, log_scale = _by_logarithms(table, product, codes[start:end], node_weight)
            total += count * log_scale
        total, pending = _taken(likelihood, count, total, pending)
        scale = count / likelihood
        for block in range(0, nodes, BLOCK):
            for q in range(BLOCK):
                product[block + q] *= scale
            for i in range(start, end):
                at = codes[i] * nodes + block
                for q in range(BLOCK):
                    weight[at + q] += product[block + q]
    total += float(np.log(pending))
    return total


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _taken(likelihood: float, count: float, total: float, pending: float) -> tuple[float, float]:
    """The log likelihood with that of one more pattern, and the product whose logarithm is still to be taken."""
    if count != 1.0 or likelihood <= _SMALL:
        return total + count * float(np.log(likelihood)), pending
    pending *= likelihood
    return (total, pending) if pending >= _SMALL else (total + float(np.log(pending)), 1.0)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _by_logarithms(table: Floats, product: Floats, codes: Ints, node_weight: Floats) -> tuple[float, float]:
    """The same products over their largest, for many or very unlikely grades; their sum and the largest's logarithm."""
    nodes = len(node_weight)
    for q in range(nodes):
        product[q] = np.log(node_weight[q])
        for code in codes:
            product[q] += np.log(max(table[code * nodes + q], 1e-300))
    most = product.max()
    for q in range(nodes):
        product[q] = np.exp(product[q] - most)
    return product.sum(), most


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _slopes(
    weight: Floats, s: Floats, node: Floats, weights: Floats, crossings: Floats, nodes: int
) -> tuple[float, float]:
    """Slopes in eta and, times the node, in the run effect; adds what the cutpoints' slopes are made of.

    Of sum_k w_k (s_k + s_{k-1} - 1) remains sum_k (w_k + w_{k+1}) s_k - w_k over the cutpoints.
    """
    for i in range(CUTS * nodes):
        crossings[i] += (weight[i] + weight[i + nodes]) * s[i]
    for i in range(GRADES * nodes):
        weights[i] += weight[i]
    slope, by_node = 0.0, 0.0
    for i in range(CUTS * nodes):
        here = (weight[i] + weight[i + nodes]) * s[i] - weight[i]
        slope += here
        by_node += here * node[i]
    return slope, by_node
