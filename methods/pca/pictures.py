"""Pictures of the artifact of ``pca``: variances, lenses, texts at both ends, steered samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ...views.panels import Group, Lines, Note, Panel, RankedToken, Row, Series, SideBySide, TokenColumn, TokenTable
from ..activations.heat import HeatRow, along, heat_group
from ..contract import Labels
from .payload import SIGNS, Component, PcaPayload, SteeringTables

__all__ = ["pictures"]

_TOKENS = 40


def pictures(payload: PcaPayload, labels: Labels) -> Sequence[Panel]:
    """Explained variance, then for each component its lens, its extreme texts and its samples."""
    said = (
        f"Principal components of h_{labels.finetuned} - h_{labels.base} after layer {payload.layer} of "
        f"{payload.layer_count}, over {payload.tokens} tokens of {payload.texts} texts and chats. The mean "
        f"difference, which is subtracted, has norm {payload.mean_norm:.4g}. Which direction of a component is + "
        "has no meaning."
    )
    if not payload.components:
        return [Note("Summary", f"{said}\n{payload.nothing_varies}")]
    return [
        Note("Summary", said),
        _variance(payload.components),
        *(_component(payload, component, labels) for component in payload.components),
    ]


def _variance(components: Sequence[Component]) -> Lines:
    shares = [component.explained_variance_ratio for component in components]
    return Lines(
        "Explained variance",
        "component",
        "share of the variance",
        tuple(str(component.component) for component in components),
        (Series("component alone", tuple(shares)), Series("cumulative", tuple(accumulate(shares)))),
    )


def _component(payload: PcaPayload, component: Component, labels: Labels) -> Group:
    note = (
        f"{component.explained_variance_ratio:.2%} of the variance, projections from {component.minimum:.3g} to "
        f"{component.maximum:.3g}."
    )
    return Group(
        f"Component {component.component}",
        (_lens(component), *_ends(payload, component), *_steering(payload.steering, component.component, labels)),
        note,
    )


def _lens(component: Component) -> TokenTable:
    columns = tuple(
        TokenColumn(f"{sign}c", tuple(RankedToken(token, p) for token, p in component.lens[sign][:_TOKENS]))
        for sign in SIGNS
    )
    return TokenTable(f"Logit lens of component {component.component}", "probability", columns)


def _ends(payload: PcaPayload, component: Component) -> list[Group]:
    groups = []
    for sign in SIGNS:
        rows = [
            HeatRow(
                f"{i}. {row.text.kind}, farthest {row.farthest:.3g}",
                row.text.tokens,
                along(len(row.text.tokens), row.text.positions, row.row.projections),
            )
            for i, row in enumerate(payload.end(component, sign), 1)
        ]
        title = f"Texts at the {sign} end of component {component.component}"
        groups.append(heat_group(title, rows, "projection", signed=True))
    return groups


def _steering(steering: SteeringTables, number: int, labels: Labels) -> list[SideBySide]:
    tables = [table for table in steering.tables if table.component == number]
    if not tables:
        return []
    rows = [
        Row(prompt, (unsteered, *(table.samples[i] for table in tables)))
        for i, (prompt, unsteered) in enumerate(zip(steering.prompts, steering.unsteered, strict=True))
    ]
    columns = ("unsteered", *(f"{table.sign}{table.factor:g}" for table in tables))
    note = "Strengths in units of the maximum projection."
    title = f"Samples of {labels.finetuned}, steered along component {number}"
    return [SideBySide(title, columns, tuple(rows), shown=3, note=note)]
