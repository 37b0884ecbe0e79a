"""How parameters lie in the sampler's flat vector, and the effects and cutpoints that they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .design import GRADES, Design
from .terms import Floats, Ints, Term, sum_to_zero

__all__ = ["CONCENTRATION", "RUN_SCALE", "Layout", "Parameters", "nodes_for"]

RUN_SCALE = 1.0
"""Scale of the half-normal prior of the run effect's sd."""

_LANES = 8
"""The number of nodes is a multiple of it; where it is this number, loops over nodes are compiled for it."""
_MOST_NODES = 64

CONCENTRATION = 2.0
"""Of the Dirichlet prior of the grade probabilities of the average cell."""


@dataclass(frozen=True)
class Parameters:
    """Draws of everything that has a meaning, first axis the draws."""

    effects: dict[str, Floats]
    """By term, ``[draws, levels]``, on the logit scale."""
    sd: dict[str, Floats]
    """By pooled term (and ``run``), ``[draws]``."""
    cutpoints: Floats
    """``[draws, GRADES - 1]``."""

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(self.cutpoints)

    def spread(self, name: str) -> Floats:
        """Sd of a pooled term, zeros where it is left out; ``[draws]``."""
        return self.sd.get(name, np.zeros(self.draws))

    def flat(self) -> dict[str, Floats]:
        """One array of draws for each single quantity, by a name such as ``method[adl]``'s index."""
        named = {f"{name}[{i}]": column for name, effect in self.effects.items() for i, column in enumerate(effect.T)}
        named |= {f"sd[{name}]": draws for name, draws in self.sd.items()}
        return named | {f"cutpoint[{i}]": column for i, column in enumerate(self.cutpoints.T)}


