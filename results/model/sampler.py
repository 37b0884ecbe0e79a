"""NUTS on the compiled density, in coordinates in which the posterior is round at its mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import density_arrays
from .layout import Layout
from .terms import Floats

__all__ = ["Draws", "Whitening", "compiled_density", "mode_of", "sample", "whiten"]

LARGEST = 3000
"""Length of the vector up to which a dense matrix is cheaper than the steps it saves."""
_STEP = 1e-4
_FLATTEST = 0.05
"""Least curvature taken for true: priors alone hold every coordinate within a few units."""


@dataclass(frozen=True)
class Draws:
    """Draws of the flat vector after tuning."""

    vectors: Floats
    """``[chains, draws, size]``."""
    divergences: int
    steps: float
    """Mean number of gradients a draw took."""

    @property
    def pooled(self) -> Floats:
        """All chains behind each other, ``[chains * draws, size]``."""
        return self.vectors.reshape(-1, self.vectors.shape[-1])


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


def compiled_density(layout: Layout, sd_run: float = 0.0) -> Callable[[Floats], tuple[float, Floats]]:
    """The log density and its gradient as a function of the flat vector (compiled on first use, then cached).

    Args:
        layout: How the vector is read.
        sd_run: About what the run effect's sd is; it decides the number of nodes.

    Raises:
        IndexError: When the parts of the layout's design do not fit together; the function, for a vector of another
            size than the layout's.
    """
    from .density import log_density

    size, arrays = layout.size, density_arrays(layout.design, layout.sd_scales, sd_run)

    def density(vector: Floats, **_: object) -> tuple[float, Floats]:
        if vector.shape != (size,):
            raise IndexError(f"the vector has the shape {vector.shape}; it must be ({size},)")
        # A copy: the sampler's own array may be read-only, which is another type and would be compiled for anew.
        point, gradient = np.array(vector), np.empty(len(vector))
        return float(log_density(point, gradient, arrays)), gradient

    return density


def sample(layout: Layout, *, tune: int, draws: int, chains: int, seed: int, cores: int = 2) -> Draws:
    """Sample with NUTS (Hoffman and Gelman 2014, in nutpie's implementation).

    The compiled density runs outside the interpreter's lock, so that chains in threads run at once.
    """
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    density, mode = compiled_density(layout), layout.start(seed)
    for _ in range(2):  # Compiles, too, before threads start.
        mode = mode_of(density, mode)
        density = compiled_density(layout, layout.sd_run(mode))
    whitening = whiten(density, mode)

    def expand(*_: object) -> Callable[..., dict[str, Floats]]:
        return _keep

    model = from_pyfunc(
        layout.size,
        lambda: density if whitening is None else _whitened(density, whitening),
        expand,
        [np.dtype("float64")],
        [(layout.size,)],
        ["vector"],
        make_initial_point_fn=layout.start if whitening is None else whitening.start,
    )
    trace = nutpie.sample(
        model, draws=draws, tune=tune, chains=chains, cores=cores, seed=seed, save_warmup=False, progress_bar=False
    )
    stats: Mapping[str, Any] = trace.sample_stats
    vectors: Floats = trace.posterior["vector"].to_numpy()
    return Draws(
        vectors=vectors if whitening is None else whitening.vectors(vectors),
        divergences=int(stats["diverging"].sum()),
        steps=float(stats["n_steps"].mean()),
    )


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


def _whitened(
    density: Callable[[Floats], tuple[float, Floats]], whitening: Whitening
) -> Callable[..., tuple[float, Floats]]:
    from .compiled import symmetric_product

    def at(coordinates: Floats, **_: object) -> tuple[float, Floats]:
        moved = symmetric_product(whitening.root, np.array(coordinates))
        value, gradient = density(whitening.centre + moved)
        return value, symmetric_product(whitening.root, gradient)

    return at


def _keep(vector: Floats, **_: object) -> dict[str, Floats]:
    return {"vector": np.array(vector)}
