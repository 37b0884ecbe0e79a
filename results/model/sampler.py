"""NUTS on the compiled density."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import density_arrays
from .layout import Layout
from .terms import Floats
from .whitening import Whitening, mode_of, whiten

__all__ = ["Draws", "compiled_density", "sample"]


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
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        seed=seed,
        save_warmup=False,
        progress_bar=False,
    )
    stats: Mapping[str, Any] = trace.sample_stats
    vectors: Floats = trace.posterior["vector"].to_numpy()
    return Draws(
        vectors=vectors if whitening is None else whitening.vectors(vectors),
        divergences=int(stats["diverging"].sum()),
        steps=float(stats["n_steps"].mean()),
    )


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
