"""All tools of the case that is being worked, as one tool source: ``react(tools=[case_tools()], …)``.

Which there are: queries, the board, and what each method offers over its artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from inspect_ai.tool import Tool, ToolDef, ToolSource

from ..methods.registry import find_method
from ..records.errors import MendableError
from ..records.names import ASK_TOOL, BLACKBOX
from ..tools.ask import RESPONSE_TOKENS, TEMPERATURE, ask_models
from ..tools.board import propose_hypothesis, update_hypothesis
from ..tools.case import CaseState, current_case
from .artifacts import artifact_methods, case_artifact, labels_of
from .case_data import evidence

__all__ = ["CaseTools", "case_tools", "reading_tools", "spending_tools"]


class CaseTools(ToolSource):
    """Looks the case up when the tools are asked for, so that one agent serves cases of every method."""

    def __init__(self, board: bool, temperature: float, max_tokens: int) -> None:
        self._board = board
        self._ask = (temperature, max_tokens)

    async def tools(self) -> list[Tool]:
        """Queries while a budget was granted, the board, and the readers of the case's methods."""
        case = current_case()
        tools: list[Tool] = []
        if case.granted(ASK_TOOL) > 0:
            asking = ask_models(*self._ask)
            # A block of data is read whole or not at all: it must not be cut.
            tools.append(ToolDef(asking, max_output=0).as_tool() if case.data_blocks else asking)
        if self._board:
            tools += [propose_hypothesis(), update_hypothesis()]
        tools += reading_tools(case)
        if case.data_blocks and case.artifact_key is not None:
            tools.append(evidence(case))
        return [_guarded(tool) for tool in tools]


def reading_tools(case: CaseState) -> list[Tool]:
    """The tools over the artifacts of all methods of the case.

    Raises:
        MendableError: When two methods have a tool of the same name.
    """
    tools: list[Tool] = []
    owner: dict[str, str] = {}
    for method in artifact_methods(case):
        own = method.toolset(partial(case_artifact, case, method.name), labels_of(case))
        for name in (ToolDef(tool).name for tool in own):
            if owner.setdefault(name, method.name) != method.name:
                raise MendableError(
                    f"methods {owner[name]} and {method.name} both have a tool {name}; rename one, or run them apart"
                )
        tools += own
    return tools


def spending_tools(methods: Sequence[str]) -> tuple[str, ...]:
    """Names of the tools of cases of these methods that cost interactions, each once."""
    named = [tool for method in methods if method != BLACKBOX for tool in find_method(method).spending]
    return tuple(dict.fromkeys([ASK_TOOL, *named]))


def _guarded(tool: Tool) -> Tool:
    """The tool, with an `OSError` ending the case.

    Inspect would tell the investigator the error's message, which can name files and the organism.
    """
    # Inspect reads name, signature and description of a tool through what `wraps` copies.
    call: Callable[..., Any] = tool

    @wraps(call)
    async def execute(*args: Any, **kwargs: Any) -> Any:
        try:
            return await call(*args, **kwargs)
        except (OSError, ExceptionGroup) as error:
            cause = _first_os_error(error)
            if cause is None:
                raise
            raise RuntimeError(f"{type(cause).__name__} in a tool: {cause}") from cause

    return execute


def _first_os_error(error: Exception) -> Exception | None:
    """The error itself, or one of those in a group, as concurrent queries raise them."""
    found = error.subgroup(OSError) if isinstance(error, ExceptionGroup) else error
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found


def case_tools(board: bool = True, temperature: float = TEMPERATURE, max_tokens: int = RESPONSE_TOKENS) -> CaseTools:
    """The tools of the current case, for any agent.

    Args:
        board: Whether to offer the hypothesis board.
        temperature: Sampling temperature of the targets.
        max_tokens: Longest answer of a target, in tokens.
    """
    return CaseTools(board, temperature, max_tokens)
