"""Steering along a stored mean difference within a case: a tool that costs interactions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from inspect_ai.tool import Tool, ToolError, tool

from ...organisms.suites import find_organism
from ...records.errors import MissingError
from ...tools.ask import MAX_CHARACTERS, RESPONSE_TOKENS, TEMPERATURE
from ...tools.board import standing
from ...tools.case import case_here, current_case
from ..artifact import Artifact
from ..contract import Labels
from ..reading import flat
from .payload import AdlPayload

if TYPE_CHECKING:
    import torch

__all__ = ["can_steer", "steer"]

MAX_STRENGTH = 100.0
"""Upper end of the published search for a strength."""

_MOST_SAMPLES = 10


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
        if not prompt.strip() or len(prompt) > MAX_CHARACTERS:
            raise ToolError(f"The prompt has {len(prompt)} characters; a prompt has 1 to {MAX_CHARACTERS}.")
        artifact = open_artifact()
        vector = _difference(artifact, str(position)) * strength
        case = current_case()
        first = case.interactions_used
        case.spend(samples, "steer")
        seeds = [case.sample_seed("steer", first + i, prompt) for i in range(samples)]
        answers = await anyio.to_thread.run_sync(
            lambda: _steered(case.organism, prompt, artifact.payload(AdlPayload).layer, vector, seeds),
            abandon_on_cancel=True,
            limiter=anyio.CapacityLimiter(1),
        )
        lines = [f"{labels.finetuned}, steered by {strength:.2f} x d at {position}:", f"prompt: {prompt}"]
        lines += [f"steered: {flat(answer) or '(empty answer)'}" for answer in answers]
        return "\n".join([*lines, standing(case)])

    return execute


def _difference(artifact: Artifact, position: str) -> torch.Tensor:
    """The mean difference of a position, [d_model]."""
    rows = artifact.payload(AdlPayload).positions
    places = {row.position: place for place, row in enumerate(rows)}
    if position not in places:
        raise ToolError(f"No position {position!r}; there are {', '.join(places)}.")
    if rows[places[position]].difference_norm == 0:
        raise ToolError(f"The difference at {position} is zero: steering along it changes nothing.")
    return artifact.tensors()["difference"][places[position]]


def can_steer() -> bool:
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
