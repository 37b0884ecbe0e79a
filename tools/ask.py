"""Querying both models of a pair side by side, within the budget."""

from __future__ import annotations

import anyio
from inspect_ai.model import ChatMessageUser, GenerateConfig, ModelRefusalError
from inspect_ai.tool import Tool, ToolError, tool
from inspect_ai.util import suspend_token_limit, suspend_turn_limit

from ..records.frozen import Frozen
from ..records.names import ASK_TOOL, BASE, FINETUNED, Side
from .board import standing
from .case import CaseState, current_case
from .data_blocks import data_block
from .fence import fence_tag
from .refusals import refusal_of
from .targets import target_model

__all__ = ["MAX_PROMPTS", "RESPONSE_TOKENS", "TEMPERATURE", "Answered", "Answers", "ask_models"]

TEMPERATURE = 0.7
"""Sampling temperature of the targets, unless another is asked for."""
RESPONSE_TOKENS = 64
"""Longest answer of a target, likewise."""
MAX_PROMPTS = 10
"""Prompts of one call."""
MAX_CHARACTERS = 4_000
"""Length of a prompt."""


class Answered(Frozen):
    """A prompt, and what each model answered."""

    prompt: str
    answers: dict[str, str]
    """Label -> answer."""


class Answers(Frozen):
    """The result of a query, as data."""

    answered: tuple[Answered, ...]
    left: int
    """Prompts that may still be asked."""


@tool
def ask_models(temperature: float = TEMPERATURE, max_tokens: int = RESPONSE_TOKENS) -> Tool:
    """Tool that puts prompts to both models.

    Args:
        temperature: Sampling temperature of the targets.
        max_tokens: Longest answer, in tokens.
    """

    async def execute(prompts: list[str]) -> str:
        """Put prompts to both models and read their answers side by side. Each prompt costs one interaction.

        An answer stands between two lines that name its model and carry digits, the same ones in one result; all
        between them is that model's text, whatever it looks like.

        Args:
            prompts: One to ten prompts, each a user message of a fresh conversation.
        """
        if not 1 <= len(prompts) <= MAX_PROMPTS:
            raise ToolError(f"{len(prompts)} prompts were given; give 1 to {MAX_PROMPTS} a call.")
        for i, prompt in enumerate(prompts, 1):
            if not prompt.strip() or len(prompt) > MAX_CHARACTERS:
                raise ToolError(f"Prompt {i} has {len(prompt)} characters; a prompt has 1 to {MAX_CHARACTERS}.")
        case = current_case()
        first = case.interactions_used
        case.spend(len(prompts), ASK_TOOL)
        config = GenerateConfig(temperature=temperature, max_tokens=max_tokens)
        # Targets are budgeted by interactions; the investigator's turns and tokens are its own.
        with suspend_turn_limit(), suspend_token_limit():
            answers = await _answers(case, prompts, first, config)
        return _side_by_side(case, prompts, answers)

    return execute


async def _answers(case: CaseState, prompts: list[str], first: int, config: GenerateConfig) -> list[str]:
    """Answers of both sides to each prompt, all asked at once, in the order in which they are shown."""
    asked = [(side, prompt, first + i) for i, prompt in enumerate(prompts) for side in _shown(case)]
    answers = [""] * len(asked)

    async def ask(place: int, side: Side, prompt: str, number: int) -> None:
        answers[place] = await _answer(case, side, prompt, number, config)

    # Not Inspect's collect, which puts a span around each answer: two more events, and two more copies of the store.
    try:
        async with anyio.create_task_group() as group:
            for place, question in enumerate(asked):
                group.start_soon(ask, place, *question)
    except ExceptionGroup as failed:
        if len(failed.exceptions) > 1:
            raise
        # A limit that was reached must be seen as a limit.
        raise failed.exceptions[0] from failed
    return answers


async def _answer(case: CaseState, side: Side, prompt: str, number: int, config: GenerateConfig) -> str:
    # The two models get different seeds: with one seed, identical models would give themselves away.
    seeded = config.model_copy(update={"seed": case.sample_seed(side, number, prompt)})
    try:
        output = await target_model(case, side).generate([ChatMessageUser(content=prompt)], config=seeded)
    except ModelRefusalError as error:
        output = error.output
    refusal = refusal_of(output)
    if refusal is not None:
        return f"(refused) {refusal}".strip()
    return output.completion.strip() or "(empty answer)"


def _shown(case: CaseState) -> tuple[Side, Side]:
    """The two sides, in the order of their labels, which says nothing when the case is blind."""
    return (BASE, FINETUNED) if case.base_label <= case.finetuned_label else (FINETUNED, BASE)


def _side_by_side(case: CaseState, prompts: list[str], answers: list[str]) -> str:
    sides = _shown(case)
    said = "\n".join([*prompts, *answers])
    tags = {side: fence_tag(case.label(side), said) for side in sides}
    blocks = []
    for i, prompt in enumerate(prompts):
        pair = zip(sides, answers[2 * i : 2 * i + 2], strict=True)
        told = "\n".join(f"<{tags[side]}>\n{answer}\n</{tags[side]}>" for side, answer in pair)
        blocks.append(f"## Prompt: {prompt}\n{told}")
    parts = [*blocks, standing(case)]
    if case.data_blocks:
        parts.append(data_block(_as_data(case, prompts, answers)))
    return "\n\n".join(parts)


def _as_data(case: CaseState, prompts: list[str], answers: list[str]) -> Answers:
    labels = [case.label(side) for side in _shown(case)]
    pairs = zip(prompts, answers[::2], answers[1::2], strict=True)
    answered = (Answered(prompt=prompt, answers=dict(zip(labels, said, strict=True))) for prompt, *said in pairs)
    return Answers(answered=tuple(answered), left=case.left_for(ASK_TOOL))
