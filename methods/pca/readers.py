"""Readers over the artifact of ``pca``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from inspect_ai.tool import Tool, ToolError, tool

from ..artifact import Artifact
from ..contract import Labels
from ..reader_checks import check_tokens, one_text, stretch
from ..reading import flat, quoted_top
from .payload import SIGNS, Component, EndText, PcaPayload, Sign, SteeredTable

__all__ = ["pca_lens", "pca_steering", "pca_text", "pca_texts"]

_MOST_TEXTS = 20
_MOST_PROMPTS = 10


@tool
def pca_lens(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that reads the variance and the logit lens of components."""

    async def execute(component: int | None = None, tokens: int = 30) -> str:
        """Read share of variance, range of projections and logit lens of a principal component, or of all. Free.

        Args:
            component: Number of the component, from 1; without it all of them.
            tokens: How many tokens of each direction, at most 100.
        """
        payload = open_artifact().payload(PcaPayload)
        if not payload.components:
            return payload.nothing_varies
        check_tokens(tokens)
        lines = []
        for chosen in payload.components if component is None else [_component(payload, component)]:
            lines.append(
                f"component {chosen.component}: {chosen.explained_variance_ratio:.2%} of the variance, projections "
                f"from {chosen.minimum:.3g} to {chosen.maximum:.3g}"
            )
            lines += [f"{sign}: {quoted_top(chosen.lens[sign], tokens)}" for sign in SIGNS]
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
        payload = open_artifact().payload(PcaPayload)
        if not payload.components:
            return payload.nothing_varies
        chosen = stretch(_end(payload, component, direction), start, count, _MOST_TEXTS)
        return "\n".join(
            f"{rank}. {abs(row.farthest):.3g} [{row.text.kind}] {row.marked()}"
            for rank, row in enumerate(chosen, start)
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
        payload = open_artifact().payload(PcaPayload)
        if not payload.components:
            return payload.nothing_varies
        row = one_text(_end(payload, component, direction), rank)
        values = {place: f"{value:.3g}" for place, value in row.values.items()}
        return " ".join(f"{token!r}:{values.get(i, 'left out')}" for i, token in enumerate(row.text.tokens))

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
        payload = open_artifact().payload(PcaPayload)
        steering = payload.steering
        if not steering.tables:
            return "There are no steered samples. " + ("" if payload.components else payload.nothing_varies)
        tables = _steered(steering.tables, component, direction, factor)
        lines = [f"Samples of {labels.finetuned}, steered along component {component}:"]
        for number in stretch(range(len(steering.prompts)), start, count, _MOST_PROMPTS):
            lines.append(f"prompt: {steering.prompts[number]}")
            lines += [f"unsteered: {flat(text)}" for text in steering.unsteered[number]]
            lines += [f"{t.sign}{t.factor:g}: {flat(text)}" for t in tables for text in t.samples[number]]
        return "\n".join(lines)

    return execute


def _component(payload: PcaPayload, number: int) -> Component:
    if not 1 <= number <= len(payload.components):
        raise ToolError(f"There is no component {number}; they go from 1 to {len(payload.components)}.")
    return payload.components[number - 1]


def _end(payload: PcaPayload, component: int, direction: Sign) -> list[EndText]:
    if direction not in SIGNS:
        raise ToolError(f"direction is {direction!r}; it is '+' or '-'.")
    return payload.end(_component(payload, component), direction)


def _steered(
    tables: Sequence[SteeredTable], component: int, direction: str | None, factor: float | None
) -> list[SteeredTable]:
    """The tables that were asked for; what is None may be anything."""
    chosen = list(tables)
    wanted = (("component", "component", component), ("direction", "sign", direction), ("factor", "factor", factor))
    for name, field, value in wanted:
        there = dict.fromkeys(getattr(table, field) for table in tables)
        if value is not None and value not in there:
            raise ToolError(f"Nothing was steered with {name} {value}; there is {', '.join(map(str, there))}.")
        chosen = [table for table in chosen if value in (None, getattr(table, field))]
    return chosen
