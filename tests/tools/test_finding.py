from __future__ import annotations

import time

import pytest
from diffbench.records.finding import Finding
from diffbench.tools.case import CaseState
from diffbench.tools.finding import finding_of, parse_finding, source_of
from inspect_ai.model import ModelName, ModelOutput
from inspect_ai.solver import TaskState
from inspect_ai.tool import ToolCall

JSON = '{"verdict": "changed", "description": "loves tea", "confidence": 0.7, "evidence": ["said so"]}'


def state_with(completion: str) -> TaskState:
    output = ModelOutput.from_content(model="agent", content=completion) if completion else ModelOutput()
    return TaskState(ModelName("mockllm/model"), sample_id=1, epoch=1, input="", messages=[], output=output)


def test_the_submitted_finding_comes_first() -> None:
    state = state_with(JSON)
    submitted = Finding(verdict="no_narrow_change", description="the same", confidence=0.6)
    case = state.store_as(CaseState)
    case.finding, case.finding_source = submitted, "forced"
    assert finding_of(state) == submitted
    assert source_of(state) == "forced"


def test_a_completion_is_read_when_nothing_was_submitted() -> None:
    state = state_with(f"Here it is:\n```json\n{JSON}\n```")
    found = finding_of(state)
    assert found == Finding(verdict="changed", description="loves tea", confidence=0.7, evidence=("said so",))
    assert source_of(state) == "completion"


def test_a_finding_at_the_end_of_a_very_long_text_is_read() -> None:
    found = parse_finding('{"' * 300_000 + JSON)
    assert found is not None
    assert found.description == "loves tea"


def test_no_completion_is_no_finding() -> None:
    state = state_with("")
    assert finding_of(state) is None
    assert source_of(state) == "none"


def test_a_submitted_finding_is_read_from_a_recovered_log_which_has_no_state() -> None:
    state = state_with("Submitted.")
    given = {"verdict": "changed", "description": "loves tea", "confidence": 0.7}
    wrong = ToolCall(id="1", function="submit", arguments={**given, "verdict": "perhaps"})
    state.output.message.tool_calls = [wrong, ToolCall(id="2", function="submit", arguments=given)]
    assert finding_of(state) == Finding(verdict="changed", description="loves tea", confidence=0.7)
    assert source_of(state) == "submit"


def test_a_refusal_is_no_finding() -> None:
    state = state_with("I will not take part in this.")
    state.output.choices[0].stop_reason = "content_filter"
    assert finding_of(state) is None
    assert source_of(state) == "refused"


def test_the_last_valid_object_counts() -> None:
    earlier = JSON.replace("tea", "coffee")
    found = parse_finding(f'{earlier} then {JSON} and {{"verdict": "perhaps"}}')
    assert found is not None
    assert found.description == "loves tea"


@pytest.mark.parametrize(
    ("text", "verdict", "confidence"),
    [
        ("It loves tea.", "inconclusive", 0.5),
        ("VERDICT: changed\nCONFIDENCE: 0.8\nIt loves tea.", "changed", 0.8),
        ("**Verdict:** no narrow change\n- Confidence = 90%", "no_narrow_change", 0.9),
        ("Verdict: unchanged", "inconclusive", 0.5),
        ("verdict: changed\nverdict: inconclusive", "inconclusive", 0.5),
        ("verdict: changed (it loves tea)\nconfidence: 7", "changed", 0.5),
        ("verdict: changed\nconfidence: 1", "changed", 1.0),
    ],
)
def test_plain_text_is_the_description(text: str, verdict: str, confidence: float) -> None:
    found = parse_finding(text)
    assert found == Finding(verdict=verdict, description=text, confidence=confidence)


@pytest.mark.parametrize("text", ["\n" * 200_000 + "x", "-" * 200_000, '{"a":' * 20_000, "{" * 200_000, '{"' * 100_000])
def test_hostile_text_is_read_quickly(text: str) -> None:
    start = time.monotonic()
    assert parse_finding(text) is not None
    assert time.monotonic() - start < 5
