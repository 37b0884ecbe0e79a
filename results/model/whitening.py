"""Coordinates in which the posterior is round at its mode, so that NUTS crosses it in a few steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .terms import Floats

__all__ = ["Whitening", "mode_of", "whiten"]

LARGEST = 3000
"""Length of the vector up to which a dense matrix is cheaper than the steps it saves."""
_STEP = 1e-4
_FLATTEST = 0.05
"""Least curvature taken for true: priors alone hold every coordinate within a few units."""


@dataclass(frozen=True)
class Whitening:
    """``vector = centre + root @ coordinates`` with a symmetric root, in single precision: half the memory to read."""

    centre: Floats
    root: NDArray[np.float32]

    def start(self, seed: int) -> Floats:
        """Coordinates to start a chain from, spread wider than a normal posterior."""
        return np.random.default_rng(seed).normal(0, 1.5, len(self.centre))

    def vectors(self, coordinates: Floats) -> Floats:
        """The vectors of ``coordinates``, ``[.., size]``."""
        vectors: Floats = self.centre + coordinates @ self.root
        return vectors


def mode_of(density: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    """Where the density is highest, about: a few hundred steps uphill (L-BFGS) from ``start``."""
    from scipy.optimize import minimize

    def falling(vector: Floats) -> tuple[float, Floats]:
        value, gradient = density(vector)
        return -value, -gradient

    return np.asarray(minimize(falling, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x)


def whiten(density: Callable[[Floats], tuple[float, Floats]], mode: Floats) -> Whitening | None:
    """The inverse square root of the curvature at the mode (Laplace's approximation), or None for a long vector.

    It is a change of coordinates only: where the posterior is not normal it costs steps, not correctness. Ridges that
    it straightens: an organism's effect against its family's, and both against the cutpoints.
    """
    size = len(mode)
    if size > LARGEST:
        return None
    slope, curvature = density(mode)[1], np.empty((size, size))
    for i, step in enumerate(np.eye(size) * _STEP):
        curvature[i] = (slope - density(mode + step)[1]) / _STEP
    values, axes = np.linalg.eigh((curvature + curvature.T) / 2)
    root = (axes / np.sqrt(np.maximum(np.abs(values), _FLATTEST))) @ axes.T
    return Whitening(mode, ((root + root.T) / 2).astype(np.float32))
