"""From a grades frame to what the model is fitted to: terms, cells, and grade patterns with their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...records.errors import MendableError
from ..schema import FINDING, grades_in
from .terms import Factor, Floats, Ints, Term, identifiable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CONDITIONS", "GRADES", "Design", "Patterns", "design_of"]

GRADES = 5
"""Grades are 1..5."""

CONDITIONS = ("variant", "interactions", "framing", "blind", "hints")

_SCALES = {"method": 1.0, "family": 1.0, "investigator": 0.5, "judge": 0.5} | dict.fromkeys(CONDITIONS, 0.5)
_POOLED_SCALES = {"method x family": 0.5, "method x investigator": 0.5, "organism": 1.0, "method x organism": 0.5}
_CELL_FACTORS = ("method", "family", "investigator", *CONDITIONS)


class Patterns(NamedTuple):
    """Grades of runs (one finding each): those with the same grades in the same cell are one pattern with a count."""

    codes: Ints
    """Of the grades of all patterns: ``judge * GRADES + grade - 1``."""
    pattern_start: Ints
    """Where the codes of each pattern begin, and the end."""
    pattern_count: Floats
    """How many runs of the cell show the pattern."""
    cell_start: Ints
    """Where the patterns of each cell begin, and the end."""


@dataclass(frozen=True)
class Design:
    """What a fit sees of a frame. A *cell* is a combination of everything but judge, repeat and epoch."""

    factors: dict[str, Factor]
    """All factors, in the model or not; codes are those of the cells, the judge's those of the frame's rows."""
    organism_family: Ints
    """Family of each organism."""
    terms: tuple[Term, ...]
    """Of the linear predictor, with the judge's last where there is one."""
    run_effect: bool
    omitted: tuple[str, ...]
    """Sentences: what the frame cannot tell and is therefore not in the model."""
    patterns: Patterns
    grades: int
    runs: int

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.patterns.cell_start) - 1

    def term(self, name: str) -> Term | None:
        """The term of that name, or None where it is left out."""
        return next((term for term in self.terms if term.name == name), None)


def design_of(frame: pd.DataFrame) -> Design:
    """Read terms, cells and patterns off a grades frame.

    Raises:
        MendableError: For a frame that is empty or no grades frame, and for an organism in two families.
    """
    frame = grades_in(frame)
    factors, organism_family = _factors(frame)
    names = [*_CELL_FACTORS, "organism"]
    cells, cell = np.unique(np.column_stack([factors[name].codes for name in names]), axis=0, return_inverse=True)
    cell = cell.ravel().astype(np.int64)
    judge = factors["judge"].codes
    bases, omitted = _bases(factors, cell, judge)
    runs = _Runs.of(frame, cell, judge * GRADES + frame["grade"].to_numpy() - 1)
    at_cells = {name: Factor(name, factors[name].levels, cells[:, i].astype(np.int64)) for i, name in enumerate(names)}
    at_cells["judge"] = factors["judge"]
    terms, more = _terms(at_cells, organism_family, bases, runs)
    run_effect = runs.clustered
    if not run_effect:
        more.append("run is left out: no finding has more than one grade, so its scatter is part of the cutpoints'")
    return Design(
        factors=at_cells,
        organism_family=organism_family,
        terms=terms,
        run_effect=run_effect,
        omitted=(*omitted, *more),
        patterns=runs.patterns,
        grades=len(frame),
        runs=len(runs.cell),
    )


@dataclass(frozen=True)
class _Runs:
    cell: Ints
    """Of each run."""
    patterns: Patterns
    clustered: bool
    """Whether any run has more than one grade."""

    @classmethod
    def of(cls, frame: pd.DataFrame, cell: Ints, codes: Ints) -> _Runs:
        run = frame.groupby(FINDING, sort=False).ngroup().to_numpy()
        order = np.lexsort((codes, run, cell))
        cell, run, codes = cell[order], run[order], codes[order]
        starts = np.flatnonzero(np.r_[True, (np.diff(run) != 0) | (np.diff(cell) != 0)])
        ends = np.r_[starts[1:], len(run)]
        counts: dict[tuple[int, bytes], int] = {}
        for start, end in zip(starts, ends, strict=True):
            key = (int(cell[start]), codes[start:end].tobytes())
            counts[key] = counts.get(key, 0) + 1
        graded = [np.frombuffer(key[1], dtype=np.int64) for key in counts]
        of_cell = np.array([key[0] for key in counts])
        patterns = Patterns(
            codes=np.concatenate(graded),
            pattern_start=np.cumsum([0, *map(len, graded)]).astype(np.int64),
            pattern_count=np.array(list(counts.values()), dtype=np.float64),
            cell_start=np.searchsorted(of_cell, np.arange(cell.max() + 2)).astype(np.int64),
        )
        return cls(cell[starts], patterns, clustered=bool((ends - starts > 1).any()))


