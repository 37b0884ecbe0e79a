"""Judges and cases for the grader tests: mock judges that answer from a list, and evals of planted findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from diffbench.records.finding import Finding
from diffbench.tools.case import CaseState
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

Call = tuple[list[ChatMessage], GenerateConfig]


def mock_output(text: str) -> ModelOutput:
    # Without a usage, mockllm would count tokens with an encoding that is downloaded.
    output = ModelOutput.from_content(model="mockllm", content=text)
    output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return output


@pytest.fixture
def mock_judge() -> Callable[..., Model]:
    """``mock_judge(replies, name, calls)``: a judge that gives its replies in order; the calls are appended."""

    def build(replies: Sequence[str], name: str = "judge", calls: list[Call] | None = None) -> Model:
        queue = list(replies)

        def reply(messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
            if calls is not None:
                calls.append((list(messages), config))
            return mock_output(queue.pop(0))

        return get_model(f"mockllm/{name}", custom_outputs=reply, memoize=False)

    return build


@solver
def plant() -> Solver:
    """Puts the sample's ``planted`` finding into the case, or fails when it is ``crash``."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        planted = state.metadata.get("planted")
        if planted == "crash":
            raise RuntimeError("the investigator crashed")
        if isinstance(planted, str):
            state.output = ModelOutput.from_content(model="agent", content=planted)
        elif planted is not None:
            case = state.store_as(CaseState)
            case.finding, case.finding_source = Finding.model_validate(planted), "submit"
        return state

    return solve


@pytest.fixture
def run_cases(tmp_path: Path) -> Callable[..., EvalLog]:
    """``run_cases([(organism, method, planted), ...], scorers, grader=...)``: the log of an eval over these cases."""

    def run(
        cases: Sequence[tuple[str, str, Any]], scorers: Scorer | list[Scorer], grader: Model | list[Model] | None = None
    ) -> EvalLog:
        samples = [
            Sample(
                id=f"{number}.{organism}.{method}",  # a log lists its samples in the order of their ids
                input="What changed?",
                metadata={"organism_id": organism, "method": method, "planted": planted},
            )
            for number, (organism, method, planted) in enumerate(cases)
        ]
        return inspect_ai.eval(
            Task(dataset=samples, solver=plant(), scorer=scorers),
            model="mockllm/model",
            model_roles={"grader": grader} if grader is not None else {},
            log_dir=str(tmp_path),
            display="none",
            max_samples=1,
            fail_on_error=False,
            score_on_error=True,
        )[0]

    return run
