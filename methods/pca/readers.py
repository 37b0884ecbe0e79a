"""Readers over the artifact of the method ``pca``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from inspect_ai.tool import Tool, ToolError, tool

from ..artifact import Artifact
from ..evidence.evidence import Evidence, EvidenceText, EvidenceToken
from ..reading import opening_word, plain_text
from ..registry import Labels
from .method import SIGNS, end_rows, lens_line, marked_row, nothing_varies
from .pictures import pictures

__all__ = ["evidence", "pca_lens", "pca_steering", "pca_text", "pca_texts", "pictures", "toolset"]

_MOST_TEXTS = 20
_MOST_PROMPTS = 10
_FOCUS = 10
_EVIDENCE_COMPONENTS = 3
_EVIDENCE_TOKENS = 10


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
    """The readers of ``pca``."""
    return [
        pca_lens(open_artifact),
        pca_texts(open_artifact),
        pca_text(open_artifact),
        pca_steering(open_artifact, labels),
    ]


@tool
def pca_lens(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that reads the variance and the logit lens of components."""

    async def execute(component: int | None = None, tokens: int = 30) -> str:
        """Read share of variance, range of projections and logit lens of a principal component, or of all. Free.

        Args:
            component: Number of the component, from 1; without it all of them.
            tokens: How many tokens of each direction, at most 100.
        """
        payload = open_artifact().payload()
        if not payload["components"]:
            return nothing_varies(payload)
        if not 1 <= tokens <= 100:
            raise ToolError(f"tokens is {tokens}; it is 1 to 100.")
        chosen = payload["components"] if component is None else [_table(payload, component)]
        lines = []
        for table in chosen:
            lines.append(
                f"component {table['component']}: {table['explained_variance_ratio']:.2%} of the variance, projections "
                f"from {table['minimum']:.3g} to {table['maximum']:.3g}"
            )
            lines += [f"{sign}: {lens_line(table, sign, tokens)}" for sign in SIGNS]
        return "\n".join(lines)

    return execute


