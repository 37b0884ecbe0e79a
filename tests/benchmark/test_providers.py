"""Investigator, judge and targets through the real clients, against local servers that fail in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
import yaml
from diffbench.agents.brief import open_case
from diffbench.benchmark.diffing import diffing
from diffbench.results.frame import grades_frame
from diffbench.tools.case import CaseState
from fake_providers import FAULTS, FINDING, TRANSIENT, Asked, FakeProvider, marked, role_of, serving
from inspect_ai import Task, task_with
from inspect_ai.dataset import MemoryDataset
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import ContentReasoning, GenerateConfig, Model, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

WIRES = {
    "chat": ("openai/gpt-4o", "streaming", "/v1/chat/completions"),
    "responses": ("openai/gpt-5", "streaming", "/v1/responses"),
    "messages": ("anthropic/claude-sonnet-4-0", "streaming", "/v1/messages"),
    "local": ("openai-api/local/any", "stream", "/v1/chat/completions"),
}
JUDGE_OF = {"chat": "messages", "responses": "local", "messages": "responses", "local": "chat"}
"""Each wire format has an investigator and a judge; that of a case speaks another format."""
JUDGE_REFUSES = "judge.refusal_for_good"
KINDS = ("none", *FAULTS, JUDGE_REFUSES)
CASES = [(wire, fault) for wire in WIRES for fault in (KINDS if wire != "local" else KINDS[:1])]
"""A local server speaks chat completions: its judges and targets meet the faults."""
BOUND = {"interactions": 4, "methods": "kl", "organisms": "cake_bake"}
ROLES = dict.fromkeys(("grader", "target_base", "target_finetuned"), "openai-api/local/any")


def model(wire: str, stream: bool) -> Model:
    name, switch, _ = WIRES[wire]
    # Without streaming the Anthropic client refuses answers that could take long.
    return get_model(name, config=GenerateConfig(max_tokens=4000), memoize=False, **{switch: stream})


@solver
def mark() -> Solver:
    """Names the case's fault in its first message."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.messages[
            0
        ].content = f"{state.messages[0].text}\nfault:{state.metadata['fault']}@{state.metadata['wire']}"
        return state

    return solve


def all_faults(wire: str) -> Task:
    """A case for each fault, which all its models meet; the investigator streams, the judge does not."""
    task = diffing(**BOUND)
    (sample,) = task.dataset
    cases = [
        sample.model_copy(update={"id": fault, "metadata": {**(sample.metadata or {}), "fault": fault, "wire": wire}})
        for of, fault in CASES
        if of == wire
    ]
    roles = ROLES | {"grader": model(JUDGE_OF[wire], stream=False)}
    return task_with(
        task, dataset=MemoryDataset(cases), setup=[open_case(), mark()], model=model(wire, True), model_roles=roles
    )


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with serving() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def samples(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], EvalSample]:
    """Wire format of the investigator and fault -> the case."""
    tasks = [all_faults(wire) for wire in WIRES]
    folder = str(tmp_path_factory.mktemp("logs"))
    logs = inspect_ai.eval(
        tasks, log_dir=folder, display="none", max_tasks=len(tasks), max_samples=len(KINDS), log_realtime=False
    )
    assert [log.status for log in logs] == ["success"] * len(WIRES)
    done = {(wire, str(s.id)): s for wire, log in zip(WIRES, logs, strict=True) for s in log.samples or []}
    assert set(done) == set(CASES)
    return done


def only_sample(log: EvalLog) -> EvalSample:
    assert log.status == "success", log.error
    (sample,) = log.samples or []
    return sample


def source(sample: EvalSample) -> str:
    return str(sample.store_as(CaseState).finding_source)


def entry(sample: EvalSample) -> dict[str, Any]:
    """The one grade, or the reason why there is none."""
    assert sample.scores is not None
    assert sample.scores["rubric_grade"].metadata is not None
    (given,) = sample.scores["rubric_grade"].metadata["grades"]
    return dict(given)


def answers(sample: EvalSample) -> str:
    return "\n".join(m.text for m in sample.messages if m.role == "tool" and m.function == "ask_models")


@pytest.mark.parametrize(("wire", "fault"), CASES)
def test_every_fault_leaves_a_finding_or_a_refusal_and_a_grade_or_a_reason(
    wire: str, fault: str, samples: dict[tuple[str, str], EvalSample]
) -> None:
    sample = samples[wire, fault]
    assert sample.error is None
    finding, given = sample.store_as(CaseState).finding, entry(sample)
    if fault == "refusal_for_good":
        assert (finding, source(sample)) == (None, "refused")
    else:
        assert finding is not None
        assert finding.description == f"{FINDING['description']} fault:{fault}@{wire}"
        assert source(sample) == "submit"
    if fault == JUDGE_REFUSES:
        assert given["grade"] is None
        assert "repair reply" in given["error"]
    else:
        assert given["grade"] in (1, 2, 3, 4, 5)
        assert given["error"] is None


@pytest.mark.parametrize(("wire", "fault"), [(wire, fault) for wire, fault in CASES if fault in TRANSIENT])
def test_what_can_be_repeated_leaves_no_trace(
    wire: str, fault: str, samples: dict[tuple[str, str], EvalSample]
) -> None:
    def shape(sample: EvalSample) -> list[tuple[str, int]]:
        return [(m.role, len(m.tool_calls or []) if m.role == "assistant" else 0) for m in sample.messages]

    assert shape(samples[wire, fault]) == shape(samples[wire, "none"])


