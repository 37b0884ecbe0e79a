"""Pictures of the artifact of ``activation_norms``: distributions by layer, heat maps of the texts that differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ...views.panels import Group, Lines, Note, Panel, Series
from ..activations.heat import HeatRow, along, heat_group
from ..artifact import Artifact
from ..registry import Labels
from .method import top_rows

__all__ = ["pictures"]

_UNIT = "norm of the difference"


def pictures(artifact: Artifact, labels: Labels) -> Sequence[Panel]:
    """Norm and cosine by layer, then for each layer its top texts by mean and by maximum, and the least ones."""
    payload = artifact.payload()
    tables = payload["layers"]
    said = (
        f"|h_{labels.finetuned} - h_{labels.base}| and cosine of the residual streams on the same tokens, over "
        f"{payload['texts']} texts and chats, first tokens and those of the chat template left out."
    )
    if all(table["difference"]["max"] == 0.0 for table in tables):
        return [Note("Summary", f"{said}\nEvery difference is exactly zero: the two models compute the same.")]
    layers = tuple(str(table["layer"]) for table in tables)
    x_label = f"layer (of {payload['layer_count']})"
    return [
        Note("Summary", said),
        _norms(tables, layers, x_label),
        _relative(tables, layers, x_label, labels),
        _cosines(tables, layers, x_label),
        *(_layer(payload, table) for table in tables),
    ]


def _norms(tables: Sequence[dict[str, Any]], layers: tuple[str, ...], x_label: str) -> Lines:
    # Percentiles as they were kept; standard deviation and minimum do not lie on the same scale of ranks.
    names = [name for name in tables[0]["difference"] if name.startswith("p")]
    shown = [*((f"{name[1:]}th percentile", name) for name in names), ("mean", "mean"), ("maximum", "max")]
    series = tuple(Series(name, tuple(table["difference"][key] for table in tables)) for name, key in shown)
    positive = all(value is not None and value > 0 for line in series for value in line.values)
    return Lines("Norm of the difference by layer", x_label, _UNIT, layers, series, log=positive)


def _relative(tables: Sequence[dict[str, Any]], layers: tuple[str, ...], x_label: str, labels: Labels) -> Lines:
    series = Series("mean difference / mean activation norm", tuple(table["relative"] for table in tables))
    note = f"Activation norms are those of {labels.finetuned}."
    return Lines("Relative size of the difference by layer", x_label, "share", layers, (series,), note=note)


def _cosines(tables: Sequence[dict[str, Any]], layers: tuple[str, ...], x_label: str) -> Lines:
    series = tuple(
        Series(name, tuple(t["cosine"][key] for t in tables)) for name, key in (("mean",) * 2, ("least", "min"))
    )
    return Lines("Cosine of the two models' activations by layer", x_label, "cosine", layers, series)


def _layer(payload: dict[str, Any], table: dict[str, Any]) -> Group:
    orders: tuple[tuple[Literal["mean", "max", "least"], str], ...] = (
        ("mean", "largest mean"),
        ("max", "one token's maximum"),
        ("least", "least mean, to compare with"),
    )
    return Group(
        f"Layer {table['layer']}",
        tuple(_texts(payload, table, order, f"Texts by {name}, layer {table['layer']}") for order, name in orders),
    )


def _texts(payload: dict[str, Any], table: dict[str, Any], order: Literal["mean", "max", "least"], title: str) -> Group:
    rows = [
        HeatRow(
            f"{i}. {row['kind']}, mean {row['mean']:.3g}, max {row['max']:.3g}",
            row["tokens"],
            along(len(row["tokens"]), row["positions"], row["difference"]),
        )
        for i, row in enumerate(top_rows(payload, table, order), 1)
    ]
    return heat_group(title, rows, _UNIT)
