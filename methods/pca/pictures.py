"""Pictures of the artifact of ``pca``: variances, lenses, texts at both ends, steered samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ...views.panels import Group, Lines, Note, Panel, RankedToken, Row, Series, SideBySide, TokenColumn, TokenTable
from ..activations.heat import HeatRow, along, heat_group
from ..artifact import Artifact
from ..registry import Labels
from .method import SIGNS, end_rows, nothing_varies

__all__ = ["pictures"]

_TOKENS = 40


def pictures(artifact: Artifact, labels: Labels) -> Sequence[Panel]:
    """Explained variance, then for each component its lens, its extreme texts and its samples."""
    payload = artifact.payload()
    said = (
        f"Principal components of h_{labels.finetuned} - h_{labels.base} after layer {payload['layer']} of "
        f"{payload['layer_count']}, over {payload['tokens']} tokens of {payload['texts']} texts and chats. The mean "
        f"difference, which is subtracted, has norm {payload['mean_norm']:.4g}. Which direction of a component is + "
        "has no meaning."
    )
    if not payload["components"]:
        return [Note("Summary", f"{said}\n{nothing_varies(payload)}")]
    return [
        Note("Summary", said),
        _variance(payload["components"]),
        *(_component(payload, table, labels) for table in payload["components"]),
    ]


def _variance(tables: Sequence[dict[str, Any]]) -> Lines:
    shares = [table["explained_variance_ratio"] for table in tables]
    return Lines(
        "Explained variance",
        "component",
        "share of the variance",
        tuple(str(table["component"]) for table in tables),
        (Series("component alone", tuple(shares)), Series("cumulative", tuple(accumulate(shares)))),
    )


def _component(payload: dict[str, Any], table: dict[str, Any], labels: Labels) -> Group:
    number = table["component"]
    note = (
        f"{table['explained_variance_ratio']:.2%} of the variance, projections from {table['minimum']:.3g} to "
        f"{table['maximum']:.3g}."
    )
    return Group(
        f"Component {number}",
        (_lens(table), *(_ends(payload, table, number)), *_steering(payload["steering"], number, labels)),
        note,
    )


def _lens(table: dict[str, Any]) -> TokenTable:
    columns = tuple(
        TokenColumn(f"{sign}c", tuple(RankedToken(token, p) for token, p in table["lens"][sign][:_TOKENS]))
        for sign in SIGNS
    )
    return TokenTable(f"Logit lens of component {table['component']}", "probability", columns)


def _ends(payload: dict[str, Any], table: dict[str, Any], number: int) -> list[Group]:
    groups = []
    for sign in SIGNS:
        extreme = "max" if sign == "+" else "min"
        rows = [
            HeatRow(
                f"{i}. {row['kind']}, farthest {row[extreme]:.3g}",
                row["tokens"],
                along(len(row["tokens"]), row["positions"], row["projections"]),
            )
            for i, row in enumerate(end_rows(payload, table, sign), 1)
        ]
        groups.append(heat_group(f"Texts at the {sign} end of component {number}", rows, "projection", signed=True))
    return groups


def _steering(steering: dict[str, Any], number: int, labels: Labels) -> list[SideBySide]:
    tables = [table for table in steering["tables"] if table["component"] == number]
    if not tables:
        return []
    rows = [
        Row(prompt, (tuple(unsteered), *(tuple(table["samples"][i]) for table in tables)))
        for i, (prompt, unsteered) in enumerate(zip(steering["prompts"], steering["unsteered"], strict=True))
    ]
    columns = ("unsteered", *(f"{table['sign']}{table['factor']:g}" for table in tables))
    note = "Strengths in units of the maximum projection."
    title = f"Samples of {labels.finetuned}, steered along component {number}"
    return [SideBySide(title, columns, tuple(rows), shown=3, note=note)]
