"""Readers over the artifact of the method ``kl``."""

from __future__ import annotations

from collections.abc import Callable

from inspect_ai.tool import Tool, tool

from ..artifact import Artifact
from ..reader_checks import one_text, stretch
from .payload import KlPayload, Order

__all__ = ["kl_text", "kl_texts"]

_MOST_TEXTS = 20


@tool
def kl_texts(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that lists the most divergent texts."""

    async def execute(order: Order = "mean", start: int = 1, count: int = 10) -> str:
        """List the texts on which the two models diverge most, with their most divergent tokens in brackets. Free.

        Args:
            order: By mean or by maximal KL of a token.
            start: Rank of the first text, from 1.
            count: How many texts, at most 20.
        """
        texts = stretch(open_artifact().payload(KlPayload).top(order), start, count, _MOST_TEXTS)
        return "\n".join(
            f"{start + i}. mean {text.mean:.3f} max {text.max:.2f} [{text.kind}] {text.marked()}"
            for i, text in enumerate(texts)
        )

    return execute


@tool
def kl_text(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that shows one text token by token."""

    async def execute(rank: int) -> str:
        """Show one text with the KL after each of its tokens. Free.

        Args:
            rank: Rank of the text by mean KL, from 1.
        """
        text = one_text(open_artifact().payload(KlPayload).top("mean"), rank)
        return " ".join(f"{token!r}:{value:.2f}" for token, value in zip(text.tokens, text.kl, strict=True))

    return execute
