"""Readers over the artifact of the method ``activation_norms``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from inspect_ai.tool import Tool, ToolError, tool

from ..artifact import Artifact
from ..evidence.evidence import Evidence, EvidenceToken
from ..evidence.ranked_texts import ranked_texts
from ..reading import KeptText, opening_word
from ..registry import Labels
from .method import layer_table, marked_row, top_rows
from .pictures import pictures

__all__ = ["evidence", "norm_text", "norm_texts", "pictures", "toolset"]

_MOST = 20
"""Texts of one reading; also those that the evidence reads."""


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
    """The readers of ``activation_norms``."""
    return [norm_texts(open_artifact), norm_text(open_artifact, labels)]


@tool
def norm_texts(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that lists the texts on which the activations differ most."""

    async def execute(
        layer: int | None = None, order: Literal["mean", "max", "least"] = "mean", start: int = 1, count: int = 10
    ) -> str:
        """List the texts on which the two models' activations differ most, those tokens in brackets. Free.

        Args:
            layer: One of the layers in the overview; without it the middle one of them.
            order: By largest mean over the text, by one token's maximum, or by least mean (to compare with).
            start: Rank of the first text, from 1.
            count: How many texts, at most 20.
        """
        payload = open_artifact().payload()
        table = _table(payload, layer)
        rows = top_rows(payload, table, order)
        if not 1 <= start <= len(rows) or not 1 <= count <= _MOST:
            raise ToolError(f"start is 1 to {len(rows)} and count 1 to {_MOST}; got {start} and {count}.")
        lines = [
            f"{start + i}. mean {row['mean']:.3g} max {row['max']:.3g} [{row['kind']}] {marked_row(row)}"
            for i, row in enumerate(rows[start - 1 : start - 1 + count])
        ]
        return "\n".join([f"Layer {table['layer']}, norm of the difference:", *lines])

    return execute


@tool
def norm_text(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that shows one text token by token."""

    async def execute(rank: int, layer: int | None = None, order: Literal["mean", "max", "least"] = "mean") -> str:
        """Show one text with norms and cosine at each of its tokens. Free.

        Args:
            rank: Rank of the text in this order, from 1.
            layer: One of the layers in the overview; without it the middle one of them.
            order: By mean, max or least, as in norm_texts.
        """
        payload = open_artifact().payload()
        table = _table(payload, layer)
        rows = top_rows(payload, table, order)
        if not 1 <= rank <= len(rows):
            raise ToolError(f"There is no text {rank}; ranks go from 1 to {len(rows)}.")
        row = rows[rank - 1]
        # In alphabetical order: with the base first, a blind case would give itself away.
        norms = sorted([(labels.base, "base_norm"), (labels.finetuned, "finetuned_norm")])
        head = f"Layer {table['layer']}; token: |difference|, cosine, " + ", ".join(f"|{label}|" for label, _ in norms)
        measures = ["difference", "cosine", *(name for _, name in norms)]
        values = {p: [row[name][i] for name in measures] for i, p in enumerate(row["positions"])}
        tokens = [
            f"{token!r}: " + (", ".join(f"{value:.3g}" for value in values[i]) if i in values else "left out")
            for i, token in enumerate(row["tokens"])
        ]
        return "\n".join([head, *tokens])

    return execute


def evidence(artifact: Artifact) -> Evidence:
    """At the middle layer, the texts of largest mean difference against the rest of the corpus."""
    payload = artifact.payload()
    if all(table["difference"]["max"] == 0.0 for table in payload["layers"]):
        return Evidence(
            no_difference="activations",
            note="The activations are exactly equal at every token and layer that was read.",
        )
    table = layer_table(payload, None)
    most = top_rows(payload, table, "mean")[:_MOST]
    chosen = {row["text"] for row in most}
    least = [row for row in top_rows(payload, table, "least") if row["text"] not in chosen]
    note = (
        f"At layer {table['layer']} the mean norm of the activation difference is {table['relative']:.3f} of the mean "
        f"activation norm, its maximum {table['difference']['max']:.3g}."
    )
    words = _strongest_words(top_rows(payload, table, "max"))
    return ranked_texts(artifact, _kept(most), _kept(least), payload["texts"], tokens=words, note=note)


def _kept(rows: Sequence[dict[str, Any]]) -> list[KeptText]:
    return [KeptText(kind=row["kind"], index=row["index"], tokens=row["tokens"]) for row in rows]


def _table(payload: dict[str, Any], layer: int | None) -> dict[str, Any]:
    try:
        return layer_table(payload, layer)
    except ValueError as error:
        raise ToolError(f"{error}.") from error


def _strongest_words(rows: Sequence[dict[str, Any]]) -> list[EvidenceToken]:
    """Beginnings of words at which a text differs most, the text of largest maximum first."""
    found: dict[str, EvidenceToken] = {}
    for row in rows:
        strength, position = max(zip(row["difference"], row["positions"], strict=True))
        if word := opening_word(row["tokens"][position]):
            found.setdefault(word, EvidenceToken(token=word, strength=strength))
    return list(found.values())
