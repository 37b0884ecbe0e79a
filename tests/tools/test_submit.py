from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from diffbench.records.finding import Finding
from diffbench.tools.case import CaseState
from diffbench.tools.submit import submit
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, execute_tools
from inspect_ai.tool import ToolCall, ToolError

GOOD: dict[str, Any] = {
    "verdict": "changed",
    "description": "It loves tea.",
    "confidence": 0.7,
    "evidence": ["said so"],
}


def call(arguments: dict[str, Any]) -> ChatMessageTool:
    """The way a model's call takes, argument types included."""
    message = ChatMessageAssistant(content="", tool_calls=[ToolCall(id="1", function="submit", arguments=arguments)])
    result = asyncio.run(execute_tools([message], [submit()])).messages[0]
    assert isinstance(result, ChatMessageTool)
    return result


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"verdict": "perhaps"}, "verdict"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": -0.1}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"description": "  "}, "description"),
    ],
)
def test_a_malformed_finding_is_refused_and_can_be_corrected(
    broken: dict[str, Any], named: str, case: CaseState
) -> None:
    with pytest.raises(ToolError, match=named):
        asyncio.run(submit()(**{**GOOD, **broken}))
    assert (case.finding, case.finding_source) == (None, "none")
    text = asyncio.run(submit()(**GOOD))
    expected = Finding(verdict="changed", description="It loves tea.", confidence=0.7, evidence=("said so",))
    assert (case.finding, case.finding_source) == (expected, "submit")
    assert json.loads(str(text)) == GOOD


@pytest.mark.parametrize("broken", [{"verdict": "perhaps"}, {"confidence": "high"}, {"confidence": 2}, {"evidence": 3}])
def test_a_models_malformed_call_gets_an_error_and_leaves_no_finding(broken: dict[str, Any], case: CaseState) -> None:
    assert call({**GOOD, **broken}).error is not None
    assert case.finding is None
    assert call(GOOD).error is None
    assert case.finding is not None


def test_evidence_may_be_left_out(case: CaseState) -> None:
    assert call({key: GOOD[key] for key in ("verdict", "description", "confidence")}).error is None
    assert case.finding is not None
    assert case.finding.evidence == ()