@pytest.mark.parametrize("wire", WIRES)
def test_calls_made_together_and_reasoning_are_kept(
    wire: str, samples: dict[tuple[str, str], EvalSample], provider: FakeProvider
) -> None:
    said = [m for m in samples[wire, "none"].messages if m.role == "assistant"]
    assert [[call.function for call in m.tool_calls or []] for m in said][1:] == [
        ["propose_hypothesis", "ask_models"],
        ["ask_models"],
        ["submit"],
    ]
    blocks = [part for m in said for part in m.content if isinstance(part, ContentReasoning)]
    assert len(blocks) == len(said)
    last = max(investigated(provider, wire), key=lambda asked: len(asked.messages))
    assert sum(message.reasoned for message in last.messages) == len(said) - 1


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_usage_is_what_the_server_counted(
    wire: str, samples: dict[tuple[str, str], EvalSample], provider: FakeProvider
) -> None:
    usage = samples[wire, "none"].model_usage[WIRES[wire][0]]
    assert usage.input_tokens == sum(asked.tokens for asked in investigated(provider, wire))
    assert usage.reasoning_tokens


def investigated(provider: FakeProvider, wire: str) -> list[Asked]:
    """What the investigator of the case without a fault asked."""
    name, _, path = WIRES[wire]
    asked = [one for at, one in provider.asked if at == path and one.model == name.rpartition("/")[2]]
    return [one for one in asked if role_of(one) == "investigator" and "fault:none@" in one.opening]


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_malformed_calls_are_told_and_made_again(wire: str, samples: dict[tuple[str, str], EvalSample]) -> None:
    sample = samples[wire, "malformed"]
    failed = [m for m in sample.messages if m.role == "tool" and m.error is not None]
    assert len(failed) == (2 if wire == "messages" else 3)
    assert any("read_the_weights" in m.error.message for m in failed if m.error)
    assert sample.store_as(CaseState).interactions_used == 4


def test_what_targets_answer_is_shown_as_it_is(samples: dict[tuple[str, str], EvalSample]) -> None:
    assert "I can't help with that." in answers(samples["chat", "refusal"])
    assert "(empty answer)" in answers(samples["chat", "empty"])
    for sample in samples.values():
        assert sample.store_as(CaseState).interactions_used == (0 if source(sample) == "refused" else 4)


def test_the_server_met_every_fault_and_never_had_to_refuse_a_conversation(
    samples: dict[tuple[str, str], EvalSample], provider: FakeProvider
) -> None:
    assert set(provider.faults) == set(FAULTS)
    assert provider.retries == sum(provider.faults[kind] for kind in TRANSIENT)
    assert provider.refused == []


@pytest.mark.parametrize(
    ("base", "finetuned"),
    [("openai-api/local/base", "openai-api/local/finetuned"), ("vllm/base", "vllm/base:finetuned")],
)
def test_a_pair_behind_an_api_is_asked_by_name(
    base: str, finetuned: str, provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "specs" / "tiny"
    folder.mkdir(parents=True)
    spec = {
        "name": "served",
        "family": "checkpoint",
        "rubric": "checkpoint",
        "description": "A pair that is only served.",
        "key_facts": [{"fact": "It chats.", "exact": ["chat"], "abstract": ["talk"]}],
        "probe_prompts": ["Hello?"],
        "behaviour": {"patterns": ["chat"]},
        "base": {"kind": "api", "model": base},
        "finetuned": {"default": {"kind": "api", "model": finetuned}},
        "source": "tests",
        "licence": "MIT",
    }
    (folder / "served.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(tmp_path / "specs"))
    before = len(provider.asked)
    task = diffing(suite="tiny", organisms="served", methods="blackbox", interactions=2)
    (log,) = inspect_ai.eval(task, model="openai-api/local/any", log_dir=str(tmp_path), display="none")
    assert source(only_sample(log)) == "submit"
    assert "(base, " in answers(only_sample(log))
    assert "(finetuned, " in answers(only_sample(log))
    asked = [a.model for _, a in provider.asked[before:] if role_of(a) == "target"]
    assert sorted(asked) == ["base", "base", "finetuned", "finetuned"]


@pytest.fixture
def outage(provider: FakeProvider) -> Iterator[Callable[[str], None]]:
    """``outage(role)``: from now on every request of the role fails."""

    def begin(role: str) -> None:
        provider.plan = lambda asked, arrival: "server_error" if role_of(asked) == role else None

    yield begin
    provider.plan = marked()


@pytest.mark.parametrize("role", ["investigator", "judge", "target"])
def test_an_outage_is_counted_and_a_retry_mends_it(
    role: str, provider: FakeProvider, outage: Callable[[str], None], tmp_path: Path
) -> None:
    outage(role)
    (log,) = inspect_ai.eval(
        diffing(**BOUND),
        model="openai-api/local/any",
        model_roles=ROLES,
        max_retries=0,
        log_dir=str(tmp_path),
        display="none",
    )
    sample = only_sample(log)
    assert sample.error is not None
    assert "InternalServerError" in sample.error.message
    provider.plan = marked()
    (again,) = inspect_ai.eval_retry(log, log_dir=str(tmp_path), display="none")
    assert source(only_sample(again)) == "submit"
    assert entry(only_sample(again))["grade"] in (1, 2, 3, 4, 5)
    assert len(grades_frame(tmp_path).frame) == 1


def test_targets_can_be_transformers_models(tiny_world: Any, provider: FakeProvider, tmp_path: Path) -> None:
    served = {
        f"target_{side}": get_model("hf/local", model_path=str(tiny_world.base), device="cpu", memoize=False)
        for side in ("base", "finetuned")
    }
    (log,) = inspect_ai.eval(
        diffing(**BOUND, response_tokens=4),
        model="openai-api/local/any",
        model_roles=ROLES | served,
        log_dir=str(tmp_path),
        display="none",
    )
    sample = only_sample(log)
    assert sample.error is None
    assert source(sample) == "submit"
    assert sample.role_usage["target_finetuned"].output_tokens > 0
