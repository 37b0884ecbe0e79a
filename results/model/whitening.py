"""Coordinates in which the posterior is round at its mode, so that NUTS crosses it in a few steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .terms import Floats

__all__ = ["Whitening", "whiten"]

LARGEST = 3000
"""Length of the vector up to which a dense matrix is cheaper than the steps it saves."""
_STEP = 1e-4
_FLATTEST = 0.05
"""Least curvature taken for true: priors alone hold every coordinate within a few units."""


@dataclass(frozen=True)
class Whitening:
    """``vector = centre + root @ coordinates`` with a symmetric root."""

    centre: Floats
    root: Floats

    def start(self, seed: int) -> Floats:
        """Coordinates to start a chain from, spread wider than a normal posterior."""
        return np.random.default_rng(seed).normal(0, 1.5, len(self.centre))

    def vectors(self, coordinates: Floats) -> Floats:
        """The vectors of ``coordinates``, ``[.., size]``."""
        vectors: Floats = self.centre + coordinates @ self.root
        return vectors


def whiten(density: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Whitening | None:
    """The inverse square root of the curvature at the mode (Laplace's approximation), or None for a long vector.

    It is a change of coordinates only: where the posterior is not normal it costs steps, not correctness. Ridges that
    it straightens: an organism's effect against its family's, and both against the cutpoints.
    """
    from scipy.optimize import minimize

    size = len(start)
    if size > LARGEST:
        return None

    def falling(vector: Floats) -> tuple[float, Floats]:
        value, gradient = density(vector)
        return -value, -gradient

    centre = minimize(falling, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    slope, curvature = density(centre)[1], np.empty((size, size))
    for i, step in enumerate(np.eye(size) * _STEP):
        curvature[i] = (slope - density(centre + step)[1]) / _STEP
    values, axes = np.linalg.eigh((curvature + curvature.T) / 2)
    return Whitening(centre, (axes / np.sqrt(np.maximum(np.abs(values), _FLATTEST))) @ axes.T)
