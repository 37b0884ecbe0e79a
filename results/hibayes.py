"""Grades for HiBayES: a folder that its command line fits unchanged, and the fit read back.

HiBayES (https://github.com/UKGovernmentBEIS/hibayes) fits its flat ordered-logistic model: factors as fixed effects
that sum to zero, all rows independent.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..records.errors import MendableError, MissingError
from ..records.files import whole_folder
from .schema import CONTROL_FAMILY, FINDING, grades_in

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["HibayesDraws", "export_hibayes", "fit_with_hibayes", "hibayes_command", "hibayes_rows", "read_hibayes_fit"]

COMMAND = "hibayes-full"
INSTALL = "pip install git+https://github.com/UKGovernmentBEIS/hibayes"
CHAINS = 4
DATA, CONFIG, README, FIT = "grades.csv", "config.yaml", "README.md", "fit"

CONTROL = "control"
"""Controls' ``organism_type``: pandas would read their family's name, ``null``, as a missing value."""

_ARGUMENTS = ("--config", CONFIG, "--out", FIT, "--no-tui")
_FACTORS = ("diff_method", "organism_type", "agent", "grader", "variant", "budget", "framing", "blind", "hints")
_CELL = ["organism", "variant", "diff_method", "agent", "budget", "framing", "blind", "hints"]


@dataclass(frozen=True)
class HibayesExport:
    """What was written."""

    folder: Path
    rows: int
    factors: tuple[str, ...]
    """Main effects of the model."""
    left_out: tuple[str, ...]
    """For each factor that the grades cannot tell apart: its name and why."""


@dataclass(frozen=True)
class HibayesDraws:
    """Posterior draws of HiBayES' flat model, chains in sequence."""

    effects: dict[str, pd.DataFrame]
    """Factor -> effects on the logit scale, one row a draw, one column a level."""
    intercept: np.ndarray
    """``[draws]``."""
    cutpoints: np.ndarray
    """``[draws, 4]``."""
    chains: int
    divergences: int


def export_hibayes(
    frame: pd.DataFrame, folder: str | Path, *, draws: int = 2000, tune: int = 1000, seed: int = 0
) -> HibayesExport:
    """Write ``grades.csv``, ``config.yaml`` and ``README.md`` into a new folder, all of them or none.

    Args:
        frame: One row a grade, with the columns of `results.schema.COLUMNS`.
        folder: New or empty.
        draws: Of each of HiBayES' four chains, after tuning; this, ``tune`` and ``seed`` default to HiBayES' own.
        tune: Tuning draws of each chain.
        seed: Of all chains.

    Raises:
        MendableError: For a folder that holds something, for a frame that is empty or no grades frame, and for a name
            that would not survive the way through CSV.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MendableError(f"{folder} exists and is not an empty folder; name a new one with --out, or remove it")
    rows = hibayes_rows(frame)
    factors, left_out = _identified(rows)
    export = HibayesExport(folder, len(rows), factors, left_out)
    with whole_folder(folder) as temporary:
        rows.to_csv(temporary / DATA, index=False)
        _check_csv(temporary / DATA, rows)
        sampling = {"samples": draws, "warmup": tune, "chains": CHAINS, "seed": seed, "progress_bar": False}
        (temporary / CONFIG).write_text(yaml.safe_dump(_config(factors, sampling), sort_keys=False), encoding="utf-8")
        (temporary / README).write_text(_readme(export), encoding="utf-8")
    return export


def hibayes_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a grade in HiBayES' terms.

    ``score`` is the grade less one (0..4, an integer). No column is called ``method``: xarray's ``sel``, which
    HiBayES' summaries use, takes that name for an argument of its own. ``run_idx`` numbers the runs, each graded by
    every judge, within organism, method, agent and conditions, from 0.

    Raises:
        MendableError: For a frame that is empty or no grades frame.
    """
    frame = grades_in(frame)
    rows = frame[[*FINDING, "suite", "variant", "framing", "hints", "judge_repeat"]].assign(
        score=frame["grade"] - 1,
        task="diffbench",
        diff_method=frame["method"],
        organism=frame["suite"] + "." + frame["organism"],
        organism_type=frame["family"].replace(CONTROL_FAMILY, CONTROL),
        agent=frame["agent"] + " with " + frame["agent_model"],
        grader=frame["judge"],
        budget=frame["interactions"],
        blind=frame["blind"].map({True: "blind", False: "not_blind"}),
    )
    runs = rows[[*_CELL, *FINDING]].drop_duplicates().sort_values([*_CELL, *FINDING])
    runs["run_idx"] = runs.groupby(_CELL).cumcount()
    rows = rows.merge(runs, on=[*_CELL, *FINDING], validate="many_to_one")
    columns = ["score", "task", "diff_method", "organism", "organism_type", "agent", "grader", "run_idx"]
    return rows[[*columns, "suite", "variant", "budget", "framing", "blind", "hints", "epoch", "judge_repeat"]]


