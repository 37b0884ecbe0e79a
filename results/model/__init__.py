"""The hierarchical ordered-logistic model of the grades: `fit` a grades frame, read the `Fit`."""

from .checks import Stability, leave_one_organism_out, prior_predictive
from .design import Design, design_of
from .diagnostics import Diagnostics
from .fitting import Fit, fit
from .summary import Estimate, Summary

__all__ = [
    "Design",
    "Diagnostics",
    "Estimate",
    "Fit",
    "Stability",
    "Summary",
    "design_of",
    "fit",
    "leave_one_organism_out",
    "prior_predictive",
]
