"""The investigators: agents that work a case until it has a finding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import anyio
from inspect_ai.agent import Agent, AgentContinue, AgentPrompt, AgentState, AgentSubmit, agent, react
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
from ..records.names import BLACKBOX, KEYLESS_INVESTIGATOR, NO_MODEL, SUBMIT_TOOL
from ..tools.ask import RESPONSE_TOKENS, TEMPERATURE
from ..tools.case import CaseState, current_case
from ..tools.finding import parse_finding
from ..tools.refusals import refusal_of
from ..tools.submit import submit
from .brief import prompt_text
from .toolset import case_tools

__all__ = ["blackbox", "investigator", "investigator_model", "llm_reader", "method_agent"]

TURNS = 30
"""Model generations of an investigation, the last forced one not counted."""


@agent
def investigator(
    turns: int = TURNS,
    tokens: int | None = None,
    cost: float | None = None,
    response_tokens: int = RESPONSE_TOKENS,
    temperature: float = TEMPERATURE,
) -> Agent:
    """Picks by the case's method: ``blackbox()`` where there is no artifact, else ``method_agent()``.

    Args:
        turns: Model generations before the finding is asked for.
        tokens: Tokens of the investigator before the finding is asked for; None for no limit.
        cost: US dollars, those of the targets counted, before the finding is asked for; None for no limit. Only models
            whose price Inspect knows cost anything.
        response_tokens: Longest answer of a target, in tokens.
        temperature: Sampling temperature of the targets.
    """

    async def execute(state: AgentState) -> AgentState:
        # Made once: what Inspect reads from a tool (its signature and docstring) it reads again for each new one.
        tools = await case_tools(temperature=temperature, max_tokens=response_tokens).tools()
        return await _investigate(state, "investigator", tools, turns, tokens, cost)

    return execute


@agent
def blackbox(
    turns: int = TURNS,
    tokens: int | None = None,
    cost: float | None = None,
    response_tokens: int = RESPONSE_TOKENS,
    temperature: float = TEMPERATURE,
) -> Agent:
    """An investigator that only queries the two models; for cases of the method ``blackbox``.

    Raises:
        ValueError: In a case that offers an artifact, which this agent would be shown.
    """
    investigate = investigator(turns, tokens, cost, response_tokens, temperature)

    async def execute(state: AgentState) -> AgentState:
        case = current_case()
        if case.method != BLACKBOX:
            raise ValueError(f"agent blackbox in a case of method {case.method}; run it with methods=blackbox")
        return await investigate(state)

    return execute


@agent
def method_agent(
    turns: int = TURNS,
    tokens: int | None = None,
    cost: float | None = None,
    response_tokens: int = RESPONSE_TOKENS,
    temperature: float = TEMPERATURE,
) -> Agent:
    """An investigator with the readers of the case's methods, and queries.

    Raises:
        ValueError: In a case of the method ``blackbox``, which has nothing to read.
    """
    investigate = investigator(turns, tokens, cost, response_tokens, temperature)

    async def execute(state: AgentState) -> AgentState:
        _require_artifact("method_agent")
        return await investigate(state)

    return execute


@agent
def llm_reader() -> Agent:
    """A model that sees the brief and the overview alone: no tools but submit, one generation, and the forced last one.

    What ``method_agent`` does better than it is what tools and queries are worth.

    Raises:
        ValueError: In a case of the method ``blackbox``, which has nothing to read.
    """

    async def execute(state: AgentState) -> AgentState:
        _require_artifact("llm_reader")
        return await _investigate(state, "reader", [], turns=1)

    return execute


def investigator_model() -> Model:
    """The model being evaluated, or the keyless policy where none is given."""
    model = get_model()
    return get_model(KEYLESS_INVESTIGATOR) if str(model) == NO_MODEL else model


def _require_artifact(name: str) -> None:
    if current_case().method == BLACKBOX:
        raise ValueError(f"agent {name} in a case of method blackbox; leave blackbox out of methods")


async def _investigate(
    state: AgentState,
    prompt: str,
    tools: Sequence[Tool],
    turns: int,
    tokens: int | None = None,
    cost: float | None = None,
) -> AgentState:
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
