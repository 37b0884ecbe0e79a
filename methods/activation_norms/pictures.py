"""Pictures of the artifact of ``activation_norms``: distributions by layer, heat maps of the texts that differ most."""

from __future__ import annotations

from collections.abc import Sequence

from ...views.panels import Group, Lines, Note, Panel, Series
from ..activations.heat import HeatRow, along, heat_group
from ..contract import Labels
from .payload import PERCENTILES, LayerNorms, NormsPayload, Order

__all__ = ["pictures"]

_UNIT = "norm of the difference"
_ORDERS: tuple[tuple[Order, str], ...] = (
    ("mean", "largest mean"),
    ("max", "one token's maximum"),
    ("least", "least mean, to compare with"),
)


def pictures(payload: NormsPayload, labels: Labels) -> Sequence[Panel]:
    """Norm and cosine by layer, then for each layer its top texts by mean and by maximum, and the least ones."""
    said = (
        f"|h_{labels.finetuned} - h_{labels.base}| and cosine of the residual streams on the same tokens, over "
        f"{payload.texts} texts and chats, first tokens and those of the chat template left out."
    )
    if payload.no_difference:
        return [Note("Summary", f"{said}\nEvery difference is exactly zero: the two models compute the same.")]
    return [
        Note("Summary", said),
        _norms(payload),
        _relative(payload, labels),
        _cosines(payload),
        *(
            Group(f"Layer {layer.layer}", tuple(_texts(payload, layer, *order) for order in _ORDERS))
            for layer in payload.layers
        ),
    ]


def _norms(payload: NormsPayload) -> Lines:
    # Percentiles as they were kept; standard deviation and minimum do not lie on the same scale of ranks.
    shown = [*((f"{p}th percentile", f"p{p}") for p in PERCENTILES), ("mean", "mean"), ("maximum", "max")]
    differences = [layer.difference for layer in payload.layers]
    series = [Series(name, tuple(getattr(each, field) for each in differences)) for name, field in shown]
    positive = all(value is not None and value > 0 for line in series for value in line.values)
    return _by_layer(payload, "Norm of the difference by layer", _UNIT, series, log=positive)


def _relative(payload: NormsPayload, labels: Labels) -> Lines:
    series = Series("mean difference / mean activation norm", tuple(layer.relative for layer in payload.layers))
    note = f"Activation norms are those of {labels.finetuned}."
    return _by_layer(payload, "Relative size of the difference by layer", "share", [series], note=note)


def _cosines(payload: NormsPayload) -> Lines:
    cosines = [layer.cosine for layer in payload.layers]
    series = [Series("mean", tuple(c.mean for c in cosines)), Series("least", tuple(c.min for c in cosines))]
    return _by_layer(payload, "Cosine of the two models' activations by layer", "cosine", series)


def _by_layer(
    payload: NormsPayload, title: str, unit: str, series: Sequence[Series], log: bool = False, note: str = ""
) -> Lines:
    layers = tuple(str(layer.layer) for layer in payload.layers)
    return Lines(title, f"layer (of {payload.layer_count})", unit, layers, tuple(series), log=log, note=note)


def _texts(payload: NormsPayload, layer: LayerNorms, order: Order, name: str) -> Group:
    rows = []
    for i, found in enumerate(payload.ranked(layer, order), 1):
        text, row = found.text, found.row
        values = along(len(text.tokens), row.positions, row.difference)
        rows.append(HeatRow(f"{i}. {text.kind}, mean {row.mean:.3g}, max {row.max:.3g}", text.tokens, values))
    return heat_group(f"Texts by {name}, layer {layer.layer}", rows, _UNIT)
