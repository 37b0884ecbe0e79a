"""Whether HiBayES' ordered-logistic model and ours give the same effects where both are the same model.

    python performance/hibayes_parity.py [--repeats 50] [--draws 2000] [--seed 0] [--json FILE]

Needs HiBayES (its hibayes-full beside this Python or on the path) and ``pip install 'diffbench[results]'``.

Grades are simulated in a design in which ours has no more terms than HiBayES': a finding has one grade (no run effect),
a family one organism (no organism effects), and so few pairs of method with family and with investigator were run that
interactions cannot be told from main effects. Both likelihoods are then the same. What is left are the priors. They
are known in closed form, so our draws are also weighted by HiBayES' prior over ours (importance sampling), after which
the two posteriors are one distribution, and means may differ by Monte-Carlo error only.

    HiBayES, level order l_1 < .. < l_n:  effect_1 .. effect_n-1 ~ Normal(0, 1), effect_n = -(their sum);
        cut_1 ~ Normal(-4, .2), cut_k+1 - cut_k ~ .3 + LogNormal(-.5, .3); intercept ~ Normal(0, 1).
    Ours: effects ~ Normal(0, scale) given that they sum to zero; shares of the average cell's grades ~
        Dirichlet(2, .., 2), with logit P(grade <= k) = cut_k.

HiBayES' intercept only moves all cutpoints: cutpoints less intercept are compared.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from diffbench.results.hibayes import CHAINS, hibayes_command
from diffbench.results.hibayes_model import fit_flat
from diffbench.results.model import Design, Fit, fit
from diffbench.results.model.diagnostics import effective_sizes
from diffbench.results.model.layout import CONCENTRATION, Parameters
from diffbench.results.schema import COLUMNS

FAMILIES = {0: (0,), 1: (0, 1), 2: (1, 2), 3: (2,)}
"""Families that each method was run on: 6 pairs, as many as an intercept, 4 methods and 3 families can fit."""
INVESTIGATORS = {0: (0,), 1: (0,), 2: (0, 1), 3: (1,)}
JUDGES, FRAMINGS = 3, ("neutral", "presuppositional")
CUTPOINTS = np.array([-1.8, -0.7, 0.4, 1.5])


@dataclass(frozen=True)
class Compared:
    """Posterior means of one quantity. Errors are Monte-Carlo errors."""

    quantity: str
    hibayes: float
    sd: float
    """HiBayES' posterior sd."""
    ours: float
    """With our own priors."""
    ours_reweighted: float
    """With HiBayES' priors."""
    difference: float
    """Reweighted less HiBayES'."""
    error: float
    """Of the difference."""
    sd_ratio: float
    """Reweighted over HiBayES'."""