def hibayes_command() -> str:
    """HiBayES' own command: beside the running Python, else on the path.

    Raises:
        MissingError: When HiBayES is not installed; with how to install it.
    """
    found = shutil.which(COMMAND, path=str(Path(sys.executable).parent)) or shutil.which(COMMAND)
    if found is None:
        raise MissingError(
            f"HiBayES is not installed: there is no {COMMAND} beside {sys.executable} or on the path; install it with "
            f"Python 3.12 or later, here or in an environment of its own whose bin folder is on the path: {INSTALL}"
        )
    return found


def fit_with_hibayes(folder: str | Path, command: Sequence[str] = ()) -> HibayesDraws:
    """Run HiBayES on an exported folder and read its fit.

    Args:
        folder: Written by `export_hibayes`.
        command: HiBayES' command; by default the one that `hibayes_command` finds.

    Raises:
        MissingError: When HiBayES is not installed, or the folder is no export.
        MendableError: When there is a fit already, or HiBayES fails; with the end of what it printed.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise MissingError(f"no {CONFIG} in {folder}; write one with: diffbench export hibayes LOGS --out {folder}")
    if (folder / FIT).exists():
        raise MendableError(f"{folder / FIT} exists; read it with read_hibayes_fit, or remove it to fit again")
    command = command or [hibayes_command()]
    # With no input, a check that asks a question ends the run instead of hanging it.
    done = subprocess.run(  # noqa: S603 - the caller's own command
        [*command, *_ARGUMENTS], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise MendableError(f"{command[0]} failed in {folder} with exit status {done.returncode}:\n{end}")
    return read_hibayes_fit(folder)


def read_hibayes_fit(folder: str | Path) -> HibayesDraws:
    """The fit that HiBayES left in an exported folder.

    Raises:
        MissingError: When there is none.
        MendableError: When there are several, or the libraries that read it are not installed.
    """
    found = sorted(Path(folder).glob(f"{FIT}/models/*/inference_data.nc"))
    if not found:
        raise MissingError(f"no {FIT}/models/*/inference_data.nc in {folder}; fit it as its {README} says")
    if len(found) > 1:
        raise MendableError(f"{folder} holds {len(found)} fits: {', '.join(map(str, found))}; keep one")
    try:
        import h5netcdf  # type: ignore[import-untyped,unused-ignore]  # noqa: F401 - xarray's engine
        import xarray as xr
    except ModuleNotFoundError as error:
        raise MendableError(f"{error}; a fit is read with: pip install xarray h5netcdf") from error
    with (
        xr.open_dataset(found[0], group="posterior", engine="h5netcdf") as posterior,
        xr.open_dataset(found[0], group="sample_stats", engine="h5netcdf") as stats,
    ):
        return HibayesDraws(
            effects={f: _effects(posterior[f"{f}_effects"]) for f in _FACTORS if f"{f}_effects" in posterior},
            intercept=_draws(posterior["intercept"]),
            cutpoints=_draws(posterior["cutpoints"]),
            chains=posterior.sizes["chain"],
            divergences=int(stats["diverging"].sum()),
        )


def _draws(variable: Any) -> np.ndarray:
    import numpy as np

    values = np.asarray(variable.transpose("chain", "draw", ...))
    return values.reshape(-1, *values.shape[2:])


def _effects(variable: Any) -> pd.DataFrame:
    import pandas as pd

    (dimension,) = (name for name in variable.dims if name not in ("chain", "draw"))
    return pd.DataFrame(_draws(variable), columns=[str(level) for level in variable[dimension].to_numpy()])


def _identified(rows: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Factors whose effects the rows can tell apart, in the order of `_FACTORS`, and why others are left out.

    A factor of k levels stays when its effect-coded columns raise the rank of the design matrix by k - 1.
    """
    import numpy as np

    cells = rows[list(_FACTORS)].drop_duplicates()
    design = np.ones((len(cells), 1))
    kept: list[str] = []
    left_out: list[str] = []
    for factor in _FACTORS:
        levels = sorted(cells[factor].unique())
        if len(levels) == 1:
            left_out.append(f"{factor}: one level only, {levels[0]}")
            continue
        codes = np.eye(len(levels))[[levels.index(value) for value in cells[factor]]]
        wider = np.hstack([design, codes[:, :-1] - codes[:, -1:]])
        if np.linalg.matrix_rank(wider) < wider.shape[1]:
            left_out.append(f"{factor}: confounded with {_culprits(cells, factor, kept)}")
            continue
        design = wider
        kept.append(factor)
    return tuple(kept), tuple(left_out)


