"""Readers over the artifact of ``adl``, and steering along a stored mean difference, which costs interactions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from inspect_ai.tool import Tool, ToolError, tool

from ...organisms.suites import find_organism
from ...records.errors import MissingError
from ...tools.ask import RESPONSE_TOKENS, TEMPERATURE
from ...tools.board import standing
from ...tools.case import case_here, current_case
from ..artifact import TENSORS, Artifact
from ..contract import Labels
from ..reader_checks import check_prompt, check_tokens, in_thread
from ..reading import flat, quoted, quoted_top
from .payload import AdlPayload, LensVector, PatchedVector, PatchscopeRow, PositionRow, SteeringTable

if TYPE_CHECKING:
    import torch

__all__ = ["logit_lens", "patchscope", "patchscope_scales", "steer", "steering_samples", "toolset"]

MAX_STRENGTH = 100.0
"""Upper end of the published search for a strength."""

_MOST_PROMPTS = 10
_MOST_SAMPLES = 10
_ZERO = "the difference is zero"

V = TypeVar("V", LensVector, PatchedVector)
Row = TypeVar("Row", PositionRow, PatchscopeRow)


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
    """The readers of ``adl``; live steering where the case has interactions and the pair's weights are there."""
    tools = [logit_lens(open_artifact, labels), steering_samples(open_artifact, labels)]
    artifact = open_artifact()
    if artifact.payload(AdlPayload).patchscope:
        tools += [patchscope(open_artifact, labels), patchscope_scales(open_artifact)]
    if TENSORS in artifact.manifest.files and _can_steer():
        tools.append(steer(open_artifact, labels))
    return tools