@dataclass(frozen=True)
class Layout:
    """The vector: spreads, coordinates of the cutpoints, then the coefficients of each term.

    A spread s is an sd with a sign, which effects ``basis @ w * s / h`` take over: an sd that may be zero lies in the
    middle of a smooth posterior, and not in the long tail that its logarithm would have.

    The average cell's grade probabilities are ``p = softmax(basis @ z)`` for the coordinates z and the sum-to-zero
    basis (the isometric log-ratio), cutpoints ``logit(p_1 + .. + p_k)``. The Jacobian of z -> p is the product of p.
    """

    design: Design

    @property
    def pooled(self) -> tuple[str, ...]:
        """Names of what has an sd, in the vector's order."""
        names = tuple(term.name for term in self.design.terms if term.pooled)
        return (*names, "run") if self.design.run_effect else names

    @property
    def sd_scales(self) -> Floats:
        """Scale of each sd's half-normal prior."""
        scales = {term.name: term.scale for term in self.design.terms} | {"run": RUN_SCALE}
        return np.array([scales[name] for name in self.pooled])

    @property
    def first_coefficient(self) -> int:
        """Where the terms' coefficients begin."""
        return len(self.pooled) + GRADES - 1

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.first_coefficient + sum(term.columns for term in self.design.terms)

    def start(self, seed: int) -> Floats:
        """A point to start a chain from: near the prior's middle."""
        rng = np.random.default_rng(seed)
        point = rng.normal(0, 0.2, self.size)
        point[: len(self.pooled)] = 0.6 * self.sd_scales * np.exp(point[: len(self.pooled)])
        return point

    def prior(self, draws: int, seed: int) -> Floats:
        """Draws of the vector from the prior, ``[draws, size]``."""
        rng = np.random.default_rng(seed)
        sds = len(self.pooled)
        vector = rng.normal(size=(draws, self.size))
        vector[:, :sds] *= self.sd_scales
        p = rng.dirichlet(np.full(GRADES, CONCENTRATION), size=draws)
        vector[:, sds : self.first_coefficient] = np.log(p) @ sum_to_zero(GRADES)
        for term, columns in self._columns():
            if term.pooled:
                spread = vector[:, [self.pooled.index(term.name)]]
                vector[:, columns] *= np.sqrt(1 + term.information * spread**2)
        return vector

    def parameters(self, vectors: Floats) -> Parameters:
        """Effects, sds and cutpoints of draws of the vector, ``[draws, size]``."""
        sds = len(self.pooled)
        spreads = dict(zip(self.pooled, vectors[:, :sds].T, strict=True))
        effects = {}
        for term, columns in self._columns():
            coefficients = vectors[:, columns]
            effect = coefficients if term.basis is None else coefficients @ term.basis.T
            spread = spreads[term.name][:, None] if term.pooled else np.full((1, 1), term.scale)
            effects[term.name] = effect * spread / np.sqrt(1 + term.information * spread**2)
        logits = vectors[:, sds : self.first_coefficient] @ sum_to_zero(GRADES).T
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        below = np.cumsum(p, axis=1)[:, :-1]
        above = np.cumsum(p[:, ::-1], axis=1)[:, ::-1][:, 1:]
        sd = {name: np.abs(values) for name, values in spreads.items()}
        return Parameters(effects, sd, np.log(below) - np.log(above))

    def predictor(self, parameters: Parameters) -> Floats:
        """Linear predictor of each cell, without judge and run; ``[draws, cells]``."""
        eta = np.zeros((parameters.draws, self.design.cells))
        for term in self.design.terms:
            if term.name != "judge":
                eta += parameters.effects[term.name][:, term.index]
        return eta

    def sd_run(self, vector: Floats) -> float:
        """The run effect's sd in a vector, 0 where there is none."""
        return abs(float(vector[len(self.pooled) - 1])) if self.design.run_effect else 0.0

    def arrays(self, sd_run: float = 0.0) -> tuple[Any, ...]:
        """What `density.log_density` takes after the vector and the gradient, in its order.

        Args:
            sd_run: About what the run effect's sd is; the larger, the more nodes.
        """
        design, nodes = self.design, nodes_for(self.design, sd_run)
        x, weights = np.polynomial.hermite_e.hermegauss(nodes)
        columns, starts, values = self._sparse()
        kinds = np.array([self.pooled.index(t.name) if t.pooled else -1 for t in design.terms], dtype=np.int64)
        levels = np.cumsum([0, *(len(term.levels) for term in design.terms)]).astype(np.int64)
        sizes = np.cumsum([0, *(term.columns for term in design.terms)]).astype(np.int64)
        summands = [term for term in design.terms if term.name != "judge"]
        index = np.column_stack(
            [np.zeros((design.cells, 0), dtype=np.int64), *(t.index + at for t, at in zip(summands, levels))]  # noqa: B905 - the judge has no cells
        )
        return (
            self.sd_scales,
            np.int64(design.run_effect),
            sum_to_zero(GRADES),
            kinds,
            np.array([term.information for term in design.terms], dtype=np.float64),
            sizes,
            levels,
            columns,
            starts,
            values,
            np.ascontiguousarray(index, dtype=np.int64),
            np.int64(levels[-2] if design.term("judge") else -1),
            design.codes,
            design.pattern_start,
            design.pattern_count,
            design.cell_start,
            x.astype(np.float64),
            (weights / weights.sum()).astype(np.float64),
            (0,) * nodes if nodes == _LANES else (),
        )

    def _columns(self) -> list[tuple[Term, slice]]:
        ends = self.first_coefficient + np.cumsum([0, *(term.columns for term in self.design.terms)])
        return [
            (term, slice(int(a), int(b))) for term, a, b in zip(self.design.terms, ends[:-1], ends[1:], strict=True)
        ]

    def _sparse(self) -> tuple[Ints, Ints, Floats]:
        """Rows of all bases, below each other, as compressed sparse rows with the fixed scales in their values."""
        columns, starts, values, first = [], [0], [], 0
        for term in self.design.terms:
            basis = np.eye(len(term.levels)) if term.basis is None else term.basis
            row, column = np.nonzero(basis)
            counts = np.bincount(row, minlength=len(basis))
            starts += (starts[-1] + np.cumsum(counts)).tolist()
            columns.append(column + first)
            values.append(basis[row, column] * (1.0 if term.pooled else term.scale))
            first += term.columns
        empty: list[Floats] = [np.zeros(0)]
        return (
            np.concatenate([*empty, *columns]).astype(np.int64),
            np.array(starts, dtype=np.int64),
            np.concatenate([*empty, *values]).astype(np.float64),
        )


def nodes_for(design: Design, sd_run: float) -> int:
    """Gauss-Hermite nodes: more where a run has more grades, whose likelihood is then narrower in the run's effect.

    And more where runs scatter more: the distance between nodes is ``sd_run`` times about ``pi / sqrt(nodes)``. Eight
    of them at sd 2 pull the sd down by up to half its posterior sd in 432 grades, 32 do not.
    """
    most = int(np.diff(design.pattern_start).max())
    nodes = 8 if most <= 6 else 12 if most <= 16 else 20
    return min(_MOST_NODES, _LANES * math.ceil(nodes * max(1.0, sd_run) ** 2 / _LANES))
