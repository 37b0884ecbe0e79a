"""Pictures of the artifact of ``kl``: heat maps of the texts that diverge most."""

from __future__ import annotations

from collections.abc import Sequence

from ...views.panels import Note, Panel
from ..activations.heat import HeatRow, heat_group
from ..contract import Labels
from .payload import KlPayload, Order

__all__ = ["pictures"]

_ORDERS: tuple[tuple[Order, str], ...] = (("mean", "mean KL"), ("max", "the KL of one token"))


def pictures(payload: KlPayload, labels: Labels) -> Sequence[Panel]:
    """A summary, then the top texts by mean and by maximum."""
    total = payload.summary
    said = (
        f"KL({labels.finetuned} || {labels.base}) of the next-token distributions over {total.texts} texts and "
        f"chats ({total.tokens} tokens): mean {total.mean:.4f} nats, median {total.median:.4f}, "
        f"99th percentile {total.p99:.3f}, maximum {total.max:.3f}; chats {total.mean_chat:.4f}, plain texts "
        f"{total.mean_text:.4f}."
    )
    if total.no_difference:
        return [Note("Summary", f"{said}\nThe two models give exactly the same probabilities everywhere.")]
    note = "The value of a token is that of the prediction after it."
    groups = []
    for order, name in _ORDERS:
        rows = [
            HeatRow(f"{i}. {text.kind}, mean {text.mean:.3f}, max {text.max:.2f}", text.tokens, text.kl)
            for i, text in enumerate(payload.top(order), 1)
        ]
        groups.append(heat_group(f"Texts by {name}", rows, "nats", note=note))
    return [Note("Summary", said), *groups]
