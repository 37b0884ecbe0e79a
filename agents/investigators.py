"""The investigators: agents that work a case until it has a finding."""

from __future__ import annotations

from inspect_ai.agent import Agent, AgentContinue, AgentPrompt, AgentState, AgentSubmit, agent, react
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser, Model, execute_tools, get_model
from inspect_ai.tool import ToolFunction
from inspect_ai.util import apply_limits, token_limit

from ..tools.ask import RESPONSE_TOKENS, TEMPERATURE
from ..tools.case import CaseState, Finding, current_case
from ..tools.finding import parse_finding
from ..tools.refusals import refusal_of
from ..tools.submit import submit
from ..tools.toolset import case_tools
from .brief import prompt_text

__all__ = ["KEYLESS_INVESTIGATOR", "blackbox", "investigator", "investigator_model", "method_agent"]

KEYLESS_INVESTIGATOR = "keyless/investigator"
"""Used where no model is given: a baseline policy behind Inspect's model interface."""

TURNS = 30
"""Model generations of an investigation, the last forced one not counted."""


@agent
def investigator(
    turns: int = TURNS,
    tokens: int | None = None,
    response_tokens: int = RESPONSE_TOKENS,
    temperature: float = TEMPERATURE,
) -> Agent:
    """Picks by the case's method: ``blackbox()`` where there is no artifact, else ``method_agent()``.

    Args:
        turns: Model generations before the finding is asked for.
        tokens: Tokens of the investigator before the finding is asked for; None for no limit.
        response_tokens: Longest answer of a target, in tokens.
        temperature: Sampling temperature of the targets.
    """

    async def execute(state: AgentState) -> AgentState:
        return await _investigate(state, turns, tokens, response_tokens, temperature)

    return execute


@agent
def blackbox(
    turns: int = TURNS,
    tokens: int | None = None,
    response_tokens: int = RESPONSE_TOKENS,
    temperature: float = TEMPERATURE,
) -> Agent:
    """An investigator that only queries the two models; for cases of the method ``blackbox``.

    Raises:
        ValueError: In a case that offers an artifact, which this agent would be shown.
    """

    async def execute(state: AgentState) -> AgentState:
        case = current_case()
        if case.method != "blackbox":
            raise ValueError(f"agent blackbox in a case of method {case.method}; run it with methods=blackbox")
        return await _investigate(state, turns, tokens, response_tokens, temperature)

    return execute


@agent
def method_agent(
    turns: int = TURNS,
    tokens: int | None = None,
    response_tokens: int = RESPONSE_TOKENS,
    temperature: float = TEMPERATURE,
) -> Agent:
    """An investigator with the readers of the case's method, and queries.

    Raises:
        ValueError: In a case of the method ``blackbox``, which has nothing to read.
    """

    async def execute(state: AgentState) -> AgentState:
        if current_case().method == "blackbox":
            raise ValueError("agent method_agent in a case of method blackbox; leave blackbox out of methods")
        return await _investigate(state, turns, tokens, response_tokens, temperature)

    return execute


def investigator_model() -> Model:
    """The model being evaluated, or the keyless policy where none is given."""
    model = get_model()
    return get_model(KEYLESS_INVESTIGATOR) if str(model) == "none/none" else model


async def _investigate(
    state: AgentState, turns: int, tokens: int | None, response_tokens: int, temperature: float
) -> AgentState:
    model = investigator_model()
    loop = react(
        prompt=AgentPrompt(prompt_text("investigator"), handoff_prompt=None, assistant_prompt=None, submit_prompt=None),
        tools=[case_tools(temperature=temperature, max_tokens=response_tokens)],
        model=model,
        on_continue=_while_turns_are_left(turns),
        submit=AgentSubmit(tool=submit(), name="submit", answer_only=True, keep_in_messages=True),
    )
    with apply_limits([token_limit(tokens)], catch_errors=True):
        state = await loop(state)
    if current_case().finding is None:
        state = await _last_turn(state, model)
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
    state.output = await model.generate(state.messages, tools=[submit()], tool_choice=ToolFunction(name="submit"))
    state.messages.append(state.output.message)
    if state.output.message.tool_calls:
        results, _ = await execute_tools(state.messages, [submit()])
        state.messages.extend(results)
    if case.finding is None and refusal_of(state.output) is not None:
        case.finding_source = "refused"
        return state
    if case.finding is None:
        case.finding = _from_text(state, case)
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


def _from_text(state: AgentState, case: CaseState) -> Finding:
    written = parse_finding(state.output.completion)
    if written is not None:
        return written
    supported = [h.text for h in case.hypotheses if h.status == "supported"] or [h.text for h in case.hypotheses]
    if supported:
        return Finding(
            verdict="inconclusive", description="Not submitted; from the board: " + " ".join(supported), confidence=0
        )
    return Finding(verdict="inconclusive", description="The investigator submitted no finding.", confidence=0)
