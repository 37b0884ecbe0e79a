"""Pictures of the artifact of ``weight_amplification``: samples of all models side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ...views.panels import Bar, Bars, Note, Panel, Row, SideBySide
from ..contract import Labels
from .payload import AmplificationPayload

__all__ = ["pictures"]


def pictures(payload: AmplificationPayload, labels: Labels) -> Sequence[Panel]:
    """What was amplified, how often the samples loop, and the samples by prompt."""
    b, f = labels.base, labels.finetuned
    said = (
        f"Samples of {f} with its difference of weights from {b} multiplied by w: theta_{f} + (w - 1)(theta_{f} - "
        f"theta_{b}). w = 1 is {f} itself; above 1 the difference is overstated, below 0 it is turned round."
    )
    if payload.identical:
        return [Note("Summary", f"{said}\nThe two models have exactly the same weights: there is nothing to amplify.")]
    if payload.drift is not None:
        said += f"\nSize of the difference, relative to the weights of {b}: {payload.drift:.4f}."
    names = tuple(model.described(labels) for model in payload.models)
    loops = tuple(Bar(name, model.looping) for name, model in zip(names, payload.models, strict=True))
    rows = tuple(Row(row.prompt, row.samples) for row in payload.prompts)
    return [
        Note("Summary", said),
        Bars("Samples that loop", "share of the samples", loops, percent=True),
        SideBySide("Samples by prompt", names, rows, shown=8),
    ]
