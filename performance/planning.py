"""Whether `diffbench power`'s fast analysis says what full fits of the simulated grades say.

    PYTHONPATH=tests/support python performance/planning.py [--studies 25] [--json FILE]

For each design, studies are drawn from the assumed spreads with an effect of 0.6 grades, simulated grade by grade
(`tests/support/simulation.py`) and fitted with NUTS; the same designs go through `results/model/planning.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from diffbench.results.model import fit
from diffbench.results.model.planning import plan
from diffbench.results.model.scenario import Scenario, assumed_scenario
from diffbench.results.model.summary import Estimate, expected_grades
from simulation import Size, Truth, simulate

EFFECT = 0.6
DESIGNS = [(4, 3, 2), (8, 1, 2), (8, 3, 2), (16, 1, 2), (16, 3, 1)]
"""Organisms, repeats, judges."""


def truth_of(scenario: Scenario, draw: int, size: Size, rng: np.random.Generator) -> Truth:
    """One draw of the scenario, with organisms, families and judges of its own."""
    sd = {name: float(values[draw]) for name, values in scenario.sd.items()}
    effect, families = scenario.effect[draw], rng.permutation(scenario.family.shape[1])[: size.families]
    added = scenario.by_family[draw, families] / 2
    added = added - added.mean()
    judge = rng.normal(0, sd["judge"], size.judges)
    return Truth(
        method=np.array([effect, -effect]) / 2,
        family=scenario.family[draw, families],
        investigator=np.zeros(1),
        judge=judge - judge.mean(),
        method_family=np.array([added, -added]),
        method_investigator=np.zeros((2, 1)),
        organism=rng.normal(0, sd["organism"], size.organisms),
        method_organism=rng.normal(0, sd["method x organism"], (2, size.organisms)),
        sd=sd,
        cutpoints=scenario.cutpoints[draw],
    )


def fitted(scenario: Scenario, size: Size, studies: int) -> dict[str, Any]:
    """Width and separation of full fits."""
    found, refused = [], 0
    for number in range(studies):
        rng = np.random.default_rng(1000 + number)
        frame, _ = simulate(size, seed=number, truth=truth_of(scenario, number, size, rng))
        one = fit(frame, draws=1000, seed=number)
        refused += bool(one.problems)
        grades = expected_grades(one.design, one.parameters)
        found.append(Estimate.of(grades[:, 0] - grades[:, 1]))
    widths = np.array([one.high - one.low for one in found])
    separated = np.mean([one.low > 0 for one in found])
    return {
        "studies": studies,
        "refused": refused,
        "width": float(widths.mean()),
        "width_error": float(widths.std(ddof=1) / np.sqrt(studies)),
        "separated": float(separated),
        "separated_error": float(np.sqrt(separated * (1 - separated) / studies)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=25, help="full fits of each design")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    scenario, rows = assumed_scenario().with_effect(EFFECT, "grade"), []
    for organisms, repeats, judges in DESIGNS:
        [fast, _] = plan(scenario, [organisms], [repeats], judges)
        size = Size(2, fast.families, organisms, 1, judges, repeats)
        started = time.perf_counter()
        full = fitted(scenario, size, given.studies)
        rows.append({"organisms": organisms, "repeats": repeats, "judges": judges, "full": full})
        rows[-1] |= {"fast": {"width": fast.width["grade"], "separated": fast.separated}}
        print(
            f"{organisms} organisms, {repeats} repeats, {judges} judges: width {fast.width['grade']:.2f}, full fits "
            f"{full['width']:.2f} +- {full['width_error']:.2f}; separated {fast.separated:.2f}, full fits "
            f"{full['separated']:.2f} +- {full['separated_error']:.2f}; {full['refused']} of {given.studies} refused; "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
    if given.json:
        Path(given.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
