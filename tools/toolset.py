"""All tools of the case that is being worked, as one tool source: ``react(tools=[case_tools()], …)``."""

from __future__ import annotations

from inspect_ai.tool import Tool, ToolSource

from .artifacts import reading_tools
from .ask import RESPONSE_TOKENS, TEMPERATURE, ask_models
from .board import propose_hypothesis, update_hypothesis
from .case import current_case

__all__ = ["CaseTools", "case_tools"]


class CaseTools(ToolSource):
    """Looks the case up when the tools are asked for, so that one agent serves cases of every method."""

    def __init__(self, board: bool, temperature: float, max_tokens: int) -> None:
        self._board = board
        self._ask = (temperature, max_tokens)

    async def tools(self) -> list[Tool]:
        """Queries while a budget was granted, the board, and the readers of the case's methods."""
        case = current_case()
        tools: list[Tool] = []
        if case.granted("ask_models") > 0:
            tools.append(ask_models(*self._ask))
        if self._board:
            tools += [propose_hypothesis(), update_hypothesis()]
        return [*tools, *reading_tools(case)]


def case_tools(board: bool = True, temperature: float = TEMPERATURE, max_tokens: int = RESPONSE_TOKENS) -> CaseTools:
    """The tools of the current case, for any agent.

    Args:
        board: Whether to offer the hypothesis board.
        temperature: Sampling temperature of the targets.
        max_tokens: Longest answer of a target, in tokens.
    """
    return CaseTools(board, temperature, max_tokens)
