"""The tables of a leaderboard as text cells, the same for terminal, Markdown and HTML."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, replace

from .board import Board, BoardRow
from .measures import Consistency
from .model.summary import Estimate

__all__ = ["MISSING", "Section", "interval", "name_of", "number", "printable", "sections"]

MISSING = "–"
_CONDITIONS = {"variant": "variant", "interactions": "interactions", "framing": "framing", "blind": "blinded"}


@dataclass(frozen=True)
class Section:
    """One table."""

    key: str
    title: str
    note: str
    """What the numbers are."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    """How many of the first columns are names."""


def sections(board: Board) -> tuple[Section, ...]:
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
    )
    made = (make(board) for make in makers)
    return tuple(_printable_section(section) for section in made if section.rows)


def printable(text: str) -> str:
    """The text with an escape in place of what steers terminals or the direction of writing: names come from logs."""
    return "".join(
        c.encode("unicode_escape").decode("ascii") if unicodedata.category(c) in {"Cc", "Cf", "Cs"} else c for c in text
    )


def _printable_section(section: Section) -> Section:
    return replace(
        section,
        note=printable(section.note),
        header=tuple(map(printable, section.header)),
        rows=tuple(tuple(map(printable, row)) for row in section.rows),
    )


def number(value: float, digits: int = 2) -> str:
    """Fixed decimals, a dash for NaN."""
    return MISSING if math.isnan(value) else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 2) -> str:
    """``low–high``, with negative numbers ``low to high``; a dash for NaN."""
    if math.isnan(low) or math.isnan(high):
        return MISSING
    return f"{low:.{digits}f}{'–' if low >= 0 else ' to '}{high:.{digits}f}"


def name_of(row: BoardRow) -> str:
    """The method, baselines with an asterisk."""
    return f"{row.method} *" if row.is_baseline else row.method


def _with_interval(estimate: Estimate) -> str:
    shown = number(estimate.mean)
    return shown if math.isnan(estimate.low) else f"{shown} ({interval(estimate.low, estimate.high)})"


def _ranking(board: Board) -> Section:
    rows = tuple(
        (
            name_of(row),
            number(row.grade.mean),
            interval(row.grade.low, row.grade.high),
            number(row.at_least_2.mean),
            number(row.at_least_4.mean),
            number(row.p_best),
            number(row.rank.mean, 1),
            interval(row.rank.low, row.rank.high, 0),
        )
        for row in board.rows
    )
    what = (
        "Expected grade (1 to 5) for a new organism and finding; families weigh equally, investigator, judge and "
        "conditions are average."
        if board.summary
        else "Mean grade (1 to 5) over organisms with a bootstrap interval; no model."
    )
    note = what + ("" if board.ranked else " Nothing is ranked: see the notes.")
    if board.model and board.model.engine == "hibayes":
        note += f" From {board.model.name}: intervals are too narrow, see the notes."
    header = ("method", "grade", f"{board.level:.0%} interval", "P(≥2)", "P(≥4)", "P(best)", "rank", "its interval")
    return Section("ranking", "Leaderboard", note, header, rows)


def _beside(board: Board) -> Section:
    rows = tuple(
        (
            name_of(row),
            number(row.false_alarms.share),
            interval(row.false_alarms.low, row.false_alarms.high),
            MISSING if row.gap is None else f"{row.gap.gap:+.2f}",
            _consistent(row.seeds),
            _consistent(row.repeats),
            number(row.fact_recall),
        )
        for row in board.rows
    )
    note = (
        "False alarms: share of findings on controls with the verdict changed, Wilson interval. Gap: agents less "
        "the evidence reader. Seeds, repeats: mean difference of grades / share of pairs within 1. "
        "Recall: share of the key facts named."
    )
    header = ("method", "false alarms", f"{board.level:.0%} interval", "gap", "seeds", "repeats", "recall")
    return Section("beside", "Beside the grade", note, header, rows)


def _consistent(found: Consistency | None) -> str:
    return MISSING if found is None else f"{found.difference:.2f}/{found.within_1:.2f}"


def _cost(board: Board) -> Section:
    rows = tuple(
        (
            name_of(row),
            str(row.organisms),
            str(row.cases),
            str(row.findings),
            str(row.grades),
            str(row.errors),
            MISSING if math.isnan(row.cost) else f"{row.cost:.3g}",
            number(row.tokens, 0),
            number(row.seconds, 0 if row.seconds >= 100 else 1),
        )
        for row in board.rows
    )
    header = ("method", "organisms", "cases", "runs", "grades", "errors", "dollars", "tokens", "sec.")
    note = "A run makes one finding. Dollars, tokens, seconds: means a run; dollars where the model's price is known."
    return Section("cost", "How much was run, and what it took", note, header, rows)


def _families(board: Board) -> Section:
    methods = [row.method for row in board.rows]
    if board.summary is None:
        grades = {(cell.method, cell.family): number(cell.grade) for cell in board.observed}
    else:
        grades = {
            (cell.method, cell.family): number(cell.grade.mean) + ("" if cell.cases else "?")
            for cell in board.summary.families
        }
    families = sorted({family for _, family in grades})
    rows = tuple((family, *(grades.get((method, family), MISSING) for method in methods)) for family in families)
    note = (
        "Expected grade; ? marks what was not run and is extrapolated."
        if board.summary
        else "Mean grade over the family's organisms."
    )
    return Section("families", "Methods by family", note, ("family", *map(name_of, board.rows)), rows)


def _pairs(board: Board) -> Section:
    higher = {(c.first, c.second): c for c in board.summary.comparisons} if board.summary and board.ranked else {}
    rows = tuple(
        (
            name_of(row),
            *(
                number(higher[row.method, other.method].p_first_higher) if other is not row else MISSING
                for other in board.rows
            ),
        )
        for row in board.rows
        if higher
    )
    note = "Probability that the method of the row has the higher expected grade than the one of the column."
    return Section("pairs", "P(A > B)", note, ("A, against B:", *map(name_of, board.rows)), rows)


def _shares(board: Board) -> Section:
    by_method = {shares.method: shares for shares in board.shares}
    rows: list[tuple[str, ...]] = []
    for row in board.rows:
        shares = by_method[row.method]
        rows.append((name_of(row), "observed", *map(number, shares.observed), str(shares.grades)))
        if shares.fitted is not None:
            rows.append((name_of(row), "model", *map(number, shares.fitted), ""))
    note = "Shares of the grades 1 to 5; model (thin bars): what it expects of the same findings and judges."
    return Section("shares", "Grades given", note, ("method", "", "1", "2", "3", "4", "5", "grades"), tuple(rows), 2)


def _conditions(board: Board) -> Section:
    levels = board.summary.conditions if board.summary else ()
    rows = tuple(
        (_CONDITIONS.get(level.condition, level.condition), level.level, _with_interval(level.grade),
         _with_interval(level.effect))
        for level in levels
    )  # fmt: skip
    note = "Expected grade, all else average; effect on the logit scale against the average of the levels."
    header = ("condition", "level", "grade", "effect")
    return Section("conditions", "Investigators and conditions", note, header, rows, 2)


def _dilution(board: Board) -> Section:
    points = {(point.method, point.general): point for point in board.dilution}
    parts = sorted({general for _, general in points})
    rows = tuple(
        (
            f"1 : {general:g}",
            *(_diluted(points[row.method, general].grade, points[row.method, general].organisms)
              if (row.method, general) in points else MISSING for row in board.rows),
        )
        for general in parts
    )  # fmt: skip
    note = "Mean grade (organisms) of the organisms with diluted variants, by parts of narrow to general data."
    return Section("dilution", "Dilution", note, ("narrow : general", *map(name_of, board.rows)), rows)


def _diluted(grade: float, organisms: int) -> str:
    return f"{grade:.2f} ({organisms})"


def _judges(board: Board) -> Section:
    if board.agreement is None:
        return Section("judges", "Judges", "", (), ())
    modelled = {judge.judge: judge for judge in board.summary.judges} if board.summary else {}
    unknown = Estimate.unknown()
    rows = tuple(
        (
            judge.judge,
            str(judge.grades),
            number(judge.mean),
            _with_interval(modelled[judge.judge].severity if judge.judge in modelled else unknown),
            number(judge.severity.value),
            number(judge.repeat_exact.value),
        )
        for judge in board.agreement.judges
    )
    alpha = board.agreement.alpha
    said = f"{alpha.value:.2f} over {alpha.cases} findings" if not math.isnan(alpha.value) else alpha.note
    note = (
        f"Krippendorff's ordinal alpha: {said}. Severity: logit scale of the model, positive is stricter. Diff.: mean "
        "difference to the other judges on the same findings. Repeats: share of its repeats that agree."
    )
    return Section("judges", "Judges", note, ("judge", "grades", "mean", "severity", "diff.", "repeats"), rows)


def _judge_pairs(board: Board) -> Section:
    pairs = board.agreement.pairs if board.agreement else ()
    rows = tuple((pair.judges[0], pair.judges[1], number(pair.kappa.value), str(pair.kappa.cases)) for pair in pairs)
    note = "Cohen's kappa with quadratic weights on the findings that both graded."
    return Section("judge_pairs", "Agreement of judges", note, ("judge", "and", "kappa", "findings"), rows, 2)


def _calibration(board: Board) -> Section:
    rows = tuple(
        (
            f"{found.low:.1f}–{found.high:.1f}",
            number(found.confidence),
            number(found.good.share),
            interval(found.good.low, found.good.high),
            str(found.findings),
            str(found.grades),
        )
        for found in board.calibration
    )
    note = (
        "Stated confidence of the findings against the share of their grades that are 4 or 5 (Wilson interval, "
        "grades taken for independent)."
    )
    header = ("stated", "mean", "share ≥4", f"{board.level:.0%} interval", "findings", "grades")
    return Section("calibration", "Calibration of stated confidence", note, header, rows)


def _variance(board: Board) -> Section:
    shares = board.summary.variance if board.summary else ()
    rows = tuple(
        (share.term, number(share.share.mean), interval(share.share.low, share.share.high)) for share in shares
    )
    note = "Share of a single grade's variance on the logit scale; residual is the scatter of one judge's grade."
    return Section("variance", "Where the variance is", note, ("term", "share", f"{board.level:.0%} interval"), rows)


def _stability(board: Board) -> Section:
    stability = board.stability
    if stability is None:
        return Section("stability", "Without single organisms", "", (), ())
    rows = tuple(
        (one.organism, one.order[0], "same" if one.order == stability.order else "changed", number(one.agreement),
         number(one.largest_shift))
        for one in stability.without
    )  # fmt: skip
    note = (
        f"Fitted again without each organism: the same best method in {stability.same_best:.0%}, the same order in "
        f"{stability.same_order:.0%}. Tau: Kendall's, with the order on all organisms; shift: the largest of an "
        "expected grade."
    )
    header = ("left out", "best", "order", "tau", "shift")
    return Section("stability", "Without single organisms", note, header, rows, 3)


def _simple(board: Board) -> Section:
    rows = tuple(
        (
            f"{row.method} *" if row.is_baseline else row.method,
            row.agent,
            row.agent_model,
            number(row.grade),
            interval(row.low, row.high),
            f"{row.organisms}/{row.cases}/{row.grades}",
        )
        for row in board.simple.rows
    )
    note = (
        f"Mean grades over organisms with {board.simple.level:.0%} bootstrap intervals of each method, agent and "
        "model; n: organisms/cases/grades."
    )
    header = ("method", "agent", "model", "grade", "interval", "n")
    return Section("simple", "Simple means", note, header, rows, 3)
