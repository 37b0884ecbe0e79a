"""Readers over the artifact of the method ``adl``."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, Literal

from inspect_ai.tool import Tool, ToolError, tool

from ..methods.adl import readable
from ..methods.artifact import Artifact
from ..methods.base import Labels
from .artifacts import Evidence

__all__ = ["evidence", "logit_lens", "steering_samples", "toolset"]

_MOST_SAMPLES = 10
_CONTROL_TOKENS = 20
_MOST_TOKENS = 40
_LEAST_POSITIONS = 3


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
    """The readers of ``adl``."""
    return [logit_lens(open_artifact, labels), steering_samples(open_artifact, labels)]


@tool
def logit_lens(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads the logit lens of a mean difference or of a control."""
    names = {"+d": "difference", "-d": "negative_difference", labels.base: "base", labels.finetuned: "finetuned"}

    async def execute(position: str | None = None, of: str = "+d", tokens: int = 40) -> str:
        """Read the most probable tokens of the logit lens at one position, or at all of them. Free.

        Args:
            position: Such as "text:0" or "chat:3"; without it all positions are read.
            of: "+d" or "-d" for the mean difference, or the name of a model for the control (its mean activation).
            tokens: How many tokens, at most 100.
        """
        rows = open_artifact().payload()["positions"]
        chosen = [row for row in rows if position in (None, row["position"])]
        if not chosen:
            raise ToolError(f"No position {position!r}; there are {', '.join(row['position'] for row in rows)}.")
        if of not in names:
            # In alphabetical order: with the base first, a blind case would give itself away.
            raise ToolError(f"of is {of!r}; it is one of {', '.join(sorted(names))}.")
        if not 1 <= tokens <= 100:
            raise ToolError(f"tokens is {tokens}; it is 1 to 100.")
        return "\n".join(
            f"{row['position']} (relative norm {row['relative_norm']:.3f}): "
            + (readable(row["lens"].get(names[of], []), tokens) or "the difference is zero")
            for row in chosen
        )

    return execute


@tool
def steering_samples(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads steered samples beside unsteered ones."""

    async def execute(position: str | None = None, start: int = 1, count: int = 8) -> str:
        """Read samples steered along the mean difference, beside unsteered ones of the same prompts. Free.

        Args:
            position: Position of the difference; without it all steered ones.
            start: Number of the first prompt, from 1.
            count: How many prompts, at most 10.
        """
        tables = open_artifact().payload()["steering"]
        if not tables:
            return "There are no steered samples: the difference is zero."
        known = [table["position"] for table in tables]
        if position is not None and position not in known:
            raise ToolError(f"No steering at {position!r}; there is {', '.join(known)}.")
        prompts = len(tables[0]["samples"])
        if not 1 <= start <= prompts or not 1 <= count <= _MOST_SAMPLES:
            raise ToolError(f"start is 1 to {prompts} and count 1 to {_MOST_SAMPLES}.")
        chosen = [table for table in tables if position in (None, table["position"])]
        return "\n\n".join(_samples(table, labels, start, count) for table in chosen)

    return execute


def _samples(table: dict[str, Any], labels: Labels, start: int, count: int) -> str:
    lines = [f"{labels.finetuned}, steered by {table['strength']:.2f} x d at {table['position']}:"]
    for row in table["samples"][start - 1 : start - 1 + count]:
        lines.append(f"prompt: {row['prompt']}")
        for kind in ("steered", "unsteered"):
            lines += [f"{kind}: {' '.join(text.split())}" for text in row[kind]]
    return "\n".join(lines)


def evidence(artifact: Artifact) -> Evidence:
    """Steered samples against unsteered ones, and the lens tokens that the base's own lens does not show."""
    payload = artifact.payload()
    rows = payload["positions"]
    if all(row["difference_norm"] == 0 for row in rows):
        return Evidence(identical=True, note="The mean activation difference is zero at every position.")
    samples = [row for table in payload["steering"] for row in table["samples"]]
    middle = statistics.median(row["relative_norm"] for row in rows)
    return Evidence(
        identical=False,
        focus=_texts(samples, "steered"),
        contrast=_texts(samples, "unsteered"),
        tokens=tuple(_lens_tokens(rows)),
        note=f"The mean activation difference is {middle:.2f} of the typical activation norm (median over positions).",
    )


def _texts(samples: Sequence[dict[str, Any]], kind: Literal["steered", "unsteered"]) -> tuple[str, ...]:
    return tuple(text for row in samples for text in row[kind])


def _lens_tokens(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Beginnings of words that the lens of several positions shows and the base's own lens does not."""
    votes: dict[str, list[float]] = {}
    for row in rows:
        control = {token for token, _ in row["lens"]["base"][:_CONTROL_TOKENS]}
        for rank, (token, _) in enumerate(row["lens"].get("difference", [])[:_MOST_TOKENS]):
            word = token.strip().lower()
            if token not in control and token.startswith(" ") and len(word) >= 3 and word.isalpha():
                votes.setdefault(word, []).append(1 / (rank + 1))
    shared = {word: sum(ranks) for word, ranks in votes.items() if len(ranks) >= min(_LEAST_POSITIONS, len(rows))}
    return sorted(shared, key=lambda word: -shared[word])
