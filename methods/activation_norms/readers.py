"""Readers over the artifact of the method ``activation_norms``."""

from __future__ import annotations

from collections.abc import Callable

from inspect_ai.tool import Tool, ToolError, tool

from ..artifact import Artifact
from ..contract import Labels
from ..reader_checks import one_text, stretch
from .payload import LayerNorms, NormsPayload, Order

__all__ = ["norm_text", "norm_texts"]

_MOST_TEXTS = 20


@tool
def norm_texts(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that lists the texts on which the activations differ most."""

    async def execute(layer: int | None = None, order: Order = "mean", start: int = 1, count: int = 10) -> str:
        """List the texts on which the two models' activations differ most, those tokens in brackets. Free.

        Args:
            layer: One of the layers in the overview; without it the middle one of them.
            order: By largest mean over the text, by one token's maximum, or by least mean (to compare with).
            start: Rank of the first text, from 1.
            count: How many texts, at most 20.
        """
        payload = open_artifact().payload(NormsPayload)
        at = _at(payload, layer)
        lines = [
            f"{start + i}. mean {found.row.mean:.3g} max {found.row.max:.3g} [{found.text.kind}] {found.marked()}"
            for i, found in enumerate(stretch(payload.ranked(at, order), start, count, _MOST_TEXTS))
        ]
        return "\n".join([f"Layer {at.layer}, norm of the difference:", *lines])

    return execute


@tool
def norm_text(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that shows one text token by token."""

    async def execute(rank: int, layer: int | None = None, order: Order = "mean") -> str:
        """Show one text with norms and cosine at each of its tokens. Free.

        Args:
            rank: Rank of the text in this order, from 1.
            layer: One of the layers in the overview; without it the middle one of them.
            order: By mean, max or least, as in norm_texts.
        """
        payload = open_artifact().payload(NormsPayload)
        at = _at(payload, layer)
        found = one_text(payload.ranked(at, order), rank)
        row = found.row
        # In alphabetical order: with the base first, a blind case would give itself away.
        norms = sorted([(labels.base, row.base_norm), (labels.finetuned, row.finetuned_norm)])
        head = f"Layer {at.layer}; token: |difference|, cosine, " + ", ".join(f"|{label}|" for label, _ in norms)
        measures = zip(row.difference, row.cosine, *(values for _, values in norms), strict=True)
        told = {
            position: ", ".join(f"{value:.3g}" for value in values)
            for position, values in zip(row.positions, measures, strict=True)
        }
        tokens = [f"{token!r}: {told.get(i, 'left out')}" for i, token in enumerate(found.text.tokens)]
        return "\n".join([head, *tokens])

    return execute


def _at(payload: NormsPayload, layer: int | None) -> LayerNorms:
    try:
        return payload.at(layer)
    except ValueError as error:
        raise ToolError(f"{error}.") from error
