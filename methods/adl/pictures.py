"""Pictures of the artifact of ``adl``: lens and patchscope by position, norms, steered beside unsteered samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...views.panels import Bar, Bars, Group, Note, Panel, RankedToken, Row, SideBySide, TokenColumn, TokenTable
from ..contract import Labels
from .payload import (
    CONTROL_TOKENS,
    LEAST_POSITIONS,
    AdlPayload,
    LensVector,
    PatchedVector,
    Patchscope,
    PatchscopeRow,
    PositionRow,
    SteeringTable,
)

__all__ = ["pictures"]

_TOKENS = 40
"""Ranks of a lens; the readers give the others."""


def pictures(payload: AdlPayload, labels: Labels) -> Sequence[Panel]:
    """Norms, lens of the difference, patchscope, steered samples, and last the controls."""
    rows = payload.positions
    said = payload.told(labels)
    if payload.no_difference:
        return [Note("Summary", f"{said}\nEvery difference is exactly zero: the two models compute the same.")]
    norms = tuple(Bar(row.position, row.relative_norm) for row in rows)
    note = f"Relative to the mean |h_{labels.finetuned}|, {payload.norm_reference:.4g}."
    differences = (_lens(rows, "difference", "+d"), _lens(rows, "negative_difference", "-d"))
    controls = (_lens(rows, "base", labels.base), _lens(rows, "finetuned", labels.finetuned))
    return [
        Note("Summary", said),
        Bars("Norm of the difference by position", "relative norm", norms, note=note),
        Group("Logit lens of the difference", differences),
        *([_patchscope(payload.patchscope, labels)] if payload.patchscope else []),
        *_steering(payload.steering, labels),
        Group("Controls: logit lens of the mean activation itself", controls),
    ]


def _lens(rows: Sequence[PositionRow], vector: LensVector, name: str) -> TokenTable:
    """A lens by position; in that of a difference, what recurs and is not the base's own is marked."""
    difference = vector in {"difference", "negative_difference"}
    lenses = [row.lens.of(vector)[:_TOKENS] for row in rows]
    places = Counter(token for lens in lenses for token in {token for token, _ in lens})
    least = min(LEAST_POSITIONS, sum(1 for lens in lenses if lens))
    columns = []
    for row, lens in zip(rows, lenses, strict=True):
        ordinary = {token for token, _ in row.lens.base[:CONTROL_TOKENS]}
        tokens = tuple(
            RankedToken(token, p, difference and token not in ordinary and places[token] >= least) for token, p in lens
        )
        columns.append(TokenColumn(row.position, tokens, "" if tokens else "the difference is zero"))
    mark = (
        f"in this lens at {least} positions or more, and not among the first {CONTROL_TOKENS} of the base's own "
        "activation at this one"
    )
    return TokenTable(f"Logit lens of {name}", "probability", tuple(columns), mark if difference else "")


def _patchscope(patchscope: Patchscope, labels: Labels) -> Group:
    sources: tuple[tuple[PatchedVector, str], ...] = (
        ("difference", f"Patchscope of +d in {labels.finetuned}"),
        ("base", f"Control: patchscope of the mean h_{labels.base} in {labels.base}"),
        ("finetuned", f"Control: patchscope of the mean h_{labels.finetuned} in {labels.finetuned}"),
    )
    tables = tuple(_patched(patchscope.rows, vector, title) for vector, title in sources)
    note = (
        "Tokens that the model reads in a vector put in place of a token it is to repeat, each position at the scale "
        f"that a judge found most coherent ({patchscope.judge})."
    )
    return Group("Patchscope", tables, note)


def _patched(rows: Sequence[PatchscopeRow], vector: PatchedVector, title: str) -> TokenTable:
    columns = []
    for row in rows:
        found = row.of(vector)
        if found is None:
            columns.append(TokenColumn(row.position, (), "the vector is zero"))
            continue
        tokens = tuple(RankedToken(token, p, token in found.selected) for token, p in found.tokens[:_TOKENS])
        columns.append(TokenColumn(row.position, tokens, f"scale {found.scale:g}"))
    return TokenTable(title, "probability", tuple(columns), "found by the judge to belong together")


def _steering(tables: Sequence[SteeringTable], labels: Labels) -> list[Panel]:
    panels = tuple(
        SideBySide(
            f"Samples of {labels.finetuned}, steered at {table.position}",
            ("unsteered", f"steered by {table.strength:.2f} x d"),
            tuple(Row(row.prompt, (row.unsteered, row.steered)) for row in table.samples),
        )
        for table in tables
    )
    return [Group("Steering", panels)] if panels else []