def flat_frame(repeats: int, seed: int) -> pd.DataFrame:
    """Grades of the flat model: 48 cells x ``repeats``, each the only grade of its finding."""
    rng = np.random.default_rng(seed)
    sizes = {"method": 4, "family": 3, "investigator": 2, "judge": JUDGES, "framing": len(FRAMINGS)}
    effects = {name: (drawn := rng.normal(0, 0.7, size)) - drawn.mean() for name, size in sizes.items()}
    rows: list[dict[str, Any]] = []
    for m, families in FAMILIES.items():
        for index in np.ndindex(len(families), len(INVESTIGATORS[m]), JUDGES, len(FRAMINGS), repeats):
            f, a, (g, w) = families[index[0]], INVESTIGATORS[m][index[1]], index[2:4]
            codes = {"method": m, "family": f, "investigator": a, "judge": g, "framing": w}
            eta = sum(effects[name][code] for name, code in codes.items())
            rows.append(
                {
                    "log": "simulated",
                    "sample": f"sim.organism{f}.method{m}.model{a}.judge{g}.{FRAMINGS[w]}",
                    "epoch": index[4] + 1,
                    "suite": "sim",
                    "organism": f"organism{f}",
                    "family": f"family{f}",
                    "variant": "default",
                    "method": f"method{m}",
                    "agent": "investigator",
                    "agent_model": f"model{a}",
                    "interactions": 10,
                    "framing": FRAMINGS[w],
                    "blind": False,
                    "hints": "none",
                    "judge": f"judge{g}",
                    "judge_repeat": 0,
                    "grade": 1 + int((rng.random() > 1 / (1 + np.exp(eta - CUTPOINTS))).sum()),
                    "tokens": 0,
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def hibayes_log_prior(parameters: Parameters) -> np.ndarray:
    """Log density, up to a constant, of effects without each last one and of cutpoints less intercept; ``[draws]``."""
    cut, gaps = parameters.cutpoints[:, 0], np.diff(parameters.cutpoints) - 0.3
    known = -np.square(cut + 4) / (2 * (1 + 0.2**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        log_gaps = np.log(gaps)
    known = known + np.where(gaps > 0, -log_gaps - np.square(log_gaps + 0.5) / (2 * 0.3**2), -np.inf).sum(axis=1)
    return known - sum(np.square(effect[:, :-1]).sum(axis=1) for effect in parameters.effects.values()) / 2


def our_log_prior(design: Design, parameters: Parameters) -> np.ndarray:
    """The same of our model's prior."""
    below = 1 / (1 + np.exp(-parameters.cutpoints))
    shares = np.diff(below, prepend=0.0, append=1.0)
    known = (CONCENTRATION - 1) * np.log(shares).sum(axis=1) + np.log(below * (1 - below)).sum(axis=1)
    scales = {term.name: term.scale for term in design.terms}
    return known - sum(np.square(e).sum(axis=1) / (2 * scales[name] ** 2) for name, e in parameters.effects.items())


def compare(ours: Fit, theirs: Fit) -> tuple[list[Compared], float]:
    """All effects and cutpoints, and the share of our draws that the weights leave effective."""
    log_weight = hibayes_log_prior(ours.parameters) - our_log_prior(ours.design, ours.parameters)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    rows = []
    found = _named(ours)
    for name, x in _named(theirs).items():
        y = found[name]
        mean = float(weight @ y)
        sd = float(np.sqrt(weight @ np.square(y - mean)))
        x_error = x.std() / np.sqrt(_effective(x))
        y_error = np.sqrt((np.square(weight * (y - mean))).sum() * len(y) / _effective(y))
        rows.append(
            Compared(
                quantity=name,
                hibayes=float(x.mean()),
                sd=float(x.std()),
                ours=float(y.mean()),
                ours_reweighted=mean,
                difference=mean - float(x.mean()),
                error=float(np.hypot(x_error, y_error)),
                sd_ratio=sd / float(x.std()),
            )
        )
    return rows, float(1 / (len(weight) * np.square(weight).sum()))


def _named(fitted: Fit) -> dict[str, np.ndarray]:
    named = {
        level if level.startswith(name) else f"{name} {level}": fitted.parameters.effects[name][:, i]
        for name, factor in fitted.design.factors.items()
        if name in fitted.parameters.effects
        for i, level in enumerate(factor.levels)
    }
    return named | {f"cutpoint {k + 1}": column for k, column in enumerate(fitted.parameters.cutpoints.T)}


def _effective(draws: np.ndarray) -> float:
    return float(effective_sizes(draws.reshape(CHAINS, -1, 1))[0][0])


def parity(repeats: int, draws: int, seed: int, cores: int) -> dict[str, Any]:
    """Simulate, fit both, compare.

    Raises:
        ValueError: When the two are not the same model, or the draws of either cannot be trusted.
    """
    frame = flat_frame(repeats, seed)
    ours = fit(frame, draws=draws, seed=seed, cores=cores)
    theirs = fit_flat(frame, draws=draws, seed=seed)
    for fitted in (ours, theirs):
        if fitted.problems:
            raise ValueError("; ".join(fitted.problems))
    terms = [sorted(term.name for term in fitted.design.terms) for fitted in (ours, theirs)]
    if terms[0] != terms[1]:
        raise ValueError(f"not the same model: ours has {', '.join(terms[0])}; HiBayES' {', '.join(terms[1])}")
    rows, effective = compare(ours, theirs)
    z = np.array([row.difference / row.error for row in rows])
    return {
        "grades": len(frame),
        "draws": ours.parameters.draws,
        "seconds": {"ours": ours.seconds, "hibayes": theirs.seconds},
        "effective_share": effective,
        "largest_z": float(np.abs(z).max()),
        "rms_z": float(np.sqrt(np.square(z).mean())),
        "quantities": [asdict(row) for row in rows],
    }


def show(figures: dict[str, Any]) -> None:
    print("| | HiBayES | its sd | ours | ours, HiBayES' priors | difference | Monte-Carlo error | ratio of sds |")
    print("|---|---|---|---|---|---|---|---|")
    for row in figures["quantities"]:
        name, *numbers = row.values()
        print(f"| {name} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
    seconds = figures["seconds"]
    print(
        f"{figures['grades']} grades, {figures['draws']} draws each; ours {seconds['ours']:.0f} s, HiBayES "
        f"{seconds['hibayes']:.0f} s; {figures['effective_share']:.0%} of our draws effective after weighting; "
        f"differences up to {figures['largest_z']:.1f} Monte-Carlo errors, {figures['rms_z']:.2f} root mean square"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50, help="grades of each of the 48 cells")
    parser.add_argument("--draws", type=int, default=2000, help="of each of four chains, of both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    hibayes_command()
    figures = parity(given.repeats, given.draws, given.seed, given.cores)
    show(figures)
    if given.json:
        Path(given.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
