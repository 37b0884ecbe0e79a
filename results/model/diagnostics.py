"""Whether the draws can be trusted: R-hat, effective sample sizes and divergences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .layout import Parameters
from .terms import Floats

__all__ = ["Diagnostics", "diagnose", "effective_sizes", "r_hat"]

MOST_R_HAT = 1.02
LEAST_ESS = 400
MOST_DIVERGENT = 0.002
"""Share of the draws."""
_NUISANCE = ("organism", "method x organism")
_MOST_R_HAT_NUISANCE = 1.05


@dataclass(frozen=True)
class Diagnostics:
    """Figures over all effects, sds and cutpoints; those of single organisms apart, which are never reported."""

    r_hat: float
    ess_bulk: float
    ess_tail: float
    r_hat_organisms: float
    """The largest over effects of single organisms; NaN where there are none."""
    worst: str
    """The quantity with the largest R-hat."""
    divergences: int
    draws: int
    gradients: float
    """Mean number of gradients a draw took."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What forbids reading a ranking off the draws, in sentences with a remedy; empty when nothing does."""
        found = []
        if not self.r_hat <= MOST_R_HAT:
            found.append(
                f"R-hat of {self.worst} is {self.r_hat:.3f}, above {MOST_R_HAT}: fit with more draws and tuning"
            )
        if self.r_hat_organisms > _MOST_R_HAT_NUISANCE:
            found.append(f"R-hat of single organisms is {self.r_hat_organisms:.3f}, above {_MOST_R_HAT_NUISANCE}")
        for kind, size in (("bulk", self.ess_bulk), ("tail", self.ess_tail)):
            if not size >= LEAST_ESS:
                found.append(f"the effective {kind} sample size is {size:.0f}, below {LEAST_ESS}: fit with more draws")
        if self.divergences > MOST_DIVERGENT * self.draws:
            found.append(f"{self.divergences} of {self.draws} draws diverged, above {MOST_DIVERGENT:.1%}: tune longer")
        return tuple(found)


def diagnose(parameters: Parameters, chains: int, divergences: int, gradients: float) -> Diagnostics:
    """Diagnostics of draws whose chains, equally long, lie behind each other.

    With too few or constant draws R-hat is NaN, which counts as a problem.
    """
    named = parameters.flat()
    values = np.column_stack(list(named.values())).reshape(chains, -1, len(named))
    organisms = np.array([name.startswith(tuple(f"{term}[" for term in _NUISANCE)) for name in named])
    statistic = r_hat(values)
    bulk, tail = effective_sizes(values[:, :, ~organisms])
    reported = np.where(organisms, -np.inf, np.where(np.isnan(statistic), np.inf, statistic))
    return Diagnostics(
        r_hat=float(statistic[~organisms].max()),
        ess_bulk=float(bulk.min()),
        ess_tail=float(tail.min()),
        r_hat_organisms=float(statistic[organisms].max()) if organisms.any() else float("nan"),
        worst=list(named)[int(reported.argmax())],
        divergences=divergences,
        draws=parameters.draws,
        gradients=gradients,
    )


def r_hat(values: Floats) -> Floats:
    """Rank-normalised split R-hat, the larger of that of the values and of their folds (Vehtari et al. 2021, ArviZ).

    Args:
        values: ``[chains, draws, quantities]``.
    """
    import arviz

    # Chains that do not move have no variance within them: NaN.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(arviz.rhat(arviz.convert_to_dataset({"values": values}))["values"])


def effective_sizes(values: Floats) -> tuple[Floats, Floats]:
    """Bulk and tail (5 % and 95 % quantiles) effective sample size of each quantity (Vehtari et al. 2021, ArviZ)."""
    import arviz

    dataset = arviz.convert_to_dataset({"values": values})
    bulk, tail = (np.asarray(arviz.ess(dataset, method=kind)["values"]) for kind in ("bulk", "tail"))
    return bulk, tail
