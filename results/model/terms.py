"""Factors and terms of the linear predictor, and which of them a design can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Factor", "Floats", "Ints", "Term", "identifiable", "sum_to_zero"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Factor:
    """A column of the frame, or several taken together, with its levels in their order."""

    name: str
    levels: tuple[str, ...]
    codes: Ints
    """Level of each row of the frame."""


@dataclass(frozen=True)
class Term:
    """One summand of the linear predictor: ``effects = basis @ w * sd / h`` with ``w ~ Normal(0, h)``.

    A term that is not pooled has ``sd = scale`` and h = 1; a pooled one has ``sd ~ HalfNormal(scale)`` and
    ``h = sqrt(1 + information * sd^2)``: for a small sd that is the non-centred form, for a large one, where the data
    and not the prior hold the effects, the centred one, and w keeps its posterior scale between them (Papaspiliopoulos,
    Roberts and Sköld 2007, with the weight of each form following the sd). The model is the same for any information.
    """

    name: str
    levels: tuple[str, ...]
    scale: float
    pooled: bool
    basis: Floats | None = None
    """``[levels, columns]`` with orthonormal columns; None for the identity."""
    index: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Level of each cell; of no cell for the judge, whose level belongs to the grade."""
    information: float = 0.0
    """What the data say about one level of a pooled term: the inverse of its likelihood's variance, roughly."""

    @property
    def columns(self) -> int:
        """Number of its coefficients."""
        return len(self.levels) if self.basis is None else self.basis.shape[1]


def sum_to_zero(levels: int) -> Floats:
    """Orthonormal basis, ``[levels, levels - 1]``, of the vectors that sum to zero (Helmert contrasts).

    Normal coefficients with sd s give effects that are exchangeable, each with sd ``s * sqrt(1 - 1 / levels)``.
    """
    basis = np.zeros((levels, levels - 1))
    for column in range(1, levels):
        basis[:column, column - 1] = 1.0
        basis[column, column - 1] = -column
        basis[:, column - 1] /= np.sqrt(column * (column + 1))
    return basis


def identifiable(rows: Sequence[Factor]) -> tuple[dict[str, Floats], list[str]]:
    """Sum-to-zero bases of the factors, reduced to what the rows can tell apart, and what was left out, in words.

    Of each factor, the contrasts that are linear combinations of the columns before it (the
    intercept and the earlier factors) are removed: their effect is credited to the earlier factor.

    Args:
        rows: The factors at each distinct combination of levels, from the one that is credited first to the last.

    Returns:
        A basis ``[levels, columns]`` by name, without factors that keep no column; sentences on what was left out.
    """
    named = {factor.name: factor for factor in rows}
    bases: dict[str, Floats] = {}
    sentences = []
    for name, factor in named.items():
        if len(factor.levels) < 2:
            sentences.append(f"{name} is left out: it has only one level ({factor.levels[0]})")
            continue
        full = sum_to_zero(len(factor.levels))
        columns = {other: basis[named[other].codes] for other, basis in bases.items()}
        kept, lost = _split(full[factor.codes], list(columns.values()))
        if kept.shape[1]:
            bases[name] = full if not lost.shape[1] else full @ kept
        if lost.shape[1]:
            partner = _partner(full[factor.codes] @ lost, columns)
            sentences.append(_confounded(name, partner, lost.shape[1], full.shape[1]))
    return bases, sentences


def _split(candidate: Floats, before: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Directions of ``candidate``'s columns that the columns before leave free, and those that they explain."""
    residual = candidate - _explained(candidate, before)
    gram_values, vectors = np.linalg.eigh(residual.T @ residual)
    free = gram_values > _TOLERANCE * max(1.0, float(np.square(candidate).sum()))
    return vectors[:, free], vectors[:, ~free]


def _explained(columns: Floats, before: Sequence[Floats]) -> Floats:
    known = np.column_stack([np.ones(len(columns)), *before])
    solution = np.linalg.lstsq(known, columns, rcond=None)[0]
    explained: Floats = known @ solution
    return explained


def _partner(lost: Floats, columns: dict[str, Floats]) -> str:
    """The one earlier factor that explains the lost columns, or all of them."""
    for name, known in columns.items():
        if np.allclose(_explained(lost, [known]), lost, atol=1e-6):
            return name
    return " and ".join(columns)


def _confounded(name: str, partner: str, lost: int, total: int) -> str:
    if lost == total:
        return f"{name} is left out: confounded with {partner}, to which its differences are credited"
    return f"{name}: {lost} of its {total} contrasts are confounded with {partner} and credited to it"
