"""The leaderboard on top of the hierarchical model: one row a method, and what stands behind the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...records.progress import Track, untracked
from ..agreement import Agreement, agreement
from ..model import Stability, Summary
from ..model.summary import LEVEL, Estimate, MethodSummary
from ..schema import CONTROL_FAMILY, FINDING, ORGANISM, check_frame
from .counts import (
    ConfidenceBin,
    Consistency,
    DilutionPoint,
    Gap,
    GradeShares,
    Rate,
    confidence_bins,
    dilution,
    false_alarms,
    findings_of,
    grade_shares,
    repeat_consistency,
    seed_consistency,
    tool_gap,
)
from .engines import FitOutcome, ModelRun, fitted_shares, run_model
from .means import BASELINE_NOTE, MeansRow, SimpleMeans, baselines_of, simple_means

if TYPE_CHECKING:
    import pandas as pd

    from ..schema import LeftOut

__all__ = ["Leaderboard", "LeaderboardRow", "Observed", "contenders", "leaderboard"]

_INVESTIGATOR = ["agent", "agent_model"]
_NOT_ASKED_FOR = FitOutcome(notes=("The model was not asked for: these are means over organisms.",))


@dataclass(frozen=True)
class LeaderboardRow:
    """One method. NaN and None stand for what cannot be computed."""

    method: str
    baselines: tuple[str, ...]
    """Why it is a baseline: ``blackbox`` (no artifact), ``reader`` (no LLM), ``keyless`` (a policy, no LLM)."""
    grade: Estimate
    """Expected grade, 1..5; without a model the mean over organisms with its bootstrap interval."""
    at_least_2: Estimate
    at_least_4: Estimate
    p_best: float
    rank: Estimate
    false_alarms: Rate
    gap: Gap | None
    """Agents with tools less the evidence reader."""
    seeds: Consistency | None
    repeats: Consistency | None
    fact_recall: float
    """Mean key-fact recall over organisms, 0..1."""
    cost: float
    """US dollars a finding."""
    tokens: float
    """A finding, the investigator's own."""
    seconds: float
    """A finding, with queueing and grading."""
    organisms: int
    cases: int
    findings: int
    grades: int
    errors: int
    """Findings of attempts that ended in an error."""

    @property
    def is_baseline(self) -> bool:
        """Whether the row is a baseline rather than a contender."""
        return bool(self.baselines)


@dataclass(frozen=True)
class Observed:
    """Mean grade of one method on one family, over organisms, as it was given."""

    method: str
    family: str
    grade: float
    organisms: int


@dataclass(frozen=True)
class Leaderboard:
    """Everything that a leaderboard shows."""

    rows: tuple[LeaderboardRow, ...]
    """By falling expected grade; by name where ranking is refused."""
    ranked: bool
    model: ModelRun | None
    summary: Summary | None
    """Families, comparisons, judges, conditions and variance shares of the model."""
    observed: tuple[Observed, ...]
    shares: tuple[GradeShares, ...]
    dilution: tuple[DilutionPoint, ...]
    calibration: tuple[ConfidenceBin, ...]
    agreement: Agreement | None
    stability: Stability | None
    simple: SimpleMeans
    """Mean grades with bootstrap intervals of each method, agent and model, baselines' included."""
    left_out: tuple[LeftOut, ...]
    level: float
    notes: tuple[str, ...]


def leaderboard(
    frame: pd.DataFrame,
    draws: int = 500,
    seed: int = 0,
    *,
    resamples: int = 2000,
    model: bool = True,
    loo: bool | None = None,
    left_out: Sequence[LeftOut] = (),
    track: Track = untracked,
    cores: int = 2,
    engine: str = "diffbench",
) -> Leaderboard:
    """Rank the methods of a grades frame.

    The rows rest on one kind of investigator: the agents with a language model; where there are none, the keyless
    ones; where there are none of those either, the evidence reader. The others' grades enter only the gap to the
    evidence reader and the simple means. Where the model is not installed or does not take the grades, expected
    grades are means over organisms with bootstrap intervals, nothing is ranked, and a note says why.

    Args:
        frame: One row a grade, with the columns of `results.schema.COLUMNS`.
        draws: Of each of the model's four chains.
        seed: Of the model and of the bootstrap.
        resamples: Of the bootstrap.
        model: Whether the model is fitted at all.
        loo: Whether it is fitted again without each organism; None: where that will take minutes at most.
        left_out: What is not in the frame; it is only passed on.
        track: Shows the fits.
        cores: Chains that run at once; HiBayES' four always do.
        engine: ``diffbench``, the hierarchical model; or ``hibayes``, HiBayES' flat one, fitted by HiBayES.

    Raises:
        MissingError: When HiBayES is to fit and is not installed.
        MendableError: For a frame that is empty or no grades frame, and for arguments out of range.
    """
    frame = check_frame(frame)
    simple = simple_means(frame, resamples=resamples, seed=seed)
    ranked_on, notes = contenders(frame)
    fitted = run_model(ranked_on, draws, seed, loo, track, cores, engine) if model else _NOT_ASKED_FOR
    found, findings = fitted.fit, findings_of(ranked_on)
    rows = _rows(ranked_on, findings, findings_of(frame), found.summary if found else None, resamples, seed)
    run = ModelRun.of(found) if found else None
    told = (*notes, *fitted.notes, *_notes(rows, run, found is not None, findings))
    return Leaderboard(
        rows=rows,
        ranked=run is not None and not run.problems and len(rows) > 1,
        model=run,
        summary=found.summary if found else None,
        observed=_observed(findings),
        shares=grade_shares(ranked_on, fitted_shares(found) if found else {}),
        dilution=dilution(findings),
        calibration=confidence_bins(findings),
        agreement=agreement(ranked_on, resamples, seed) if ranked_on["verdict"].notna().any() else None,
        stability=fitted.stability,
        simple=simple,
        left_out=tuple(left_out),
        level=LEVEL,
        notes=tuple(dict.fromkeys(told if found else (*told, *simple.notes))),
    )


