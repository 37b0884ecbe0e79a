"""What a study of two methods would meet: their difference, and all that scatters around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...records.errors import MendableError
from .summary import Estimate
from .terms import Floats

if TYPE_CHECKING:
    from .fitting import Fit

__all__ = ["SPREADS", "Scenario", "assumed_scenario", "fitted_scenario", "interpolated"]

SPREADS = {"organism": 0.7, "method x organism": 0.5, "method x family": 0.4, "run": 0.8, "judge": 0.35, "family": 0.5}
"""Standard deviations on the logit scale, assumed where no grades tell them."""

_CUTPOINTS = (-1.5, -0.4, 0.6, 1.7)
_FAMILIES = 4
_NODES = 15
_LARGEST, _STEP = 12.0, 0.25


@dataclass(frozen=True)
class Scenario:
    """Draws, first axis ``[draws]``, of what the grades of a new study come from, on the logit scale."""

    methods: tuple[str, str]
    effect: Floats
    """Of the first method less the second, families weighing equally."""
    family: Floats
    """Predictor of each family, the mean of the two methods; ``[draws, families]``."""
    by_family: Floats
    """What each family adds to the effect; sums to zero; ``[draws, families]``."""
    sd: Mapping[str, Floats]
    """By the names of `SPREADS`, but ``family``, each ``[draws]``."""
    cutpoints: Floats
    """``[draws, GRADES - 1]``."""
    notes: tuple[str, ...] = ()
    """Sentences: what was assumed."""

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(self.effect)

    def with_effect(self, effect: float, scale: str) -> Scenario:
        """The same with one effect in all draws.

        Args:
            effect: Of the first method less the second.
            scale: ``grade``, the difference of expected grades, or ``logit``.

        Raises:
            MendableError: For an effect that is not above 0, or larger than grades can be apart.
        """
        if scale == "logit":
            largest, wanted = _LARGEST, np.full(self.draws, effect)
        else:
            largest = float(self._grades_apart[:, -1].min())
            wanted = np.array([np.interp(effect, row, np.arange(len(row)) * _STEP) for row in self._grades_apart])
        if not 0 < effect < largest:
            raise MendableError(
                f"effect is {effect:g}; on the scale {scale} it must be above 0 and below {largest:.2g}"
            )
        return replace(self, effect=wanted)

    def in_grades(self, effect: Floats) -> Floats:
        """Difference of the expected grades, families weighing equally, at effects ``[draws, ...]``."""
        found: Floats = np.sign(effect) * interpolated(self._grades_apart, 0.0, _STEP, np.abs(effect))
        return found

    @cached_property
    def effects(self) -> dict[str, Estimate]:
        """The effect on both scales."""
        return {"logit": Estimate.of(self.effect), "grade": Estimate.of(self.in_grades(self.effect))}

    @cached_property
    def spreads(self) -> dict[str, Estimate]:
        """All standard deviations."""
        return {name: Estimate.of(draws) for name, draws in self.sd.items()}

    @cached_property
    def _grades_apart(self) -> Floats:
        """Difference of expected grades at the effects 0, _STEP, .., _LARGEST; ``[draws, effects]``.

        For new organisms and findings: their scatter is integrated out as one normal variable.
        """
        half = np.arange(0, _LARGEST + _STEP, _STEP) / 2
        scatter = np.sqrt(sum(self.sd[name] ** 2 for name in ("organism", "method x organism", "run")))
        x, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        found = np.zeros((self.draws, len(half)))
        for node, weight in zip(x, weights / weights.sum(), strict=True):
            for family in self.family.T:
                for cut in self.cutpoints.T:
                    at = 0.5 * (family + scatter * node - cut)[:, None]
                    found += weight * 0.5 * (np.tanh(at + half / 2) - np.tanh(at - half / 2))
        found /= self.family.shape[1]
        return found


def interpolated(table: Floats, first: float, step: float, at: Floats) -> Floats:
    """Linear interpolation in each row of ``table``, whose columns stand at first, first + step, .."""
    place = np.clip((at - first) / step, 0, table.shape[1] - 1)
    left = np.minimum(place.astype(np.int64), table.shape[1] - 2)
    rows = np.arange(len(table)).reshape(-1, *[1] * (at.ndim - 1))
    found: Floats = table[rows, left] + (place - left) * (table[rows, left + 1] - table[rows, left])
    return found


def assumed_scenario(spreads: Mapping[str, float] | None = None, draws: int = 2000, seed: int = 0) -> Scenario:
    """Without grades: the standard deviations of `SPREADS`, four families, and no effect yet.

    Args:
        spreads: Standard deviations in place of those of `SPREADS`.
        draws: Number of draws.
        seed: Of the families' effects.

    Raises:
        MendableError: For an unknown spread or one below 0.
    """
    rng = np.random.default_rng(seed)
    sd = SPREADS | _checked(spreads or {})
    family = rng.normal(0, 1, (2, draws, _FAMILIES))
    family -= family.mean(axis=2, keepdims=True)
    told = ", ".join(f"{name} {value:g}" for name, value in sd.items())
    return Scenario(
        methods=("A", "B"),
        effect=np.zeros(draws),
        family=family[0] * sd["family"],
        by_family=family[1] * np.sqrt(2) * sd["method x family"],
        sd={name: np.full(draws, value) for name, value in sd.items() if name != "family"},
        cutpoints=np.tile(np.array(_CUTPOINTS), (draws, 1)),
        notes=(f"No logs: {_FAMILIES} families and these standard deviations (logit scale) are assumed: {told}.",),
    )


def fitted_scenario(
    fit: Fit,
    methods: tuple[str, str] | None = None,
    spreads: Mapping[str, float] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Scenario:
    """What a fit says of two methods, with the uncertainty of its posterior.

    Spreads that the fit leaves out are those of `SPREADS`, and a note says so.

    Args:
        fit: The fitted model.
        methods: The two; by default those with the highest expected grades.
        spreads: Standard deviations in place of the fit's.
        draws: Number of draws, taken from the posterior's.
        seed: Of that choice.

    Raises:
        MendableError: For a fit of one method, an unknown method, the same one twice; an unknown spread or one below 0.
    """
    first, second = methods or _best_two(fit)
    known = fit.design.factors["method"].levels
    for method in (first, second):
        if method not in known:
            raise MendableError(f"unknown method {method!r}; the grades have {', '.join(known)}")
    if first == second:
        raise MendableError(f"both methods are {first!r}; name two of {', '.join(known)}")
    parameters = fit.parameters
    rng = np.random.default_rng(seed)
    chosen = rng.choice(parameters.draws, draws, replace=draws > parameters.draws)
    effects = {name: effect[chosen] for name, effect in parameters.effects.items()}
    a, b, families = known.index(first), known.index(second), len(fit.design.factors["family"].levels)
    pairs = effects.get("method x family", np.zeros((draws, len(known) * families))).reshape(draws, -1, families)
    level = (effects["method"][:, a] + effects["method"][:, b])[:, None] / 2
    sd = {name: found[chosen] for name, found in parameters.sd.items() if name in SPREADS}
    if "judge" in effects:
        sd["judge"] = effects["judge"].std(axis=1, ddof=1)
    given = _checked(spreads or {})
    missing = [name for name in SPREADS if name not in {"family", *sd, *given}]
    told = ", ".join(f"{name} {SPREADS[name]:g}" for name in missing)
    sd |= {name: np.full(draws, given.get(name, SPREADS[name])) for name in (*missing, *given) if name != "family"}
    return Scenario(
        methods=(first, second),
        effect=effects["method"][:, a] - effects["method"][:, b],
        family=level + effects.get("family", np.zeros((draws, families))) + (pairs[:, a] + pairs[:, b]) / 2,
        by_family=pairs[:, a] - pairs[:, b],
        sd={name: sd[name] for name in SPREADS if name != "family"},
        cutpoints=parameters.cutpoints[chosen],
        notes=(f"The grades cannot tell these standard deviations, which are assumed: {told}.",) if missing else (),
    )


def _best_two(fit: Fit) -> tuple[str, str]:
    rows = sorted(fit.summary.methods, key=lambda row: -row.grade.mean)
    if len(rows) < 2:
        raise MendableError(
            f"{rows[0].method} is the only method; planning needs grades of two, or an effect and no logs"
        )
    return rows[0].method, rows[1].method


def _checked(spreads: Mapping[str, float]) -> dict[str, float]:
    for name, value in spreads.items():
        if name not in SPREADS:
            raise MendableError(f"unknown spread {name!r}; known are {', '.join(SPREADS)}")
        if not 0 <= value < 10:
            raise MendableError(f"the spread of {name} is {value:g}; it must be at least 0 and below 10")
    return dict(spreads)
