"""What the compiled density reads of a design, as plain arrays whose indices were all checked.

Compiled code does not look whether an index lies in its array: one that does not would read or write other memory.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .design import GRADES, Design
from .terms import Floats, Ints, Term, sum_to_zero

__all__ = [
    "BLOCK",
    "DensityArrays",
    "GradeArrays",
    "NodeArrays",
    "TermArrays",
    "checked",
    "density_arrays",
    "nodes_for",
]

BLOCK = 8
"""The number of nodes is a multiple of it, so that loops over nodes are whole vectors of the processor."""
_MOST_NODES = 64


class TermArrays(NamedTuple):
    """The terms of the linear predictor, their levels below each other, the judge's last where there is one."""

    sd_scales: Floats
    """Scale of each sd's half-normal prior, ``[sds]``."""
    sd_of_term: Ints
    """Which sd a term has; -1 for none."""
    information: Floats
    """Of each term, as `Term.information`."""
    first_column: Ints
    """Where the coefficients of each term begin, and the end."""
    first_level: Ints
    """Where the levels of each term begin, and the end."""
    basis_column: Ints
    """Rows of all bases, below each other, as compressed sparse rows: the coefficient of each value."""
    basis_start: Ints
    """Where the values of each level begin, and the end."""
    basis_value: Floats
    """With the fixed scales of what is not pooled."""


class GradeArrays(NamedTuple):
    """Cells, and their grade patterns with counts."""

    cell_levels: Ints
    """``[cells, terms]``: level of each term but the judge's, numbered over all terms."""
    first_judge: int
    """Where the judges' levels begin; -1 where the judge is no term."""
    codes: Ints
    """This and what follows as in `design.Patterns`, with judge 0 where the judge is no term."""
    pattern_start: Ints
    pattern_count: Floats
    cell_start: Ints


class NodeArrays(NamedTuple):
    """Gauss-Hermite nodes of a standard normal variable, and their weights, which sum to one."""

    at: Floats
    weight: Floats


class DensityArrays(NamedTuple):
    """All that `density.log_density` takes besides the vector."""

    run_effect: bool
    cut_basis: Floats
    """``[GRADES, GRADES - 1]``, as `terms.sum_to_zero`."""
    terms: TermArrays
    grades: GradeArrays
    nodes: NodeArrays


def density_arrays(design: Design, sd_scales: Floats, sd_run: float = 0.0) -> DensityArrays:
    """The arrays of a design.

    Args:
        design: Terms, cells and patterns.
        sd_scales: Prior scales of the sds: those of the pooled terms in order, then the run effect's if there is one.
        sd_run: About what the run effect's sd is; the larger, the more nodes.

    Raises:
        IndexError: When the parts of the design do not fit together.
    """
    x, weight = np.polynomial.hermite_e.hermegauss(nodes_for(design, sd_run))
    terms = _term_arrays(design.terms, sd_scales)
    nodes = NodeArrays(x.astype(np.float64), (weight / weight.sum()).astype(np.float64))
    grades = _grade_arrays(design, terms.first_level)
    return checked(DensityArrays(design.run_effect, sum_to_zero(GRADES), terms, grades, nodes))


def nodes_for(design: Design, sd_run: float) -> int:
    """Gauss-Hermite nodes: more where a run has more grades, whose likelihood is then narrower in the run's effect.

    And more where runs scatter more: the distance between nodes is ``sd_run`` times about ``pi / sqrt(nodes)``. Eight
    of them at sd 2 pull the sd down by up to half its posterior sd in 432 grades, 32 do not.
    """
    most = int(np.diff(design.patterns.pattern_start).max())
    nodes = 8 if most <= 6 else 12 if most <= 16 else 20
    return min(_MOST_NODES, BLOCK * math.ceil(nodes * max(1.0, sd_run) ** 2 / BLOCK))


