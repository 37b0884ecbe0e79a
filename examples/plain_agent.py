"""An agent without tools: it reads the brief, asks a model once, and its plain text is the finding.

Run: ``inspect eval benchmark/diffing.py --solver examples/plain_agent.py@plain_agent --model …``
"""

from __future__ import annotations

from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.model import ChatMessageUser, get_model

ASK = """You have no tools: answer from what stands above. First two lines:
VERDICT: changed, no_narrow_change or inconclusive
CONFIDENCE: a number from 0 to 1
Then describe what the finetuning taught."""


@agent
def plain_agent() -> Agent:
    """One generation, no tools."""

    async def execute(state: AgentState) -> AgentState:
        state.messages.append(ChatMessageUser(content=ASK))
        state.output = await get_model().generate(state.messages)
        state.messages.append(state.output.message)
        return state

    return execute
