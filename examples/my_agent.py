"""A third party's investigator: its own prompt around the case's tools.

Run: ``inspect eval benchmark/diffing.py --solver examples/my_agent.py@my_agent [--model …]``
"""

from __future__ import annotations

from diffbench.agents.investigators import investigator_model
from diffbench.agents.toolset import case_tools
from diffbench.tools.submit import submit
from inspect_ai.agent import Agent, AgentState, AgentSubmit, agent, react
from inspect_ai.util import apply_limits, turn_limit

PROMPT = """Two models are before you; one was finetuned. Read what the tools show, ask both models a few prompts,
compare what they say, and submit what the finetuning taught, as specifically as you can."""


@agent
def my_agent(turns: int = 20) -> Agent:
    """Reads, asks and submits; without a model it runs the keyless baseline policy.

    Args:
        turns: Model generations before it is stopped; what it wrote last is then read as its finding.
    """

    async def execute(state: AgentState) -> AgentState:
        loop = react(
            prompt=PROMPT,
            tools=[case_tools()],
            model=investigator_model(),
            submit=AgentSubmit(tool=submit(), name="submit", answer_only=True, keep_in_messages=True),
        )
        with apply_limits([turn_limit(turns)], catch_errors=True):
            state = await loop(state)
        return state  # noqa: RET504 - also reached when a limit ended the block

    return execute
