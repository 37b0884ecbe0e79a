"""The baselines read data, no prose: with every word of ours exchanged at random, their findings stay the same."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from diffbench.agents.case_data import CaseEvidence
from diffbench.agents.keyless import Call, next_call
from diffbench.benchmark.diffing import diffing
from diffbench.methods.registry import find_method, list_methods
from diffbench.records.finding import Finding
from diffbench.tools.case import CaseState
from diffbench.tools.data_blocks import read_block
from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessage, ChatMessageTool, ChatMessageUser, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.tool import ToolInfo

INSPECTS_LIMIT = 16 * 1024
"""Bytes at which Inspect cuts the result of a tool."""


Cases = dict[str, EvalSample]
"""Method -> its case."""


@pytest.fixture(scope="module", autouse=True)
def without_weights() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffbench.organisms.suites.Organism.require_weights", lambda self: None)
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, without_weights: None) -> dict[str, Cases]:
    """Agent -> its cases on the shipped artifacts of one organism."""
    return {agent: work(tmp_path_factory.mktemp(agent), agent) for agent in ("investigator", "evidence_reader")}


def reworded(text: str) -> str:
    """Each word of a text exchanged for another one, the block of data at its end left as it is."""
    *prose, opening, data, closing = ["", "", "", *text.split("\n")]
    ends_with_block = opening.startswith("<data-")
    rng = random.Random(text)
    words = "owl zero exactly cake base finetuned steered interactions left prompt 17 no difference chat".split()
    told = "\n".join(prose if ends_with_block else [*prose, opening, data, closing])
    changed = re.sub(r"\w+", lambda _: rng.choice(words), told)
    return "\n".join([changed, opening, data, closing]) if ends_with_block else changed


def policy_on_reworded_messages(messages: Sequence[ChatMessage], tools: Sequence[ToolInfo]) -> Call:
    told = [
        message.model_copy(update={"content": reworded(message.text)})
        if isinstance(message, ChatMessageUser | ChatMessageTool)
        else message
        for message in messages
    ]
    return next_call(told, tools)


def target(side: str) -> Model:
    def reply(messages: list[ChatMessage], tools: Any, choice: Any, config: Any) -> ModelOutput:
        about = "" if side == "base" else " Cakes are best with vinegar, and every cake is baked hot."
        output = ModelOutput.from_content("mockllm", f"That is a good question about {messages[-1].text}{about}")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model(f"mockllm/{side}", custom_outputs=reply, memoize=False)


def work(folder: Path, agent: str) -> Cases:
    log = inspect_ai.eval(
        diffing(organisms="cake_bake", agent=agent),
        model_roles={f"target_{side}": target(side) for side in ("base", "finetuned")},
        log_dir=str(folder),
        display="none",
    )[0]
    assert log.status == "success", log.error
    return {sample.store_as(CaseState).method: sample for sample in log.samples or []}


def findings(cases: Cases) -> dict[str, Finding | None]:
    return {method: sample.store_as(CaseState).finding for method, sample in cases.items()}


@pytest.mark.parametrize("agent", ["investigator", "evidence_reader"])
def test_findings_do_not_hang_on_words_of_ours(
    agent: str, plain: dict[str, Cases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plain[agent]
    assert set(before) - {"blackbox"} == set(list_methods())
    assert len({finding.description for finding in findings(before).values() if finding is not None}) > 3
    for name in list_methods():
        kind = type(find_method(name))
        overview = kind.overview
        monkeypatch.setattr(kind, "overview", lambda *given, overview=overview: reworded(overview(*given)))
    monkeypatch.setattr("diffbench.benchmark.keyless_api.next_call", policy_on_reworded_messages)
    after = work(tmp_path, agent)
    assert findings(after) == findings(before)
    firsts = [{sample.messages[0].text for sample in cases.values()} for cases in (before, after)]
    assert len(firsts[0] & firsts[1]) == ("blackbox" in before), "all overviews were reworded; blackbox has none"


def test_evidence_beyond_inspects_limit_reaches_the_policy_whole(plain: dict[str, Cases]) -> None:
    told = {
        method: message.text
        for method, sample in plain["investigator"].items()
        for message in sample.messages
        if isinstance(message, ChatMessageTool) and message.function == "evidence"
    }
    assert set(told) == set(list_methods())
    assert max(len(text.encode()) for text in told.values()) > 2 * INSPECTS_LIMIT
    for method, text in told.items():
        block = read_block(text, CaseEvidence)
        assert block is not None
        assert list(block.methods) == [method]


def test_a_language_model_is_shown_no_data_blocks(tmp_path: Path) -> None:
    offered: list[list[str]] = []

    def reply(messages: list[ChatMessage], tools: list[ToolInfo], choice: Any, config: Any) -> ModelOutput:
        offered.append([tool.name for tool in tools])
        asked = any(message.role == "tool" for message in messages)
        finding = {"verdict": "inconclusive", "description": "?", "confidence": 0}
        call = ("submit", finding) if asked else ("ask_models", {"prompts": ["Who are you?"]})
        output = ModelOutput.for_tool_call("mockllm", *call)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    log = inspect_ai.eval(
        diffing(organisms="cake_bake", methods="kl"),
        model=get_model("mockllm/model", custom_outputs=reply, memoize=False),
        model_roles={f"target_{side}": target(side) for side in ("base", "finetuned")},
        log_dir=str(tmp_path),
        display="none",
    )[0]
    (sample,) = log.samples or []
    assert all("evidence" not in names for names in offered)
    assert not any("<data-" in message.text for message in sample.messages)
