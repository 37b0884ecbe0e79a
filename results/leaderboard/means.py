"""Simple means: mean grades of each method, agent and model, with bootstrap intervals over organisms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...records.errors import MendableError
from ...records.names import BLACKBOX, EVIDENCE_READER, is_keyless, unqualified
from ..schema import CONTROL_FAMILY, FINDING, ORGANISM, grades_in

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["BASELINE_NOTE", "MeansRow", "OrganismGrade", "SimpleMeans", "baselines_of", "simple_means"]

BASELINE_NOTE = (
    "* Baseline: blackbox (no diffing artifact), reader (the artifact alone, without an LLM), "
    "keyless (a deterministic policy in place of an LLM)."
)

_ROW = ["method", "agent", "agent_model"]


@dataclass(frozen=True)
class OrganismGrade:
    """Mean grade on one organism, over its cases."""

    organism: str
    """``<suite>.<name>``."""
    control: bool
    grade: float


@dataclass(frozen=True)
class MeansRow:
    """One method, worked by one agent with one model. NaN stands for what cannot be computed."""

    method: str
    agent: str
    agent_model: str
    baselines: tuple[str, ...]
    """Why it is a baseline: ``blackbox`` (no artifact), ``reader`` (no LLM), ``keyless`` (a policy, no LLM)."""
    grade: float
    """Mean grade, 1..5, over organisms."""
    low: float
    high: float
    """Percentile bootstrap interval of ``grade``; NaN with fewer than two organisms."""
    grade_narrow: float
    """Mean grade over the organisms that are no controls."""
    grade_control: float
    """Mean grade over the controls."""
    false_alarm_rate: float
    """Share of the control cases with the verdict ``changed``, 0..1."""
    fact_recall: float
    """Mean key-fact recall over organisms, 0..1."""
    organisms: int
    cases: int
    grades: int
    interactions_used: float
    """Mean over the attempts at cases."""
    seconds: float
    """Mean over the attempts at cases."""
    errors: int
    """Attempts at cases that ended in an error, or whose model refused, and were graded all the same."""
    organism_grades: tuple[OrganismGrade, ...]

    @property
    def is_baseline(self) -> bool:
        """Whether the row is a baseline rather than a contender."""
        return bool(self.baselines)


@dataclass(frozen=True)
class SimpleMeans:
    """Rows by falling mean grade, and how their intervals were made."""

    rows: tuple[MeansRow, ...]
    level: float
    resamples: int
    seed: int
    notes: tuple[str, ...]
    """Footnotes that belong under every rendering."""


def simple_means(frame: pd.DataFrame, resamples: int = 2000, seed: int = 0, level: float = 0.9) -> SimpleMeans:
    """Aggregate a grades frame to one row for each method, agent and model.

    Grades are averaged within a case (one sample: over judges, repeats, epochs and runs), then over the cases of an
    organism, then over organisms, so that no organism weighs more for having more cases. The interval is the
    percentile bootstrap of the last mean, resampling organisms (the clusters) with replacement (Efron and
    Tibshirani 1993, chapter 13): for B resamples of n organisms, the (1 - level) / 2 and (1 + level) / 2 quantiles of

        mean_b = 1/n * sum_i grade[organism(b, i)],  organism(b, i) uniform over the n organisms.

    All rows use the same seed; rows on the same organisms are thus resampled alike.

    Raises:
        MendableError: For a frame that is empty or no grades frame, and for arguments out of range.
    """
    if not 0 < level < 1:
        raise MendableError(f"level is {level}; it must lie between 0 and 1, e.g. 0.9")
    if resamples < 1:
        raise MendableError(f"resamples is {resamples}; it must be at least 1, e.g. 2000")
    frame = grades_in(frame)
    rows = [_row(group, resamples, seed, level) for _, group in frame.groupby(_ROW, sort=True)]
    ranked = tuple(sorted(rows, key=lambda row: -row.grade))
    return SimpleMeans(ranked, level, resamples, seed, _notes(ranked, level, resamples, seed))


def _row(group: pd.DataFrame, resamples: int, seed: int, level: float) -> MeansRow:
    first = group.iloc[0]
    grades = _by_organism(group, "grade")
    control = group.groupby(ORGANISM)["family"].first() == CONTROL_FAMILY
    attempts = group.drop_duplicates(FINDING)
    low, high = _interval(grades.to_numpy(), resamples, seed, level)
    return MeansRow(
        method=first["method"],
        agent=first["agent"],
        agent_model=first["agent_model"],
        baselines=baselines_of(first["method"], first["agent"], first["agent_model"]),
        grade=float(grades.mean()),
        low=low,
        high=high,
        grade_narrow=float(grades[~control].mean()),
        grade_control=float(grades[control].mean()),
        false_alarm_rate=_false_alarm_rate(attempts),
        fact_recall=float(_by_organism(attempts, "fact_recall").mean()),
        organisms=len(grades),
        cases=int(group["sample"].nunique()),
        grades=len(group),
        interactions_used=float(attempts["interactions_used"].astype(float).mean()),
        seconds=float(attempts["seconds"].astype(float).mean()),
        errors=int(attempts["error"].notna().sum()),
        organism_grades=tuple(
            OrganismGrade(f"{suite}.{name}", bool(control[suite, name]), float(grades[suite, name]))
            for suite, name in grades.index
        ),
    )


def _by_organism(group: pd.DataFrame, column: str) -> pd.Series:
    """Mean over organisms' cases of the cases' means, indexed by suite and organism."""
    return group.groupby([*ORGANISM, "sample"])[column].mean().groupby(level=ORGANISM).mean()


def _interval(grades: np.ndarray, resamples: int, seed: int, level: float) -> tuple[float, float]:
    import numpy as np

    if len(grades) < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).integers(len(grades), size=(resamples, len(grades)))
    low, high = np.quantile(grades[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _false_alarm_rate(attempts: pd.DataFrame) -> float:
    controls = attempts[attempts["family"] == CONTROL_FAMILY]
    alarms = (controls["verdict"] == "changed").fillna(False).astype(float)
    return float(alarms.groupby(controls["sample"]).mean().mean())


def baselines_of(method: str, agent: str, agent_model: str) -> tuple[str, ...]:
    """Why a row is a baseline: ``blackbox``, ``reader``, ``keyless``; empty for a contender."""
    kinds = {
        "blackbox": method == BLACKBOX,
        "reader": unqualified(agent) == EVIDENCE_READER,
        "keyless": is_keyless(agent_model),
    }
    return tuple(kind for kind, applies in kinds.items() if applies)


def _notes(rows: tuple[MeansRow, ...], level: float, resamples: int, seed: int) -> tuple[str, ...]:
    notes = [
        f"Intervals are {level:.0%} percentile bootstrap intervals over organisms "
        f"({resamples} resamples, seed {seed}); "
        "they ignore differences between judges and between runs, which the hierarchical model takes into account.",
        "Grades (1 to 5) are averaged within a case, then over an organism's cases, then over organisms.",
    ]
    single = [row for row in rows if row.organisms < 2]
    if single:
        count = "All rows have" if len(single) == len(rows) else f"{len(single)} of {len(rows)} rows have"
        notes.append(f"{count} one organism only: no interval over organisms can be computed.")
    if any(2 <= row.organisms < 8 for row in rows):
        notes.append("With few organisms (fewer than 8) bootstrap intervals are too narrow.")
    if any(row.is_baseline for row in rows):
        notes.append(BASELINE_NOTE)
    return tuple(notes)
