"""Whether the model of the grades can be believed: recovery, coverage and simulation-based calibration; and its time.

    PYTHONPATH=tests/support python performance/grade_model.py [--replications 100] [--json FILE] [--plot FILE]
        [--no-timings] [--without-runs]

Each replication draws all parameters from the prior, simulates grades with them (`tests/support/simulation.py`, which
shares no code with the density), fits, and looks where the truth lies among the draws (Talts et al. 2018). If the
posterior is right, ranks are uniform (chi-square over ten bins) and 90 % intervals hold the truth in 90 % of the
replications. Of n quantities about n / 20 have p < .05 even so. ``--without-runs`` fits a model that takes the grades
of one finding for independent, to see what its run effect is for.

Timings are of fresh processes that read a grades frame from a parquet file, fit, and make the leaderboard's page,
without leaving organisms out one by one: once with an empty and once with a filled cache of compiled code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from diffbench.results.model import Fit, fit
from diffbench.results.model.design import design_of
from diffbench.results.model.diagnostics import diagnose
from diffbench.results.model.fitting import CHAINS
from diffbench.results.model.layout import Layout, Parameters
from diffbench.results.model.sampler import sample
from diffbench.results.model.summary import LEVEL, expected_grades
from diffbench.results.schema import save_frame
from simulation import Size, Truth, simulate

CALIBRATION = Size(methods=4, families=3, organisms=9, investigators=2, judges=2, runs=3)
TIMED = {"1,000 grades": Size(4, 4, 12, 2, 2, 5), "50,000 grades": Size(10, 8, 50, 5, 3, 7)}
BINS = 10
RANKS = 99
"""Draws, thinned evenly, among which a truth has one of 100 ranks."""


def of_truth(truth: Truth) -> Parameters:
    """The truth as one draw."""
    sd = {name: np.array([value]) for name, value in truth.sd.items()}
    return Parameters({name: effect[None] for name, effect in truth.effects.items()}, sd, truth.cutpoints[None])


def quantities(fitted: Fit, parameters: Parameters) -> dict[str, np.ndarray]:
    """What is calibrated, each ``[draws]``."""
    effects = parameters.effects
    named = {f"{name} 1": effects[name][:, 0] for name in ("method", "family", "investigator", "judge")}
    named |= {f"{name} 1": effects[name][:, 0] for name in ("method x family", "organism", "method x organism")}
    named |= {f"sd of {name}": draws for name, draws in parameters.sd.items()}
    named |= {f"cutpoint {k + 1}": parameters.cutpoints[:, k] for k in range(4)}
    grades = expected_grades(fitted.design, parameters)
    named |= {"expected grade 1": grades[:, 0], "expected grade 1 - 2": grades[:, 0] - grades[:, 1]}
    return named


def without_runs(frame: pd.DataFrame, draws: int, seed: int, cores: int) -> Fit:
    """The fit of a model in which findings of one cell do not differ."""
    started = time.perf_counter()
    layout = Layout(replace(design_of(frame), run_effect=False))
    sampled = sample(layout, tune=200, draws=draws, chains=CHAINS, seed=seed, cores=cores)
    parameters = layout.parameters(sampled.pooled)
    diagnostics = diagnose(parameters, CHAINS, sampled.divergences, sampled.steps)
    return Fit(layout, parameters, diagnostics, seed, time.perf_counter() - started)


def replicate(seed: int, draws: int, cores: int, runs: bool) -> dict[str, Any]:
    """Ranks, coverage and errors of one simulated data set."""
    frame, truth = simulate(CALIBRATION, seed)
    fitted = fit(frame, draws, seed, cores=cores) if runs else without_runs(frame, draws, seed, cores)
    found, true = quantities(fitted, fitted.parameters), quantities(fitted, of_truth(truth))
    thinned = np.linspace(0, fitted.parameters.draws - 1, RANKS).astype(int)
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    methods = fitted.parameters.effects["method"].mean(axis=0)
    pairs = np.triu_indices(len(methods), k=1)
    guessed, right = (np.subtract.outer(m, m)[pairs] for m in (methods, truth.method))
    return {
        "rank": {name: int((values[thinned] < true[name][0]).sum()) for name, values in found.items()},
        "covered": {
            name: bool(np.quantile(values, low) <= true[name][0] <= np.quantile(values, high))
            for name, values in found.items()
        },
        "z": {name: float((values.mean() - true[name][0]) / values.std()) for name, values in found.items()},
        "methods": [truth.method.tolist(), methods.tolist()],
        "pairs_in_order": float((guessed * right > 0).mean()),
        "problems": fitted.problems,
        "seconds": fitted.seconds,
    }


def uniformity(ranks: list[int]) -> float:
    """Chi-square p-value that ranks 0..RANKS are uniform."""
    from scipy.stats import chisquare

    counts = np.bincount(np.array(ranks) * BINS // (RANKS + 1), minlength=BINS)
    return float(chisquare(counts).pvalue)


def calibration(replications: int, draws: int, cores: int, limit: float, runs: bool) -> dict[str, Any]:
    """Figures over replications; stops early after ``limit`` seconds."""
    started, done = time.perf_counter(), []
    while len(done) < replications and time.perf_counter() - started < limit:
        done.append(replicate(len(done), draws, cores, runs))
        print(f"replication {len(done)}: {done[-1]['seconds']:.1f} s {'; '.join(done[-1]['problems'])}", flush=True)
    true, found = (np.concatenate([one["methods"][i] for one in done]) for i in (0, 1))
    names = list(done[0]["rank"])
    return {
        "replications": len(done),
        "size": asdict(CALIBRATION) | {"grades": CALIBRATION.grades},
        "run_effect": runs,
        "with_problems": sum(bool(one["problems"]) for one in done),
        "median_seconds": float(np.median([one["seconds"] for one in done])),
        "method_slope": float(np.polyfit(found, true, 1)[0]),
        "method_correlation": float(np.corrcoef(true, found)[0, 1]),
        "pairs_in_order": float(np.mean([one["pairs_in_order"] for one in done])),
        "quantities": {
            name: {
                "coverage": float(np.mean([one["covered"][name] for one in done])),
                "rms_z": float(np.sqrt(np.mean([one["z"][name] ** 2 for one in done]))),
                "uniform_p": uniformity([one["rank"][name] for one in done]),
                "ranks": [one["rank"][name] for one in done],
            }
            for name in names
        },
    }


TIMED_CODE = """
import sys, time, json
from diffbench.results.leaderboard.ranking import leaderboard
from diffbench.results.leaderboard.page import leaderboard_page
from diffbench.results.schema import load_frame
from diffbench.views.html import page_html
made = leaderboard(load_frame(sys.argv[1]), draws=int(sys.argv[2]), loo=False)
page = page_html(leaderboard_page(made))
print(json.dumps({"problems": made.model.problems, "fit_seconds": made.model.seconds, "page_bytes": len(page)}))
"""


def timings(draws: int) -> dict[str, Any]:
    """Wall and processor seconds of fresh processes, start-up included."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": f"{folder}/compiled"}
        for name, size in TIMED.items():
            path = save_frame(simulate(size, seed=0)[0], Path(folder) / "grades.parquet")
            for when in ("first", "again") if not found else ("again",):
                before, started = os.times(), time.perf_counter()
                command = [sys.executable, "-c", TIMED_CODE, str(path), str(draws)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
                after = os.times()
                found[f"{name}, {when}"] = {
                    "grades": size.grades,
                    "seconds": time.perf_counter() - started,
                    "processor_seconds": after.children_user - before.children_user,
                } | json.loads(done.stdout.splitlines()[-1])
                print(name, when, found[f"{name}, {when}"], flush=True)
    return found


def plot(figures: dict[str, Any], path: str) -> None:
    """Rank histograms, each with the band that holds 95 % of bins of uniform ranks."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from scipy.stats import binom

    found, n = figures["quantities"], figures["replications"]
    rows = -(-len(found) // 5)
    figure, axes = plt.subplots(rows, 5, figsize=(14, 2.2 * rows), sharey=True, layout="constrained")
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    for axis, (name, one) in zip(axes.flat, found.items(), strict=False):
        axis.axhspan(*binom.ppf([0.025, 0.975], n, 1 / BINS), color="0.9")
        axis.hist(one["ranks"], bins=np.linspace(0, RANKS + 1, BINS + 1), color="#4878a8")
        axis.set_title(f"{name}\np = {one['uniform_p']:.2f}, coverage {one['coverage']:.0%}", fontsize=8)
    figure.suptitle(f"Ranks of the truth among posterior draws, {n} data sets from the prior")
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--limit", type=float, default=600, help="seconds after which no replication is begun")
    parser.add_argument("--draws", type=int, default=400, help="of each of four chains")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--no-timings", action="store_true")
    parser.add_argument("--without-runs", action="store_true", help="calibrate the model without its run effect")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FILE")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    if given.replications:
        figures["calibration"] = calibration(
            given.replications, given.draws, given.cores, given.limit, not given.without_runs
        )
    if not given.no_timings:
        figures["timings"] = timings(given.draws)
    for name, one in figures.get("calibration", {}).get("quantities", {}).items():
        print(f"{name:24} coverage {one['coverage']:.2f}  rms z {one['rms_z']:.2f}  uniform p {one['uniform_p']:.3f}")
    if given.json:
        Path(given.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if given.plot and "calibration" in figures:
        plot(figures["calibration"], given.plot)


if __name__ == "__main__":
    main()
