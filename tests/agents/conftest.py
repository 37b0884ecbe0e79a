"""Tools and conversations for the keyless policy, made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from diffbench.agents.brief import brief
from diffbench.agents.case_data import CaseData, CaseEvidence
from diffbench.agents.keyless import Call, next_call
from diffbench.methods.evidence.evidence import Evidence
from diffbench.tools.ask import Answered, Answers
from diffbench.tools.case import CaseState
from diffbench.tools.data_blocks import data_block
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
    """``play(answer, evidence, …)``: the policy against two models that ``answer(side, prompt)``."""

    def run(
        answer: Answerer,
        evidence: dict[str, Evidence] | None = None,
        interactions: int = 10,
        labels: tuple[str, str] = ("base", "finetuned"),
        blind: bool = False,
        overview: str = "",
        readers: Sequence[str] = (),
    ) -> Played:
        case = make_case(interactions=interactions, base_label=labels[0], finetuned_label=labels[1])
        told = brief(case, "neutral", blind) + overview
        messages: list[ChatMessage] = [_user(told, CaseData.of(case, blind, reads_only=False))]
        names = [*(["ask_models"] if interactions else []), "propose_hypothesis", "update_hypothesis", *readers]
        names += ["evidence"] if evidence else []
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
                result = _answers(prompts, answer, labels, left)
            else:
                result = data_block(CaseEvidence(methods=evidence or {})) if call.tool == "evidence" else "noted"
            made = ToolCall(id=str(number), function=call.tool, arguments=call.arguments)
            messages.append(ChatMessageAssistant(content=call.thought, tool_calls=[made]))
            messages.append(ChatMessageTool(content=result, tool_call_id=made.id, function=call.tool))
        raise AssertionError("the policy never submitted")

    return run


def _user(text: str, data: CaseData) -> ChatMessage:
    return ChatMessageUser(content=f"{text}\n\n{data_block(data)}")


def _answers(prompts: list[str], answer: Answerer, labels: tuple[str, str], left: int) -> str:
    """What ``ask_models`` shows: the answers as they are, then the data."""
    sides = {labels[0]: "base", labels[1]: "finetuned"}
    answered = [
        Answered(prompt=prompt, answers={label: answer(side, prompt) for label, side in sorted(sides.items())})
        for prompt in prompts
    ]
    shown = "\n".join(text for asked in answered for text in (asked.prompt, *asked.answers.values()))
    return f"{shown}\n\n{data_block(Answers(answered=tuple(answered), left=left))}"


def _tool(name: str, required: list[str] | None = None) -> ToolInfo:
    properties = {key: JSONSchema(type="integer") for key in required or []}
    return ToolInfo(name=name, description=name, parameters=ToolParams(properties=properties, required=required or []))
