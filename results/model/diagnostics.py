"""Whether the draws can be trusted: R-hat, effective sample sizes, divergences, and leave-one-cell-out by PSIS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .layout import Layout, Parameters, nodes_for
from .sampler import Draws
from .terms import Floats

__all__ = [
    "Diagnostics",
    "Loo",
    "cell_log_likelihood",
    "diagnose",
    "diagnose_parameters",
    "effective_sizes",
    "leave_one_cell_out",
    "r_hat",
]

MOST_R_HAT = 1.02
LEAST_ESS = 400
MOST_DIVERGENT = 0.002
"""Share of the draws."""
_NUISANCE = ("organism", "method x organism")
_MOST_R_HAT_NUISANCE = 1.05
_LOO_DRAWS = 400
_MOST_PARETO_K = 0.7


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


@dataclass(frozen=True)
class Loo:
    """Leave-one-cell-out predictive density by Pareto-smoothed importance sampling (Vehtari et al. 2017, 2024)."""

    elpd: float
    se: float
    cells: int
    unreliable: int
    """Cells with a Pareto k above .7, whose estimate is unreliable."""


def diagnose(layout: Layout, draws: Draws) -> Diagnostics:
    """Diagnostics of the draws; with too few or constant ones NaN, which counts as a problem."""
    return diagnose_parameters(
        layout.parameters(draws.pooled), len(draws.vectors), divergences=draws.divergences, gradients=draws.steps
    )


def diagnose_parameters(parameters: Parameters, chains: int, *, divergences: int, gradients: float) -> Diagnostics:
    """Diagnostics of draws whose chains, equally long, lie behind each other."""
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
    """Rank-normalised split R-hat, the larger of that of the values and of their folds (Vehtari et al. 2021).

    Args:
        values: ``[chains, draws, quantities]``.
    """
    split = _split(values)
    folded = np.abs(split - np.median(split, axis=(0, 1)))
    return np.maximum(_plain_r_hat(_normal_scores(split)), _plain_r_hat(_normal_scores(folded)))


def effective_sizes(values: Floats) -> tuple[Floats, Floats]:
    """Bulk and tail (5 % and 95 % quantiles) effective sample size of each quantity (Vehtari et al. 2021)."""
    split = _split(values)
    tails = [_ess((split <= np.quantile(split, q, axis=(0, 1))).astype(float)) for q in (0.05, 0.95)]
    return _ess(_normal_scores(split)), np.minimum(*tails)


def leave_one_cell_out(layout: Layout, draws: Draws) -> Loo:
    """PSIS-LOO over the design's cells (all grades of a cell left out at once), from at most 400 of the draws."""
    import arviz

    vectors = draws.pooled
    vectors = vectors[:: max(1, len(vectors) // _LOO_DRAWS)]
    likelihood = cell_log_likelihood(layout, layout.parameters(vectors))
    weights, k = arviz.psislw(-likelihood.T)
    # log sum_s w_s p_s with normalised log weights.
    pointwise = np.logaddexp.reduce(np.asarray(weights) + likelihood.T, axis=1)
    return Loo(
        elpd=float(pointwise.sum()),
        se=float(np.sqrt(len(pointwise) * pointwise.var())),
        cells=len(pointwise),
        unreliable=int((np.asarray(k) > _MOST_PARETO_K).sum()),
    )


def cell_log_likelihood(layout: Layout, parameters: Parameters) -> Floats:
    """Log likelihood of each cell's grades, the run effect integrated out; ``[draws, cells]``."""
    design = layout.design
    eta = layout.predictor(parameters)
    judge = parameters.effects.get("judge", np.zeros((parameters.draws, 1)))
    sd_run = parameters.spread("run")
    x, weights = np.polynomial.hermite_e.hermegauss(nodes_for(design) if design.run_effect else 1)
    log_weights = np.log(weights / weights.sum())
    cell_of_pattern = np.repeat(np.arange(design.cells), np.diff(design.cell_start))
    cell_of_code = np.repeat(cell_of_pattern, np.diff(design.pattern_start))
    log_likelihood = np.empty((parameters.draws, design.cells))
    for draw in range(parameters.draws):
        at = eta[draw, :, None, None] + judge[draw, :, None] + sd_run[draw] * x
        table = _log_probabilities(at, parameters.cutpoints[draw])
        judges = len(judge[draw])
        picked = table.transpose(0, 1, 3, 2).reshape(design.cells, -1, len(x))
        codes = design.codes if judges > 1 else design.codes % 5
        by_pattern = np.add.reduceat(picked[cell_of_code, codes], design.pattern_start[:-1], axis=0)
        pattern = np.logaddexp.reduce(by_pattern + log_weights, axis=1) * design.pattern_count
        log_likelihood[draw] = np.add.reduceat(pattern, design.cell_start[:-1])
    return log_likelihood


def _log_probabilities(eta: Floats, cutpoints: Floats) -> Floats:
    """Ordered-logistic log probabilities, ``[..., grades]``, without differences of nearly equal numbers."""
    z = cutpoints - eta[..., None]
    at_most, above = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    zero = np.zeros_like(eta)[..., None]
    gaps = np.concatenate([[0.0], np.log(-np.expm1(-np.diff(cutpoints))), [0.0]])
    table: Floats = np.concatenate([at_most, zero], axis=-1) + np.concatenate([zero, above], axis=-1) + gaps
    return table


def _split(values: Floats) -> Floats:
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, -half:]])


def _normal_scores(values: Floats) -> Floats:
    """Normal scores of the ranks over all chains, ties averaged (Blom 1958)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    flat = values.reshape(-1, values.shape[-1])
    scores: Floats = ndtri((rankdata(flat, axis=0) - 0.375) / (len(flat) + 0.25))
    return scores.reshape(values.shape)


def _plain_r_hat(values: Floats) -> Floats:
    draws = values.shape[1]
    between = draws * values.mean(axis=1).var(axis=0, ddof=1)
    within = values.var(axis=1, ddof=1).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic: Floats = np.sqrt((between / within + draws - 1) / draws)
    return statistic


def _ess(values: Floats) -> Floats:
    """Effective sample size by Geyer's initial monotone sequence over all chains' autocovariances."""
    chains, draws, _ = values.shape
    centred = values - values.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * draws, axis=1)
    autocovariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :draws].mean(axis=0) / draws
    within = autocovariance[0] * draws / (draws - 1)
    total = within * (draws - 1) / draws + values.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1 - (within - autocovariance) / total
    rho[0] = 1.0
    rho = rho[: draws // 2 * 2]
    pairs = rho[0::2] + rho[1::2]
    positive = np.logical_and.accumulate(pairs > 0, axis=0)
    monotone = np.minimum.accumulate(pairs, axis=0)
    # The even term of the first pair that is cut off counts once, which matters for antithetic chains.
    cut = np.minimum(positive.sum(axis=0), len(pairs) - 1)
    beyond = np.maximum(np.take_along_axis(rho[0::2], cut[None], axis=0)[0], 0.0)
    time = -1 + 2 * np.where(positive, monotone, 0.0).sum(axis=0) + beyond
    time = np.maximum(time, 1 / np.log10(chains * draws))
    return np.where(np.isnan(total) | (total <= 0), np.nan, chains * draws / time)