def _term_arrays(terms: tuple[Term, ...], sd_scales: Floats) -> TermArrays:
    columns: list[Ints] = [np.zeros(0, dtype=np.int64)]
    values: list[Floats] = [np.zeros(0)]
    starts, first = [0], 0
    for term in terms:
        basis = np.eye(len(term.levels)) if term.basis is None else term.basis
        row, column = np.nonzero(basis)
        starts += (starts[-1] + np.cumsum(np.bincount(row, minlength=len(basis)))).tolist()
        columns.append(column + first)
        values.append(basis[row, column] * (1.0 if term.pooled else term.scale))
        first += term.columns
    pooled = [term.pooled for term in terms]
    return TermArrays(
        sd_scales=sd_scales,
        sd_of_term=np.where(pooled, np.cumsum(pooled) - 1, -1).astype(np.int64),
        information=np.array([term.information for term in terms], dtype=np.float64),
        first_column=np.cumsum([0, *(term.columns for term in terms)]).astype(np.int64),
        first_level=np.cumsum([0, *(len(term.levels) for term in terms)]).astype(np.int64),
        basis_column=np.concatenate(columns).astype(np.int64),
        basis_start=np.array(starts, dtype=np.int64),
        basis_value=np.concatenate(values),
    )


def _grade_arrays(design: Design, first_level: Ints) -> GradeArrays:
    judged = design.term("judge") is not None
    summands = design.terms[: len(design.terms) - judged]
    levels = [term.index + first for term, first in zip(summands, first_level[: len(summands)], strict=True)]
    cell_levels = np.column_stack([np.zeros((design.cells, 0), dtype=np.int64), *levels])
    if judged:
        return GradeArrays(cell_levels, int(first_level[-2]), *design.patterns)
    return GradeArrays(cell_levels, -1, *design.patterns._replace(codes=design.patterns.codes % GRADES))


def checked(arrays: DensityArrays) -> DensityArrays:
    """The same arrays, of which every index lies inside the array that it is of.

    Raises:
        IndexError: Naming the array and the index that does not.
    """
    terms, grades = arrays.terms, arrays.grades
    number, levels, columns = len(terms.information), int(terms.first_level[-1]), int(terms.first_column[-1])
    judges = levels - grades.first_judge if grades.first_judge >= 0 else 1
    _within("first_judge", np.array([grades.first_judge]), -1, levels)
    _within("sd_of_term", terms.sd_of_term, -1, len(terms.sd_scales) - arrays.run_effect)
    _within("basis_column", terms.basis_column, 0, columns)
    _within("cell_levels", grades.cell_levels, 0, levels)
    _within("codes", grades.codes, 0, judges * GRADES)
    _starts("first_column", terms.first_column, number, columns)
    _starts("first_level", terms.first_level, number, levels)
    _starts("basis_start", terms.basis_start, levels, len(terms.basis_column))
    _starts("pattern_start", grades.pattern_start, len(grades.pattern_count), len(grades.codes))
    _starts("cell_start", grades.cell_start, len(grades.cell_levels), len(grades.pattern_count))
    if len(arrays.nodes.at) % BLOCK:
        raise IndexError(f"there are {len(arrays.nodes.at)} nodes; their number must be a multiple of {BLOCK}")
    for name, found, wanted in (
        ("sd_of_term", terms.sd_of_term.shape, (number,)),
        ("basis_value", terms.basis_value.shape, terms.basis_column.shape),
        ("cut_basis", arrays.cut_basis.shape, (GRADES, GRADES - 1)),
        ("node weights", arrays.nodes.weight.shape, arrays.nodes.at.shape),
    ):
        if found != wanted:
            raise IndexError(f"{name} has the shape {found}; it must be {wanted}")
    return arrays


def _within(name: str, values: Ints, low: int, end: int) -> None:
    wrong = values[(values < low) | (values >= end)]
    if wrong.size:
        raise IndexError(f"{name} holds {wrong.flat[0]}; allowed is {low} to {end - 1}")


def _starts(name: str, values: Ints, parts: int, end: int) -> None:
    if len(values) != parts + 1 or values[0] != 0 or values[-1] != end or (np.diff(values) < 0).any():
        raise IndexError(f"{name} must rise from 0 to {end} in {parts} steps; it is {values.tolist()[:10]}")
