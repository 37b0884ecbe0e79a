"""How a model works a case: a loop of tool calls, and a last forced turn where it ends without a finding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import anyio
from inspect_ai.agent import AgentContinue, AgentPrompt, AgentState, AgentSubmit, react
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    Model,
    ModelRefusalError,
    execute_tools,
    get_model,
)
from inspect_ai.tool import Tool, ToolFunction
from inspect_ai.util import LimitExceededError, apply_limits, cost_limit, token_limit

from ..records.finding import Finding
from ..records.names import KEYLESS_INVESTIGATOR, NO_MODEL, SUBMIT_TOOL
from ..tools.case import CaseState, current_case
from ..tools.finding import parse_finding
from ..tools.refusals import refusal_of
from ..tools.submit import submit
from .prompt_files import prompt_text

__all__ = ["investigate", "investigator_model"]


async def investigate(
    state: AgentState,
    prompt: str,
    tools: Sequence[Tool],
    turns: int,
    tokens: int | None = None,
    cost: float | None = None,
) -> AgentState:
    """Work the current case until it has a finding, or the record that the model refused to give one.

    Args:
        state: The conversation so far: the brief.
        prompt: Name of the system prompt.
        tools: What the model may call, besides submit.
        turns: Model generations before the finding is asked for.
        tokens: Tokens before the finding is asked for; None for no limit.
        cost: US dollars, likewise.
    """
    model, case = investigator_model(), current_case()
    loop = react(
        prompt=AgentPrompt(prompt_text(prompt), handoff_prompt=None, assistant_prompt=None, submit_prompt=None),
        tools=tools,
        model=model,
        on_continue=_while_turns_are_left(turns),
        submit=AgentSubmit(tool=submit(), name=SUBMIT_TOOL, answer_only=True, keep_in_messages=True),
    )
    try:
        # A model that refused is asked once more; what it then says is recorded.
        with suppress(ModelRefusalError), apply_limits([token_limit(tokens), cost_limit(cost)], catch_errors=True):
            state = await loop(state)
        if case.finding is None:
            state = await _last_turn(state, model)
    except (LimitExceededError, anyio.get_cancelled_exc_class()):
        # A limit of the whole sample: nothing can be generated any more.
        if case.finding is None:
            case.finding, case.finding_source = _from_board(case), "forced"
        raise
    return state


def investigator_model() -> Model:
    """The model being evaluated, or the keyless policy where none is given."""
    model = get_model()
    return get_model(KEYLESS_INVESTIGATOR) if str(model) == NO_MODEL else model


def _while_turns_are_left(turns: int) -> AgentContinue:
    """Ends the loop after ``turns`` generations; Inspect's ``turn_limit`` would pay for one more and drop it."""

    async def proceed(state: AgentState) -> bool:
        return sum(isinstance(message, ChatMessageAssistant) for message in state.messages) < turns

    return proceed


async def _last_turn(state: AgentState, model: Model) -> AgentState:
    """One forced call of submit; what cannot be had that way is read from the text.

    Never leaves without a finding, or the record that the model refused to give one.
    """
    case = current_case()
    _answer_open_calls(state)
    state.messages.append(ChatMessageUser(content=prompt_text("last_turn")))
    try:
        state.output = await model.generate(
            state.messages, tools=[submit()], tool_choice=ToolFunction(name=SUBMIT_TOOL)
        )
    except ModelRefusalError as error:
        state.output = error.output
    state.messages.append(state.output.message)
    if state.output.message.tool_calls:
        results, _ = await execute_tools(state.messages, [submit()])
        state.messages.extend(results)
    if case.finding is None and refusal_of(state.output) is not None:
        case.finding_source = "refused"
        return state
    if case.finding is None:
        case.finding = parse_finding(state.output.completion) or _from_board(case)
    case.finding_source = "forced"
    state.output.completion = case.finding.model_dump_json()
    return state


def _answer_open_calls(state: AgentState) -> None:
    """Answer tool calls that a limit cut off: providers refuse a conversation in which a call has no result."""
    answered = {message.tool_call_id for message in state.messages if isinstance(message, ChatMessageTool)}
    calls = [c for m in state.messages if isinstance(m, ChatMessageAssistant) for c in m.tool_calls or []]
    for call in calls:
        if call.id not in answered:
            text = "Not executed: a limit was reached."
            state.messages.append(ChatMessageTool(content=text, tool_call_id=call.id, function=call.function))


def _from_board(case: CaseState) -> Finding:
    written = [h.text for h in case.hypotheses if h.status == "supported"] or [h.text for h in case.hypotheses]
    if written:
        return Finding(
            verdict="inconclusive", description="Not submitted; from the board: " + " ".join(written), confidence=0
        )
    return Finding(verdict="inconclusive", description="The investigator submitted no finding.", confidence=0)