def _factors(frame: pd.DataFrame) -> tuple[dict[str, Factor], Ints]:
    plain = ("method", "family", "framing", "blind", "hints", "variant", "judge")
    columns = {name: frame[name].astype(str) for name in plain}
    columns["organism"] = frame["suite"].astype(str) + "." + frame["organism"].astype(str)
    columns["investigator"] = frame["agent"].astype(str) + " with " + frame["agent_model"].astype(str)
    factors = {name: _factor(name, column, sorted(set(column))) for name, column in columns.items()}
    numbers = sorted(set(frame["interactions"]))
    factors["interactions"] = _factor("interactions", frame["interactions"].astype(str), [str(n) for n in numbers])
    pairs = np.unique(np.column_stack([factors["organism"].codes, factors["family"].codes]), axis=0)
    if len(pairs) > len(factors["organism"].levels):
        twice = pairs[np.flatnonzero(np.diff(pairs[:, 0]) == 0)[0]]
        name = factors["organism"].levels[twice[0]]
        families = [factors["family"].levels[family] for organism, family in pairs if organism == twice[0]]
        raise MendableError(f"organism {name} is in the families {', '.join(families)}; give each organism one family")
    return factors, pairs[:, 1].astype(np.int64)


def _factor(name: str, column: pd.Series, levels: Sequence[str]) -> Factor:
    code = {level: i for i, level in enumerate(levels)}
    return Factor(name, tuple(levels), np.asarray(column.map(code), dtype=np.int64))


def _bases(factors: dict[str, Factor], cell: Ints, judge: Ints) -> tuple[dict[str, Floats], list[str]]:
    order = ("method", "family", "investigator", "judge", *CONDITIONS)
    _, first = np.unique(np.column_stack([cell, judge]), axis=0, return_index=True)
    return identifiable([Factor(name, factors[name].levels, factors[name].codes[first]) for name in order])


def _terms(
    cells: dict[str, Factor], organism_family: Ints, bases: dict[str, Floats], runs: _Runs
) -> tuple[tuple[Term, ...], list[str]]:
    """All terms in order, the judge's last, and what was left out of the pooled ones."""
    terms = [
        Term(name, cells[name].levels, _SCALES[name], pooled=False, basis=bases[name], index=cells[name].codes)
        for name in _CELL_FACTORS
        if name in bases
    ]
    more: list[str] = []
    for other in ("family", "investigator"):
        terms += _interaction(cells, bases, other, runs, more)
    terms += _organisms(cells, organism_family, runs, more)
    if "judge" in bases:
        terms.append(Term("judge", cells["judge"].levels, _SCALES["judge"], pooled=False, basis=bases["judge"]))
    return tuple(terms), more


def _interaction(
    cells: dict[str, Factor], bases: dict[str, Floats], other: str, runs: _Runs, more: list[str]
) -> list[Term]:
    name = f"method x {other}"
    missing = [factor for factor in ("method", other) if factor not in bases]
    if missing:
        more.append(f"{name} is left out: there is no effect of {' and '.join(missing)} to vary")
        return []
    method, second = cells["method"], cells[other]
    index = method.codes * len(second.levels) + second.codes
    main = bases["method"].shape[1] + bases[other].shape[1] + 1
    if len(np.unique(index)) <= main:
        more.append(f"{name} is left out: confounded with method and {other}, too few of their pairs were run")
        return []
    # Effects of pairs of levels that sum to zero over either factor.
    basis = np.kron(bases["method"], bases[other]).astype(np.float64)
    levels = tuple(f"{a}, {b}" for a in method.levels for b in second.levels)
    return [_pooled(name, levels, index, runs, basis)]


def _organisms(cells: dict[str, Factor], organism_family: Ints, runs: _Runs, more: list[str]) -> list[Term]:
    method, organism = cells["method"], cells["organism"]
    organisms = len(organism.levels)
    if organisms == len(set(organism_family.tolist())):
        why = "there is only one" if organisms == 1 else "confounded with family, each has a single organism"
        more.append(f"organism is left out: {why}")
        more.append(f"method x organism is left out: {why.replace('with family', 'with method x family')}")
        return []
    terms = [_pooled("organism", organism.levels, organism.codes, runs)]
    name = "method x organism"
    if len(method.levels) < 2:
        more.append(f"{name} is left out: there is no effect of method to vary")
        return terms
    index = method.codes * organisms + organism.codes
    if runs.clustered and np.bincount(index[runs.cell]).max() < 2:
        more.append(f"{name} is left out: confounded with run, each pair was investigated once")
        return terms
    levels = tuple(f"{a}, {b}" for a in method.levels for b in organism.levels)
    return [*terms, _pooled(name, levels, index, runs)]


def _pooled(name: str, levels: tuple[str, ...], index: Ints, runs: _Runs, basis: Floats | None = None) -> Term:
    """A pooled term with the information in its levels' runs.

    A run with n grades tells its predictor with variance of about 1 (its own effect) + 3 / n (the logistic's 1 / .3).
    """
    grades = len(runs.patterns.codes) / max(1, len(runs.patterns.pattern_count))
    information = float(np.median(np.bincount(index[runs.cell], minlength=1))) / (1 + 3 / grades)
    return Term(name, levels, _POOLED_SCALES[name], True, basis, index, information)
