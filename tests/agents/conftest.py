"""Tools and conversations for the keyless policy, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from diffbench.agents.brief import brief
from diffbench.agents.keyless import Call, next_call
from diffbench.tools.case import CaseState
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageTool, ChatMessageUser
from inspect_ai.tool import ToolCall, ToolInfo, ToolParams
from inspect_ai.util import JSONSchema, Store

Answerer = Callable[[str, str], str]


@dataclass
class Played:
    """A whole investigation by the policy."""

    calls: list[Call] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    @property
    def finding(self) -> dict[str, Any]:
        assert self.calls[-1].tool == "submit"
        return self.calls[-1].arguments


@pytest.fixture
def make_case() -> Callable[..., CaseState]:
    """``make_case(**fields)``: a case in a store of its own."""
    return lambda **fields: CaseState(store=Store(), **{"organism": "smol.cake_bake", **fields})


@pytest.fixture
def play(make_case: Callable[..., CaseState]) -> Callable[..., Played]:
    """``play(answer, readers, …)``: the policy against two models that ``answer(side, prompt)``."""

    def run(
        answer: Answerer,
        readers: dict[str, str] | None = None,
        interactions: int = 10,
        labels: tuple[str, str] = ("base", "finetuned"),
        overview: str = "",
        blind: bool = False,
    ) -> Played:
        readers = readers or {}
        case = make_case(interactions=interactions, base_label=labels[0], finetuned_label=labels[1])
        text = brief(case, "neutral", blind) + overview
        messages: list[ChatMessage] = [ChatMessageUser(content=text)]
        names = [*(["ask_models"] if interactions else []), "propose_hypothesis", "update_hypothesis", *readers]
        tools = [_tool(name) for name in [*names, "submit"]] + [_tool("needs_an_argument", required=["rank"])]
        played, left = Played(), interactions
        for number in range(40):
            call = next_call(messages, tools)
            played.calls.append(call)
            if call.tool == "submit":
                return played
            if call.tool == "ask_models":
                prompts = call.arguments["prompts"]
                played.prompts += prompts
                left -= len(prompts)
                assert left >= 0, "the policy asked for more than it has"
                result = _answers(prompts, answer, labels, left, interactions)
            else:
                result = readers.get(call.tool, "noted")
            made = ToolCall(id=str(number), function=call.tool, arguments=call.arguments)
            messages.append(ChatMessageAssistant(content=call.thought, tool_calls=[made]))
            messages.append(ChatMessageTool(content=result, tool_call_id=made.id, function=call.tool))
        raise AssertionError("the policy never submitted")

    return run


def _answers(prompts: list[str], answer: Answerer, labels: tuple[str, str], left: int, of: int) -> str:
    """What ``ask_models`` shows, written down again from its description."""
    sides = sorted(("base", "finetuned"), key=lambda side: labels[side == "finetuned"])
    blocks = []
    for prompt in prompts:
        tags = {side: f"{labels[side == 'finetuned']}-0a1b2c3d" for side in sides}
        said = [f"<{tags[side]}>\n{answer(side, prompt)}\n</{tags[side]}>" for side in sides]
        blocks.append("\n".join([f"## Prompt: {prompt}", *said]))
    return "\n\n".join([*blocks, f"Interactions left: {left} of {of}."])


def _tool(name: str, required: list[str] | None = None) -> ToolInfo:
    properties = {key: JSONSchema(type="integer") for key in required or []}
    return ToolInfo(name=name, description=name, parameters=ToolParams(properties=properties, required=required or []))
