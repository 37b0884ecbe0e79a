"""Fits without a sampler."""

from __future__ import annotations

from typing import Any

import pandas as pd
from diffbench.results.model import Fit, design_of
from diffbench.results.model.diagnostics import diagnose
from diffbench.results.model.layout import Layout

__all__ = ["prior_fit"]


def prior_fit(frame: pd.DataFrame, draws: int = 500, seed: int = 0, **options: Any) -> Fit:
    """In place of `results.model.fit`: independent draws of the prior, which pass all diagnostics at once."""
    layout = Layout(design_of(frame))
    parameters = layout.parameters(layout.prior(4 * draws, seed))
    return Fit(layout, parameters, diagnose(parameters, 4, divergences=0, gradients=1.0), seed, 0.1)
