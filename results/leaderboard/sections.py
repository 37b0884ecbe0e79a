"""The tables of a leaderboard as text cells, the same for terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ...views.panels import Table
from ..agreement import JudgeAgreement, PairAgreement
from ..model.checks import WithoutOrganism
from ..model.summary import Estimate, LevelEffect, VarianceShare
from .counts import ConfidenceBin, Consistency, DilutionPoint
from .means import MeansRow
from .ranking import Leaderboard, LeaderboardRow

__all__ = ["MISSING", "Section", "interval", "name_of", "number", "seconds", "sections"]

MISSING = "–"
R = TypeVar("R")
_CONDITIONS = {"variant": "variant", "interactions": "interactions", "framing": "framing", "blind": "blinded"}


@dataclass(frozen=True)
class Section:
    """One table."""

    key: str
    table: Table
    detail: bool = False
    """Whether it has no room in a terminal."""


def sections(made: Leaderboard) -> tuple[Section, ...]:
    """All tables that have rows, the ranking first."""
    makers = (
        _ranking,
        _beside,
        _cost,
        _families,
        _pairs,
        _shares,
        _conditions,
        _dilution,
        _judges,
        _judge_pairs,
        _calibration,
        _variance,
        _stability,
        _simple,
        _organisms,
    )
    found = (make(made) for make in makers)
    return tuple(section for section in found if section.table.rows)


def number(value: float, digits: int = 2) -> str:
    """Fixed decimals, a dash for NaN."""
    return MISSING if math.isnan(value) else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 2) -> str:
    """``low–high``, with negative numbers ``low to high``; a dash for NaN."""
    if math.isnan(low) or math.isnan(high):
        return MISSING
    return f"{low:.{digits}f}{'–' if low >= 0 else ' to '}{high:.{digits}f}"


def seconds(value: float) -> str:
    """Whole ones from a hundred on, a dash for NaN."""
    return number(value, 0 if value >= 100 else 1)


def name_of(row: LeaderboardRow | MeansRow) -> str:
    """The method, baselines with an asterisk."""
    return f"{row.method} *" if row.is_baseline else row.method


def _with_interval(estimate: Estimate) -> str:
    shown = number(estimate.mean)
    return shown if math.isnan(estimate.low) else f"{shown} ({interval(estimate.low, estimate.high)})"


def _by_row(
    title: str, rows: Iterable[R], columns: Mapping[str, Callable[[R], str]], note: str = "", names: int = 1
) -> Table:
    """A table with a row for each of ``rows``, its cells written by the functions of the columns."""
    cells = tuple(tuple(write(row) for write in columns.values()) for row in rows)
    return Table(title, tuple(columns), cells, names, note)


def _ranking(made: Leaderboard) -> Section:
    columns: dict[str, Callable[[LeaderboardRow], str]] = {
        "method": name_of,
        "grade": lambda row: number(row.grade.mean),
        f"{made.level:.0%} interval": lambda row: interval(row.grade.low, row.grade.high),
        "P(≥2)": lambda row: number(row.at_least_2.mean),
        "P(≥4)": lambda row: number(row.at_least_4.mean),
        "P(best)": lambda row: number(row.p_best),
        "rank": lambda row: number(row.rank.mean, 1),
        "its interval": lambda row: interval(row.rank.low, row.rank.high, 0),
    }
    note = (
        "Expected grade (1 to 5) for a new organism and finding; families weigh equally, investigator, judge and "
        "conditions are average."
        if made.summary
        else "Mean grade (1 to 5) over organisms with a bootstrap interval; no model."
    )
    note += "" if made.ranked else " Nothing is ranked: see the notes."
    if made.model and made.model.engine == "hibayes":
        note += f" From {made.model.name}: intervals are too narrow, see the notes."
    return Section("ranking", _by_row("Leaderboard", made.rows, columns, note))


def _beside(made: Leaderboard) -> Section:
    columns: dict[str, Callable[[LeaderboardRow], str]] = {
        "method": name_of,
        "false alarms": lambda row: number(row.false_alarms.share),
        f"{made.level:.0%} interval": lambda row: interval(row.false_alarms.low, row.false_alarms.high),
        "gap": lambda row: MISSING if row.gap is None else f"{row.gap.gap:+.2f}",
        "seeds": lambda row: _consistent(row.seeds),
        "repeats": lambda row: _consistent(row.repeats),
        "recall": lambda row: number(row.fact_recall),
    }
    note = (
        "False alarms: share of findings on controls with the verdict changed, Wilson interval. Gap: agents less "
        "the evidence reader. Seeds, repeats: mean difference of grades / share of pairs within 1. "
        "Recall: share of the key facts named."
    )
    return Section("beside", _by_row("Beside the grade", made.rows, columns, note))


def _consistent(found: Consistency | None) -> str:
    return MISSING if found is None else f"{found.difference:.2f}/{found.within_1:.2f}"


def _cost(made: Leaderboard) -> Section:
    columns: dict[str, Callable[[LeaderboardRow], str]] = {
        "method": name_of,
        "organisms": lambda row: str(row.organisms),
        "cases": lambda row: str(row.cases),
        "runs": lambda row: str(row.findings),
        "grades": lambda row: str(row.grades),
        "errors": lambda row: str(row.errors),
        "dollars": lambda row: MISSING if math.isnan(row.cost) else f"{row.cost:.3g}",
        "tokens": lambda row: number(row.tokens, 0),
        "sec.": lambda row: seconds(row.seconds),
    }
    note = "A run makes one finding. Dollars, tokens, seconds: means a run; dollars where the model's price is known."
    return Section("cost", _by_row("How much was run, and what it took", made.rows, columns, note))


def _families(made: Leaderboard) -> Section:
    if made.summary is None:
        grades = {(cell.method, cell.family): (cell.grade, "") for cell in made.observed}
    else:
        grades = {
            (cell.method, cell.family): (cell.grade.mean, "" if cell.cases else "?") for cell in made.summary.families
        }
    families = sorted({family for _, family in grades})
    unknown = (math.nan, "")
    cells = [[grades.get((row.method, family), unknown) for row in made.rows] for family in families]
    rows = tuple(
        (family, *(number(grade) + mark for grade, mark in own)) for family, own in zip(families, cells, strict=True)
    )
    # Deeper for a higher grade, 1 to 5.
    shades = tuple((None, *(_shade((grade - 1) / 4) for grade, _ in own)) for own in cells)
    note = (
        "Expected grade; ? marks what was not run and is extrapolated."
        if made.summary
        else "Mean grade over the family's organisms."
    )
    return Section("families", Table("Methods by family", ("family", *map(name_of, made.rows)), rows, 1, note, shades))


def _pairs(made: Leaderboard) -> Section:
    known = made.summary.comparisons if made.summary and made.ranked else ()
    higher = {(pair.first, pair.second): pair.p_first_higher for pair in known}
    cells = [[higher.get((row.method, other.method), math.nan) for other in made.rows] for row in made.rows if known]
    rows = tuple((name_of(row), *map(number, own)) for row, own in zip(made.rows, cells, strict=False))
    # One colour above a half, another one below.
    shades = tuple((None, *(_shade(2 * probability - 1) for probability in own)) for own in cells)
    note = "Probability that the method of the row has the higher expected grade than the one of the column."
    return Section("pairs", Table("P(A > B)", ("A, against B:", *map(name_of, made.rows)), rows, 1, note, shades))


def _shade(depth: float) -> float | None:
    return None if math.isnan(depth) else depth


def _shares(made: Leaderboard) -> Section:
    by_method = {shares.method: shares for shares in made.shares}
    rows: list[tuple[str, ...]] = []
    for row in made.rows:
        shares = by_method[row.method]
        rows.append((name_of(row), "observed", *map(number, shares.observed), str(shares.grades)))
        if shares.fitted is not None:
            rows.append((name_of(row), "model", *map(number, shares.fitted), ""))
    note = "Shares of the grades 1 to 5; model (thin bars): what it expects of the same findings and judges."
    return Section(
        "shares",
        Table("Grades given", ("method", "", "1", "2", "3", "4", "5", "grades"), tuple(rows), 2, note=note),
        detail=True,
    )


def _conditions(made: Leaderboard) -> Section:
    levels = made.summary.conditions if made.summary else ()
    columns: dict[str, Callable[[LevelEffect], str]] = {
        "condition": lambda level: _CONDITIONS.get(level.condition, level.condition),
        "level": lambda level: level.level,
        "grade": lambda level: _with_interval(level.grade),
        "effect": lambda level: _with_interval(level.effect),
    }
    note = "Expected grade, all else average; effect on the logit scale against the average of the levels."
    return Section("conditions", _by_row("Investigators and conditions", levels, columns, note, 2))


def _dilution(made: Leaderboard) -> Section:
    points = {(point.method, point.general): point for point in made.dilution}
    parts = sorted({general for _, general in points})
    rows = tuple((f"1 : {part:g}", *(_diluted(points.get((row.method, part))) for row in made.rows)) for part in parts)
    note = "Mean grade (organisms) of the organisms with diluted variants, by parts of narrow to general data."
    return Section("dilution", Table("Dilution", ("narrow : general", *map(name_of, made.rows)), rows, note=note))


def _diluted(point: DilutionPoint | None) -> str:
    return MISSING if point is None else f"{point.grade:.2f} ({point.organisms})"


def _judges(made: Leaderboard) -> Section:
    if made.agreement is None:
        return Section("judges", Table("Judges", (), ()))
    modelled = {judge.judge: judge.severity for judge in made.summary.judges} if made.summary else {}
    columns: dict[str, Callable[[JudgeAgreement], str]] = {
        "judge": lambda judge: judge.judge,
        "grades": lambda judge: str(judge.grades),
        "mean": lambda judge: number(judge.mean),
        "severity": lambda judge: _with_interval(modelled.get(judge.judge, Estimate.unknown())),
        "diff.": lambda judge: number(judge.severity.value),
        "repeats": lambda judge: number(judge.repeat_exact.value),
    }
    alpha = made.agreement.alpha
    said = f"{alpha.value:.2f} over {alpha.cases} findings" if not math.isnan(alpha.value) else alpha.note
    note = (
        f"Krippendorff's ordinal alpha: {said}. Severity: logit scale of the model, positive is stricter. Diff.: mean "
        "difference to the other judges on the same findings. Repeats: share of its repeats that agree."
    )
    return Section("judges", _by_row("Judges", made.agreement.judges, columns, note))


def _judge_pairs(made: Leaderboard) -> Section:
    columns: dict[str, Callable[[PairAgreement], str]] = {
        "judge": lambda pair: pair.judges[0],
        "and": lambda pair: pair.judges[1],
        "kappa": lambda pair: number(pair.kappa.value),
        "findings": lambda pair: str(pair.kappa.cases),
    }
    pairs = made.agreement.pairs if made.agreement else ()
    note = "Cohen's kappa with quadratic weights on the findings that both graded."
    return Section("judge_pairs", _by_row("Agreement of judges", pairs, columns, note, 2), detail=True)


def _calibration(made: Leaderboard) -> Section:
    columns: dict[str, Callable[[ConfidenceBin], str]] = {
        "stated": lambda found: f"{found.low:.1f}–{found.high:.1f}",
        "mean": lambda found: number(found.confidence),
        "share ≥4": lambda found: number(found.good.share),
        f"{made.level:.0%} interval": lambda found: interval(found.good.low, found.good.high),
        "findings": lambda found: str(found.findings),
        "grades": lambda found: str(found.grades),
    }
    note = (
        "Stated confidence of the findings against the share of their grades that are 4 or 5 (Wilson interval, "
        "grades taken for independent)."
    )
    return Section("calibration", _by_row("Calibration of stated confidence", made.calibration, columns, note))


def _variance(made: Leaderboard) -> Section:
    columns: dict[str, Callable[[VarianceShare], str]] = {
        "term": lambda share: share.term,
        "share": lambda share: number(share.share.mean),
        f"{made.level:.0%} interval": lambda share: interval(share.share.low, share.share.high),
    }
    shares = made.summary.variance if made.summary else ()
    note = "Share of a single grade's variance on the logit scale; residual is the scatter of one judge's grade."
    return Section("variance", _by_row("Where the variance is", shares, columns, note), detail=True)


def _stability(made: Leaderboard) -> Section:
    stability = made.stability
    if stability is None:
        return Section("stability", Table("Without single organisms", (), ()))
    columns: dict[str, Callable[[WithoutOrganism], str]] = {
        "left out": lambda one: one.organism,
        "best": lambda one: one.order[0],
        "order": lambda one: "same" if one.order == stability.order else "changed",
        "tau": lambda one: number(one.agreement),
        "shift": lambda one: number(one.largest_shift),
    }
    note = (
        f"Fitted again without each organism: the same best method in {stability.same_best:.0%}, the same order in "
        f"{stability.same_order:.0%}. Tau: Kendall's, with the order on all organisms; shift: the largest of an "
        "expected grade."
    )
    return Section("stability", _by_row("Without single organisms", stability.without, columns, note, 3))


_MEANS: dict[str, Callable[[MeansRow], str]] = {
    "method": name_of,
    "agent": lambda row: row.agent,
    "model": lambda row: row.agent_model,
    "grade": lambda row: number(row.grade),
    "interval": lambda row: interval(row.low, row.high),
    "n": lambda row: f"{row.organisms}/{row.cases}/{row.grades}",
}
_MEANS_WITHOUT_MODEL: dict[str, Callable[[MeansRow], str]] = {
    "narrow": lambda row: number(row.grade_narrow),
    "control": lambda row: number(row.grade_control),
    "false alarms": lambda row: number(row.false_alarm_rate),
    "recall": lambda row: number(row.fact_recall),
    "asked": lambda row: number(row.interactions_used, 1),
    "sec.": lambda row: seconds(row.seconds),
    "errors": lambda row: str(row.errors),
}


def _simple(made: Leaderboard) -> Section:
    modelled = made.summary is not None
    columns = _MEANS if modelled else _MEANS | _MEANS_WITHOUT_MODEL
    note = (
        f"Mean grades over organisms with {made.simple.level:.0%} bootstrap intervals of each method, agent and "
        "model; n: organisms/cases/grades."
    )
    if not modelled:
        note += " Narrow, control: means over the organisms of that kind. Asked: interactions used."
    return Section("simple", _by_row("Simple means", made.simple.rows, columns, note, 3), detail=modelled)


def _organisms(made: Leaderboard) -> Section:
    means = made.simple.rows if made.summary is None else ()
    controls = {item.organism: item.control for row in means for item in row.organism_grades}
    grades = [{item.organism: item.grade for item in row.organism_grades} for row in means]
    rows = tuple(
        (f"{name} (control)" if controls[name] else name, *(number(of.get(name, math.nan)) for of in grades))
        for name in sorted(controls, key=lambda name: (controls[name], name))
    )
    header = ("organism", *(_investigated(row, means) for row in means))
    return Section(
        "organisms", Table("Mean grade by organism", header, rows, note="Control: nothing narrow was finetuned.")
    )


def _investigated(row: MeansRow, rows: tuple[MeansRow, ...]) -> str:
    """The method, and agent and model as far as the rows differ in them."""
    label = [name_of(row)]
    label += [row.agent] if len({other.agent for other in rows}) > 1 else []
    label += [row.agent_model] if len({other.agent_model for other in rows}) > 1 else []
    return ", ".join(label)