def _culprits(cells: pd.DataFrame, factor: str, kept: list[str]) -> str:
    alone = [other for other in kept if (cells.groupby(other)[factor].nunique() == 1).all()]
    return alone[0] if alone else f"{', '.join(kept)} together"


def _config(factors: tuple[str, ...], sampling: Mapping[str, int]) -> dict[str, object]:
    # Without `check` and `communicate` HiBayES runs defaults that ask questions.
    observed = {"extract_observed_feature": {"feature_name": "score"}}
    columns = list(dict.fromkeys(["organism", "organism_type", "diff_method", "agent", "grader", "run_idx", *factors]))
    settings = {
        "tag": "main",
        "main_effects": list(factors),
        "num_classes": 5,
        "effect_coding_for_main_effects": True,
        "fit": sampling,
    }
    return {
        "data_loader": {"paths": {"extracted_data": [DATA]}},
        "data_process": {"processors": [observed, {"extract_features": {"categorical_features": columns}}]},
        "model": {"models": [{"name": "ordered_logistic_model", "config": settings}]},
        "check": {"checkers": ["divergences", "r_hat", "ess_bulk", "ess_tail", "loo", "waic"]},
        "communicate": {"communicators": [{"summary_table": {"best_model": False}}]},
        "platform": {"num_devices": CHAINS},
    }


def _readme(export: HibayesExport) -> str:
    left_out = "".join(f"\n- {reason}" for reason in export.left_out) or "\n- none"
    return f"""# Grades for HiBayES

{export.rows} grades of diffbench, one row each, and the configuration of HiBayES' ordered-logistic model. Run in this
folder, with HiBayES (https://github.com/UKGovernmentBEIS/hibayes) installed:

    {" ".join([COMMAND, *_ARGUMENTS])}

The draws are then in `{FIT}/models/*/inference_data.nc` (ArviZ).

- `score`: the grade less one, 0 to 4. `diff_method`: the diffing method. `organism_type`: the organism's family,
  `{CONTROL}` for controls. `agent`: the investigator and its model. `grader`: the judge. `run_idx`: number of the run
  within organism, method, agent and conditions; all judges and repeats of one run share it. `budget`: interactions.
- Main effects: {", ".join(export.factors) or "none"}. Each sums to zero over its levels.

Left out of the model, because these grades cannot tell their effects apart:
{left_out}

This model takes all rows as independent. Grades of one run, and runs on one organism, are not: in simulations its 90 %
intervals held the truth in 67 % of the cases. Compare its means with other models, not its intervals.
"""


def _check_csv(path: Path, rows: pd.DataFrame) -> None:
    import pandas as pd

    # Read as HiBayES reads it: names such as "NA" come back as missing values, "01" as a number.
    back = pd.read_csv(path)
    for name in rows.columns:
        changed = back[name].astype(str).to_numpy() != rows[name].astype(str).to_numpy()
        if changed.any():
            value = rows[name].iloc[int(changed.argmax())]
            raise MendableError(
                f"column {name}: the name {value!r} does not survive a CSV file; rename it in the frame"
            )
