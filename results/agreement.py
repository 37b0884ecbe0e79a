"""How far judges agree with each other and with themselves, read from the grades frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath
from typing import TYPE_CHECKING

from ..records.errors import MendableError
from ..records.names import is_keyless
from .schema import FINDING, check_frame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Grades = npt.NDArray[np.float64]

__all__ = [
    "Agreement",
    "Drift",
    "JudgeAgreement",
    "Measure",
    "PairAgreement",
    "agreement",
    "ordinal_alpha",
    "quadratic_kappa",
]


@dataclass(frozen=True)
class Measure:
    """A number and what it rests on."""

    value: float
    """NaN when it cannot be computed; ``note`` says why."""
    cases: int
    """Cases that it was computed from."""
    note: str = ""


@dataclass(frozen=True)
class PairAgreement:
    """Two judges on the cases that both graded."""

    judges: tuple[str, str]
    kappa: Measure
    """Cohen's kappa with quadratic weights."""


@dataclass(frozen=True)
class Drift:
    """Change of a judge's severity from log to log."""

    slope: float
    """Grades per log, in the order of the logs' file names (which start with the time)."""
    low: float
    high: float
    """Percentile bootstrap interval over the cases of each log."""
    logs: int


@dataclass(frozen=True)
class JudgeAgreement:
    """One judge against the others and against itself."""

    judge: str
    cases: int
    grades: int
    mean: float
    """Mean grade, over cases."""
    severity: Measure
    """Mean difference of its grade to the mean of the other judges on the same case; negative is severe."""
    repeat_exact: Measure
    """Share of pairs of repeats on one case with the same grade, averaged over cases."""
    repeat_alpha: Measure
    """Krippendorff's alpha with the repeats in the part of the judges."""
    drift: Drift | None
    drift_note: str = ""
    """Why there is no drift."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of all judges of a grades frame."""

    alpha: Measure
    """Krippendorff's alpha for ordinal data, over all judges."""
    judges: tuple[JudgeAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    level: float
    notes: tuple[str, ...]


def agreement(frame: pd.DataFrame, resamples: int = 2000, seed: int = 0, level: float = 0.9) -> Agreement:
    """Agreement of the judges in a grades frame.

    A case here is one finding: a sample in one epoch of one log. Alpha and kappa take one grade a judge and case, that
    of the first repeat that has one, so they are the reliability of single grades; severity takes the mean over
    repeats. Cases without a finding (no verdict) are left out: no judge was asked about them.

    Raises:
        MendableError: For a frame without grades of a finding or no grades frame, and for arguments out of range.
    """
    if not 0 < level < 1:
        raise MendableError(f"level is {level}; it must lie between 0 and 1, e.g. 0.9")
    if resamples < 1:
        raise MendableError(f"resamples is {resamples}; it must be at least 1, e.g. 2000")
    whole = check_frame(frame)
    frame = whole[whole["verdict"].notna()]
    if frame.empty:
        raise MendableError("the grades frame holds no grade of a finding; make one with grades_frame(logs)")
    crashed = int((~whole.duplicated(FINDING) & whole["verdict"].isna()).sum())
    single = frame.sort_values("judge_repeat").groupby([*FINDING, "judge"])["grade"].first().unstack("judge")
    means = frame.groupby([*FINDING, "judge"])["grade"].mean().unstack("judge")
    judges = [str(judge) for judge in single.columns]
    return Agreement(
        alpha=ordinal_alpha(single.to_numpy(dtype=float)),
        judges=tuple(_judge(frame, means, judge, resamples, seed, level) for judge in judges),
        pairs=tuple(_pair(single, one, other) for one, other in combinations(judges, 2)),
        level=level,
        notes=_notes(judges, means, crashed),
    )


def ordinal_alpha(grades: npt.ArrayLike) -> Measure:
    """Krippendorff's alpha with the ordinal metric; ``grades`` is [cases, judges], NaN where a grade is missing.

    With the coincidences o_ck (each case u of m_u >= 2 grades adds 1 / (m_u - 1) for each ordered pair of its
    grades), their margins n_c and n = sum_c n_c:

        alpha = 1 - (n - 1) * sum_{c<k} o_ck * d_ck^2 / sum_{c<k} n_c * n_k * d_ck^2
        d_ck  = sum_{g=c..k} n_g - (n_c + n_k) / 2

    (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"). 1 is perfect, 0 is chance.
    """
    import numpy as np

    table: Grades = np.asarray(grades, dtype=float)
    if table.ndim != 2:
        raise ValueError(f"grades have {table.ndim} dimensions; they are a table of cases and judges")
    table = table[(~np.isnan(table)).sum(axis=1) >= 2]
    if not len(table):
        return Measure(math.nan, 0, "no case has two grades")
    values = np.unique(table[~np.isnan(table)])
    if len(values) < 2:
        return Measure(math.nan, len(table), _no_variation(values[0]))
    counts = (table[:, :, None] == values).sum(axis=1).astype(float)  # [cases, values]
    weights = 1 / (counts.sum(axis=1) - 1)
    coincidences = np.einsum("u,uc,uk->ck", weights, counts, counts) - np.diag(weights @ counts)
    margins = coincidences.sum(axis=1)
    below = np.cumsum(margins) - margins / 2  # so that a difference of two is d_ck
    squares = np.square(below[:, None] - below[None, :])
    expected = float((np.outer(margins, margins) * squares).sum())
    observed = float((coincidences * squares).sum())
    return Measure(1 - (float(margins.sum()) - 1) * observed / expected, len(table))


def quadratic_kappa(one: Sequence[float], other: Sequence[float]) -> Measure:
    """Cohen's kappa with quadratic weights of two lists of grades on the same cases (Cohen 1968).

        kappa = 1 - n * sum_i (a_i - b_i)^2 / sum_i sum_j (a_i - b_j)^2

    which is 1 - observed / expected disagreement under the weights (a - b)^2.

    Raises:
        MendableError: When the lists differ in length.
    """
    import numpy as np

    if len(one) != len(other):
        raise ValueError(f"{len(one)} grades against {len(other)}; kappa compares grades of the same cases")
    if len(one) < 2:
        return Measure(math.nan, len(one), "fewer than two cases have both grades")
    a, b = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    expected = float(np.square(a[:, None] - b[None, :]).sum())
    if expected == 0:
        return Measure(math.nan, len(a), _no_variation(a[0]))
    return Measure(1 - len(a) * float(np.square(a - b).sum()) / expected, len(a))


def _no_variation(grade: float) -> str:
    return f"all grades are {grade:g}: without variation there is no chance level"


def _pair(single: pd.DataFrame, one: str, other: str) -> PairAgreement:
    both = single[[one, other]].dropna()
    return PairAgreement((one, other), quadratic_kappa(both[one].to_list(), both[other].to_list()))


def _judge(
    frame: pd.DataFrame, means: pd.DataFrame, judge: str, resamples: int, seed: int, level: float
) -> JudgeAgreement:
    own = frame[frame["judge"] == judge]
    repeats = own.pivot_table(index=FINDING, columns="judge_repeat", values="grade").to_numpy(dtype=float)
    differences = (means[judge] - means.drop(columns=judge).mean(axis=1)).dropna()
    drift, note = _drift(differences, resamples, seed, level)
    return JudgeAgreement(
        judge=judge,
        cases=int(means[judge].notna().sum()),
        grades=len(own),
        mean=float(means[judge].mean()),
        severity=_severity(differences),
        repeat_exact=_repeat_exact(repeats),
        repeat_alpha=_repeat_alpha(repeats),
        drift=drift,
        drift_note=note,
    )


def _severity(differences: pd.Series) -> Measure:
    if differences.empty:
        return Measure(math.nan, 0, "no other judge graded the same cases")
    return Measure(float(differences.mean()), len(differences))


def _repeat_exact(repeats: Grades) -> Measure:
    import numpy as np

    shares = []
    for row in repeats:
        given = row[~np.isnan(row)]
        if len(given) >= 2:
            shares.append(float(np.mean([a == b for a, b in combinations(given, 2)])))
    if not shares:
        return Measure(math.nan, 0, "no case was graded twice by this judge")
    return Measure(float(np.mean(shares)), len(shares))


def _repeat_alpha(repeats: Grades) -> Measure:
    alpha = ordinal_alpha(repeats)
    return alpha if alpha.cases else Measure(math.nan, 0, "no case was graded twice by this judge")


def _drift(differences: pd.Series, resamples: int, seed: int, level: float) -> tuple[Drift | None, str]:
    """Least-squares slope of the differences over the number of the log, resampled within logs."""
    import numpy as np

    logs = sorted(differences.index.unique("log"), key=lambda log: (PurePath(log).name, log))
    if len(logs) < 2:
        return None, f"{len(logs)} logs with cases that others graded too; drift needs two"
    groups = [differences.xs(log, level="log").to_numpy(dtype=float) for log in logs]
    sizes = [len(group) for group in groups]
    position = np.repeat(np.arange(len(logs), dtype=float), sizes)
    centred = position - position.mean()
    random = np.random.default_rng(seed)
    drawn = [group[random.integers(len(group), size=(resamples, len(group)))] for group in groups]
    slopes = np.concatenate(drawn, axis=1) @ centred / (centred @ centred)
    low, high = np.quantile(slopes, [(1 - level) / 2, (1 + level) / 2])
    slope = float(np.concatenate(groups) @ centred / (centred @ centred))
    if max(sizes) < 2:
        return Drift(slope, math.nan, math.nan, len(logs)), "one case a log: no interval"
    return Drift(slope, float(low), float(high), len(logs)), ""


def _notes(judges: Sequence[str], means: pd.DataFrame, crashed: int) -> tuple[str, ...]:
    notes = []
    if crashed:
        notes.append(f"{crashed} cases without a finding are left out: no judge was asked about them.")
    if len(judges) < 2:
        notes.append(f"{judges[0]} is the only judge: agreement between judges needs a second one on the same logs.")
    elif not (means.notna().sum(axis=1) >= 2).any():
        notes.append(
            "No case was graded by two judges: add a judge to the same log with "
            "inspect score LOG --scorer diffbench/rubric_grade --action append --model-role grader=MODEL."
        )
    if any(map(is_keyless, judges)):
        notes.append("keyless/… is a baseline that counts words; agreement with it says little about a judge.")
    return tuple(notes)
