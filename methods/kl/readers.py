"""Readers over the artifact of the method ``kl``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from inspect_ai.tool import Tool, ToolError, tool

from ...agents.artifacts import Evidence
from ..artifact import Artifact
from ..evidence.ranked_texts import ranked_texts
from ..registry import Labels
from .method import TEMPLATE_MARKER, marked, top_rows
from .pictures import pictures

__all__ = ["evidence", "kl_text", "kl_texts", "pictures", "toolset"]

_MOST = 20
"""Texts of one reading; also those that the evidence reads."""


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:  # noqa: ARG001
    """The readers of ``kl``."""
    return [kl_texts(open_artifact), kl_text(open_artifact)]


@tool
def kl_texts(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that lists the most divergent texts."""

    async def execute(order: Literal["mean", "max"] = "mean", start: int = 1, count: int = 10) -> str:
        """List the texts on which the two models diverge most, with their most divergent tokens in brackets. Free.

        Args:
            order: By mean or by maximal KL of a token.
            start: Rank of the first text, from 1.
            count: How many texts, at most 20.
        """
        rows = top_rows(open_artifact().payload(), order)
        if not 1 <= start <= len(rows) or not 1 <= count <= _MOST:
            raise ToolError(f"start is 1 to {len(rows)} and count 1 to {_MOST}; got {start} and {count}.")
        chosen = rows[start - 1 : start - 1 + count]
        return "\n".join(
            f"{start + i}. mean {row['mean']:.3f} max {row['max']:.2f} [{row['kind']}] {marked(row)}"
            for i, row in enumerate(chosen)
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
        rows = top_rows(open_artifact().payload(), "mean")
        if not 1 <= rank <= len(rows):
            raise ToolError(f"There is no text {rank}; ranks go from 1 to {len(rows)}.")
        row = rows[rank - 1]
        return " ".join(f"{token!r}:{value:.2f}" for token, value in zip(row["tokens"], row["kl"], strict=True))

    return execute


def evidence(artifact: Artifact) -> Evidence:
    """The texts of largest mean KL against the rest of the corpus."""
    payload = artifact.payload()
    total = payload["summary"]
    if total["max"] == 0.0:
        return Evidence(identical=True, note="The per-token KL is zero on every text.")
    rows = top_rows(payload, "mean")
    half = max(1, min(_MOST, len(rows) // 2))
    note = f"Mean per-token KL {total['mean']:.3f} nats, maximum {total['max']:.2f}."
    return ranked_texts(artifact, rows[:half], rows[half:], _plain, total["texts"], note=note)


def _plain(row: dict[str, Any]) -> str:
    return TEMPLATE_MARKER.sub("\n", "".join(row["tokens"]))