@tool
def pca_texts(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that lists the texts at one end of a component."""

    async def execute(component: int, direction: Literal["+", "-"], start: int = 1, count: int = 10) -> str:
        """List the texts at one end of a principal component, the farthest tokens in brackets. Free.

        Args:
            component: Number of the component, from 1.
            direction: "+" for the largest projections, "-" for the smallest.
            start: Rank of the first text, from 1.
            count: How many texts, at most 20.
        """
        payload = open_artifact().payload()
        if not payload["components"]:
            return nothing_varies(payload)
        rows = _rows(payload, component, direction)
        if not 1 <= start <= len(rows) or not 1 <= count <= _MOST_TEXTS:
            raise ToolError(f"start is 1 to {len(rows)} and count 1 to {_MOST_TEXTS}; got {start} and {count}.")
        chosen = rows[start - 1 : start - 1 + count]
        return "\n".join(
            f"{start + i}. {abs(row['max' if direction == '+' else 'min']):.3g} [{row['kind']}] "
            f"{marked_row(row, direction)}"
            for i, row in enumerate(chosen)
        )

    return execute


@tool
def pca_text(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that shows one text token by token."""

    async def execute(component: int, direction: Literal["+", "-"], rank: int) -> str:
        """Show one text with the projection of each of its tokens on a principal component. Free.

        Args:
            component: Number of the component, from 1.
            direction: The end of the component: "+" or "-".
            rank: Rank of the text at that end, from 1.
        """
        payload = open_artifact().payload()
        if not payload["components"]:
            return nothing_varies(payload)
        rows = _rows(payload, component, direction)
        if not 1 <= rank <= len(rows):
            raise ToolError(f"There is no text {rank}; ranks go from 1 to {len(rows)}.")
        row = rows[rank - 1]
        values = dict(zip(row["positions"], row["projections"], strict=True))
        shown = (f"{values[i]:.3g}" if i in values else "left out" for i in range(len(row["tokens"])))
        return " ".join(f"{token!r}:{value}" for token, value in zip(row["tokens"], shown, strict=True))

    return execute


@tool
def pca_steering(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads samples steered along a component beside unsteered ones."""

    async def execute(
        component: int,
        direction: Literal["+", "-"] | None = None,
        factor: float | None = None,
        start: int = 1,
        count: int = 4,
    ) -> str:
        """Read samples steered along a principal component, beside unsteered ones of the same prompts. Free.

        Args:
            component: Number of the component, from 1.
            direction: "+" or "-"; without it both.
            factor: Strength in units of the maximum projection, one of those that were sampled; without it all.
            start: Number of the first prompt, from 1.
            count: How many prompts, at most 10.
        """
        payload = open_artifact().payload()
        steering = payload["steering"]
        if not steering["tables"]:
            return "There are no steered samples. " + ("" if payload["components"] else nothing_varies(payload))
        tables = _steered(steering["tables"], component, direction, factor)
        prompts = len(steering["prompts"])
        if not 1 <= start <= prompts or not 1 <= count <= _MOST_PROMPTS:
            raise ToolError(f"start is 1 to {prompts} and count 1 to {_MOST_PROMPTS}; got {start} and {count}.")
        lines = [f"Samples of {labels.finetuned}, steered along component {component}:"]
        for number in range(start - 1, min(start - 1 + count, prompts)):
            lines.append(f"prompt: {steering['prompts'][number]}")
            lines += [f"unsteered: {_flat(text)}" for text in steering["unsteered"][number]]
            lines += [
                f"{table['sign']}{table['factor']:g}: {_flat(text)}"
                for table in tables
                for text in table["samples"][number]
            ]
        return "\n".join(lines)

    return execute


def evidence(artifact: Artifact) -> Evidence:
    """Steered samples against unsteered ones and the lens of the first components; without samples, extreme texts."""
    payload = artifact.payload()
    tables = payload["components"]
    if payload["largest_difference"] == 0:
        return Evidence(no_difference="activations", note="The activation difference is exactly zero at every token.")
    if not tables:
        return Evidence(note=nothing_varies(payload))
    steering = payload["steering"]
    steered = [table for table in steering["tables"] if table["component"] <= _EVIDENCE_COMPONENTS]
    if steered:
        prompts = steering["prompts"]
        samples = [group for table in steered for group in zip(prompts, table["samples"], strict=True)]
        focus, contrast = _samples(samples), _samples(list(zip(prompts, steering["unsteered"], strict=True)))
    else:
        top, bottom = (end_rows(payload, tables[0], sign)[:_FOCUS] for sign in SIGNS)
        chosen = {row["text"] for row in top}
        focus, contrast = _plain(top), _plain([row for row in bottom if row["text"] not in chosen])
    return Evidence(
        focus=focus,
        contrast=contrast,
        tokens=tuple(_lens_words(tables)),
        said=bool(steered),
        note=f"The first principal component of the activation difference holds "
        f"{tables[0]['explained_variance_ratio']:.1%} of its variance.",
    )


def _samples(groups: Sequence[tuple[str, Sequence[str]]]) -> tuple[EvidenceText, ...]:
    """Samples of some prompts, comparable within their prompt."""
    return tuple(EvidenceText(text=text, stratum=prompt) for prompt, texts in groups for text in texts)


def _plain(rows: Sequence[dict[str, Any]]) -> tuple[EvidenceText, ...]:
    return tuple(EvidenceText(text=plain_text(row["tokens"]), stratum=row["kind"]) for row in rows)


def _lens_words(tables: Sequence[dict[str, Any]]) -> list[EvidenceToken]:
    """Beginnings of words in the lenses of the first components, rank by rank over components and directions.

    Components are orthogonal: a token in the lens of several says something of the unembedding, not of a component.
    """
    shown = Counter(
        token for table in tables for token in {token for sign in SIGNS for token, _ in table["lens"][sign]}
    )
    ranked = [
        (rank, table["component"], sign, token, probability)
        for table in tables[:_EVIDENCE_COMPONENTS]
        for sign in SIGNS
        for rank, (token, probability) in enumerate(table["lens"][sign][:_EVIDENCE_TOKENS])
        if shown[token] == 1
    ]
    found: dict[str, EvidenceToken] = {}
    for *_, token, probability in sorted(ranked):
        if word := opening_word(token):
            found.setdefault(word, EvidenceToken(token=word, strength=probability))
    return list(found.values())


def _table(payload: dict[str, Any], component: int) -> dict[str, Any]:
    tables: list[dict[str, Any]] = payload["components"]
    if not 1 <= component <= len(tables):
        raise ToolError(f"There is no component {component}; they go from 1 to {len(tables)}.")
    return tables[component - 1]


def _rows(payload: dict[str, Any], component: int, direction: Literal["+", "-"]) -> list[dict[str, Any]]:
    if direction not in SIGNS:
        raise ToolError(f"direction is {direction!r}; it is '+' or '-'.")
    return end_rows(payload, _table(payload, component), direction)


def _steered(
    tables: Sequence[dict[str, Any]], component: int, direction: str | None, factor: float | None
) -> list[dict[str, Any]]:
    known = {"component": component, "sign": direction, "factor": factor}
    for name, value in known.items():
        there = list(dict.fromkeys(table[name] for table in tables))
        if value is not None and value not in there:
            shown = "direction" if name == "sign" else name
            raise ToolError(f"Nothing was steered with {shown} {value}; there is {', '.join(map(str, there))}.")
    return [table for table in tables if all(value in (None, table[name]) for name, value in known.items())]


def _flat(text: str) -> str:
    return " ".join(text.split())
