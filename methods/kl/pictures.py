"""Pictures of the artifact of ``kl``: heat maps of the texts that diverge most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...views.panels import Note, Panel
from ..activations.heat import HeatRow, heat_group
from ..artifact import Artifact
from ..registry import Labels
from .method import top_rows

__all__ = ["pictures"]


def pictures(artifact: Artifact, labels: Labels) -> Sequence[Panel]:
    """A summary, then the top texts by mean and by maximum."""
    payload = artifact.payload()
    total = payload["summary"]
    said = (
        f"KL({labels.finetuned} || {labels.base}) of the next-token distributions over {total['texts']} texts and "
        f"chats ({total['tokens']} tokens): mean {total['mean']:.4f} nats, median {total['median']:.4f}, "
        f"99th percentile {total['p99']:.3f}, maximum {total['max']:.3f}; chats {total['mean_chat']:.4f}, plain texts "
        f"{total['mean_text']:.4f}."
    )
    if total["max"] == 0.0:
        return [Note("Summary", f"{said}\nThe two models give exactly the same probabilities everywhere.")]
    orders: tuple[tuple[Literal["mean", "max"], str], ...] = (("mean", "mean KL"), ("max", "the KL of one token"))
    note = "The value of a token is that of the prediction after it."
    groups = []
    for order, name in orders:
        rows = [
            HeatRow(f"{i}. {row['kind']}, mean {row['mean']:.3f}, max {row['max']:.2f}", row["tokens"], row["kl"])
            for i, row in enumerate(top_rows(payload, order), 1)
        ]
        groups.append(heat_group(f"Texts by {name}", rows, "nats", note=note))
    return [Note("Summary", said), *groups]