@tool
def logit_lens(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads the logit lens of a mean difference or of a control."""
    vectors: dict[str, LensVector] = {"+d": "difference", "-d": "negative_difference"}
    vectors |= {labels.base: "base", labels.finetuned: "finetuned"}

    async def execute(position: str | None = None, of: str = "+d", tokens: int = 40) -> str:
        """Read the most probable tokens of the logit lens at one position, or at all of them. Free.

        Args:
            position: Such as "text:0" or "chat:3"; without it all positions are read.
            of: "+d" or "-d" for the mean difference, or the name of a model for the control (its mean activation).
            tokens: How many tokens, at most 100.
        """
        chosen = _chosen(open_artifact().payload(AdlPayload).positions, position)
        vector = _vector(of, vectors)
        check_tokens(tokens)
        return "\n".join(
            f"{row.position} (relative norm {row.relative_norm:.3f}): "
            + (quoted_top(row.lens.of(vector), tokens) or _ZERO)
            for row in chosen
        )

    return execute


@tool
def patchscope(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads the patchscope of a mean difference or of a control, at the chosen scale."""
    vectors: dict[str, PatchedVector] = {"+d": "difference", labels.base: "base", labels.finetuned: "finetuned"}

    async def execute(position: str | None = None, of: str = "+d", tokens: int = 20) -> str:
        """Read the tokens that the model sees in a vector put in place of a token it is to repeat. Free.

        Each position is shown at the scale whose tokens a judge found most coherent. Tokens before the bar are those
        that it found to belong together.

        Args:
            position: Such as "text:0"; without it all positions are read.
            of: "+d" for the mean difference, or the name of a model for the control (its mean activation in it).
            tokens: How many tokens, at most 100.
        """
        chosen = _chosen(_patched(open_artifact()), position)
        vector = _vector(of, vectors)
        check_tokens(tokens)
        found = [(row.position, row.of(vector)) for row in chosen]
        return "\n".join(f"{at} {shown.told(tokens)}" if shown else f"{at}: {_ZERO}" for at, shown in found)

    return execute


@tool
def patchscope_scales(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that reads the patchscope of a mean difference at every scale."""

    async def execute(position: str) -> str:
        """Read the patchscope of the mean difference at every scale, in case the judge chose the wrong one. Free.

        Args:
            position: Such as "text:0".
        """
        (row,) = _chosen(_patched(open_artifact()), str(position))
        if not row.by_scale:
            return f"{position}: {_ZERO}"
        return "\n".join(f"scale {scale:g}: {quoted(tokens)}" for scale, tokens in row.by_scale)

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
        tables = open_artifact().payload(AdlPayload).steering
        if not tables:
            return "There are no steered samples: the difference is zero."
        known = [table.position for table in tables]
        if position is not None and position not in known:
            raise ToolError(f"No steering at {position!r}; there is {', '.join(known)}.")
        prompts = len(tables[0].samples)
        if not 1 <= start <= prompts or not 1 <= count <= _MOST_PROMPTS:
            raise ToolError(f"start is 1 to {prompts} and count 1 to {_MOST_PROMPTS}.")
        chosen = [table for table in tables if position in (None, table.position)]
        return "\n\n".join(_samples(table, labels, start, count) for table in chosen)

    return execute


@tool
def steer(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that samples from the finetuned model, steered along a mean difference, within the budget."""

    async def execute(position: str, strength: float, prompt: str, samples: int = 1) -> str:
        """Sample answers steered along the mean difference d of a position. Each sample costs one interaction.

        It steers the model that the stored samples are from; at strength 0 it is not steered.

        Args:
            position: Position of d, such as "text:2".
            strength: Multiple of d that is added at every token, -100 to 100. Beside the stored samples stands a
                strength at which the model still wrote coherent text; too large ones give noise.
            prompt: A user message of a fresh conversation.
            samples: How many answers, 1 to 10.
        """
        if not 1 <= samples <= _MOST_SAMPLES:
            raise ToolError(f"samples is {samples}; it is 1 to {_MOST_SAMPLES}.")
        if not (math.isfinite(strength) and abs(strength) <= MAX_STRENGTH):
            raise ToolError(f"strength is {strength}; it is {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}.")
        check_prompt(prompt)
        artifact = open_artifact()
        vector = _difference(artifact, str(position)) * strength
        case = current_case()
        first = case.interactions_used
        case.spend(samples, "steer")
        seeds = [case.sample_seed("steer", first + i, prompt) for i in range(samples)]
        layer = artifact.payload(AdlPayload).layer
        answers = await in_thread(lambda: _steered(case.organism, prompt, layer, vector, seeds))
        lines = [f"{labels.finetuned}, steered by {strength:.2f} x d at {position}:", f"prompt: {prompt}"]
        lines += [f"steered: {flat(answer) or '(empty answer)'}" for answer in answers]
        return "\n".join([*lines, standing(case)])

    return execute


def _patched(artifact: Artifact) -> Sequence[PatchscopeRow]:
    found = artifact.payload(AdlPayload).patchscope
    return found.rows if found else ()


def _chosen(rows: Sequence[Row], position: str | None) -> list[Row]:
    """The row of a position, or all rows without one."""
    chosen = [row for row in rows if position in (None, row.position)]
    if not chosen:
        raise ToolError(f"No position {position!r}; there are {', '.join(row.position for row in rows)}.")
    return chosen


def _vector(of: str, vectors: Mapping[str, V]) -> V:
    """What is meant by a name in front of the investigator."""
    if of not in vectors:
        # In alphabetical order: with the base first, a blind case would give itself away.
        raise ToolError(f"of is {of!r}; it is one of {', '.join(sorted(vectors))}.")
    return vectors[of]


def _samples(table: SteeringTable, labels: Labels, start: int, count: int) -> str:
    lines = [f"{labels.finetuned}, steered by {table.strength:.2f} x d at {table.position}:"]
    for row in table.samples[start - 1 : start - 1 + count]:
        lines.append(f"prompt: {row.prompt}")
        lines += [f"steered: {flat(text)}" for text in row.steered]
        lines += [f"unsteered: {flat(text)}" for text in row.unsteered]
    return "\n".join(lines)


def _difference(artifact: Artifact, position: str) -> torch.Tensor:
    """The mean difference of a position, [d_model]."""
    rows = artifact.payload(AdlPayload).positions
    places = {row.position: place for place, row in enumerate(rows)}
    if position not in places:
        raise ToolError(f"No position {position!r}; there are {', '.join(places)}.")
    if rows[places[position]].difference_norm == 0:
        raise ToolError(f"The difference at {position} is zero: steering along it changes nothing.")
    return artifact.tensors()["difference"][places[position]]


def _can_steer() -> bool:
    """Whether a case with interactions is open whose pair can be loaded."""
    case = case_here()
    if not case.organism or case.granted("steer") <= 0:
        return False
    organism = find_organism(case.organism)
    if not organism.has_weights:
        return False
    try:
        organism.require_weights()
    except MissingError:
        return False
    return True


def _steered(organism_id: str, prompt: str, layer: int, vector: torch.Tensor, seeds: Sequence[int]) -> list[str]:
    """Answers of the finetuned model with ``vector`` [d_model] added after a layer, sampled like other queries."""
    from ...models.ask import Sampling, sample
    from ...models.requests import Steering
    from ...organisms.loading import load_pair

    pair = load_pair(find_organism(organism_id))
    sampling = Sampling(RESPONSE_TOKENS, TEMPERATURE, n=len(seeds))
    steering = Steering(layer, vector)
    system = pair.system_prompt
    (answers,) = sample(pair.finetuned, [prompt], sampling, system, seeds=seeds, steering=steering, gathered=True)
    return answers
