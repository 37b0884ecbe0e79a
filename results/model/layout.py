"""How parameters lie in the sampler's flat vector, and the effects and cutpoints that they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .design import GRADES, Design
from .terms import Floats, Term, sum_to_zero

__all__ = ["CONCENTRATION", "RUN_SCALE", "Layout", "Parameters"]

RUN_SCALE = 1.0
"""Scale of the half-normal prior of the run effect's sd."""

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

    def _columns(self) -> list[tuple[Term, slice]]:
        ends = self.first_coefficient + np.cumsum([0, *(term.columns for term in self.design.terms)])
        return [
            (term, slice(int(a), int(b))) for term, a, b in zip(self.design.terms, ends[:-1], ends[1:], strict=True)
        ]