def contenders(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The grades that a ranking rests on, and a note on those set aside."""
    kinds = [baselines_of("", agent, model) for agent, model in zip(frame["agent"], frame["agent_model"], strict=True)]
    tier = [2 if "reader" in kind else 1 if "keyless" in kind else 0 for kind in kinds]
    best = min(tier)
    keep = [other == best for other in tier]
    aside = frame[[not kept for kept in keep]]
    if aside.empty:
        return frame, ()
    named = ", ".join(f"{agent} with {model} ({len(group)})" for (agent, model), group in aside.groupby(_INVESTIGATOR))
    note = (
        f"{len(aside)} of {len(frame)} grades are of baseline investigators and not in the ranking: {named}. "
        "They are in the simple means, and the evidence reader's also in the gap."
    )
    return frame[keep], (note,)


def _rows(
    frame: pd.DataFrame,
    findings: pd.DataFrame,
    of_all: pd.DataFrame,
    summary: Summary | None,
    resamples: int,
    seed: int,
) -> tuple[LeaderboardRow, ...]:
    # All investigators as one, so that there is one row a method.
    means = simple_means(frame.assign(agent="all", agent_model="all"), resamples=resamples, seed=seed)
    by_method = {row.method: row for row in means.rows}
    modelled = {row.method: row for row in summary.methods} if summary else {}
    is_reader = of_all["agent"].map(lambda agent: "reader" in baselines_of("", agent, ""))
    rows = []
    for method in modelled or sorted(by_method):
        own = findings[findings["method"] == method]
        reader = of_all[is_reader & (of_all["method"] == method)]
        rows.append(_row(own, reader, by_method[method], modelled.get(method)))
    return tuple(rows)


def _row(own: pd.DataFrame, reader: pd.DataFrame, means: MeansRow, modelled: MethodSummary | None) -> LeaderboardRow:
    unknown = Estimate.unknown()
    readers_own = not reader.empty and len(own.merge(reader, on=FINDING)) > 0
    return LeaderboardRow(
        method=means.method,
        baselines=_baselines(own),
        grade=modelled.grade if modelled else Estimate(means.grade, means.low, means.high),
        at_least_2=modelled.at_least_2 if modelled else unknown,
        at_least_4=modelled.at_least_4 if modelled else unknown,
        p_best=modelled.p_best if modelled else math.nan,
        rank=modelled.rank if modelled else unknown,
        false_alarms=false_alarms(own),
        gap=None if reader.empty or readers_own else tool_gap(own, reader),
        seeds=seed_consistency(own),
        repeats=repeat_consistency(own),
        fact_recall=means.fact_recall,
        cost=float(own["cost"].astype(float).mean()),
        tokens=float(own["tokens"].astype(float).mean()),
        seconds=float(own["seconds"].astype(float).mean()),
        organisms=means.organisms,
        cases=means.cases,
        findings=len(own),
        grades=means.grades,
        errors=means.errors,
    )


def _baselines(findings: pd.DataFrame) -> tuple[str, ...]:
    """What holds of all its findings."""
    investigators = findings.drop_duplicates(["method", *_INVESTIGATOR])[["method", *_INVESTIGATOR]]
    kinds = [baselines_of(*map(str, names)) for names in investigators.to_numpy()]
    return tuple(kind for kind in kinds[0] if all(kind in other for other in kinds))


def _observed(findings: pd.DataFrame) -> tuple[Observed, ...]:
    cells = []
    for (method, family), group in findings.groupby(["method", "family"]):
        organisms = group.groupby(ORGANISM)["grade"].mean()
        cells.append(Observed(str(method), str(family), float(organisms.mean()), len(organisms)))
    return tuple(cells)


def _notes(rows: tuple[LeaderboardRow, ...], run: ModelRun | None, fitted: bool, findings: pd.DataFrame) -> list[str]:
    notes = []
    if run is not None:
        notes += [f"No ranking: {problem}." for problem in run.problems]
        notes += [f"Not in the model: {'; '.join(run.omitted)}."] if run.omitted else []
    if not fitted:
        notes.append(
            "Without the model, grades are means over organisms with bootstrap intervals, "
            "which ignore judges and runs; methods are in the order of their names and nothing is ranked."
        )
    if len(rows) == 1:
        notes.append(f"{rows[0].method} is the only method: there is nothing to rank it against.")
    organisms = findings.drop_duplicates(ORGANISM)
    if len(organisms) == 1:
        notes.append("One organism only: nothing says how grades would differ on another one.")
    if findings["grades"].sum() and findings["grade"].nunique() == 1:
        why = "intervals and order come from the prior alone" if fitted else "they tell no methods apart"
        notes.append(f"All grades are {findings['grade'].iloc[0]:g}: {why}.")
    if not (findings["family"] == CONTROL_FAMILY).any():
        notes.append("No control was run: false alarms are unknown.")
    if any(row.is_baseline for row in rows):
        notes.append(BASELINE_NOTE)
    return notes
