"""Tiny real logs of a task ``diffing`` whose cases say themselves how they end, and hand-made grades frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inspect_ai import Task, task
from inspect_ai import eval as run_eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver


@solver
def mock_agent() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        mock = state.metadata["mock"]
        state.store.set("CaseState:interactions_used", mock["used"])
        for role, tokens in mock["tokens"].items():
            output = ModelOutput.from_content("mockllm/model", "hm")
            output.usage = ModelUsage(input_tokens=tokens - 1, output_tokens=1, total_tokens=tokens)
            model = get_model("mockllm/model", role=role or None, custom_outputs=[output], memoize=False)
            await model.generate("hello")
        if mock["crash"]:
            raise RuntimeError("the agent broke\nin two lines")
        return state

    return solve


@scorer(metrics=[mean()])
def rubric_grade() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score | None:
        mock = state.metadata["mock"]
        if mock["grades"] is None:
            return None
        given = [g["grade"] for g in mock["grades"] if g["grade"] is not None]
        metadata = {key: mock[key] for key in ("grades", "verdict", "confidence")}
        value = sum(given) / len(given) if given else math.nan
        return Score(value=value, metadata=metadata | {"rubric": "sdf", "finding_source": "submit"})

    return score


@scorer(metrics=[mean()])
def fact_recall() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score | None:
        return Score(value=state.metadata["mock"]["recall"])

    return score


def _task(name: str, cases: list[Sample], epochs: int) -> Task:
    @task(name=name)
    def diffing() -> Task:
        return Task(dataset=cases, solver=mock_agent(), scorer=[rubric_grade(), fact_recall()], epochs=epochs)

    return diffing()


def _grade(value: int | None, judge: str = "j1", repeat: int = 0, error: str | None = None) -> dict[str, Any]:
    return {"judge": judge, "repeat": repeat, "grade": value, "reasoning": "so", "error": error}


def _case(organism: str, method: str = "adl", family: str = "sdf", **mock: Any) -> Sample:
    defaults: dict[str, Any] = {
        "grades": [_grade(3)],
        "verdict": "changed",
        "confidence": 0.5,
        "recall": 0.25,
        "used": 2,
        "tokens": {},
        "crash": False,
    }
    metadata = {
        "suite": "smol",
        "organism": organism,
        "organism_id": f"smol.{organism}",
        "variant": organism.partition("+")[2] or "default",
        "family": family,
        "method": method,
        "agent": "method_agent",
        "interactions": 10,
        "framing": "neutral",
        "blind": True,
        "artifact_key": None,
        "needs": "weights",
        "seed": 0,
        "mock": defaults | mock,
    }
    return Sample(id=f"smol.{organism}.{method}", input="What changed?", metadata=metadata)


RunLog = Callable[..., EvalLog]


@pytest.fixture(scope="session")
def run_log() -> RunLog:
    def run(
        folder: Path, cases: list[Sample], name: str = "diffbench/diffing", epochs: int = 1, **options: Any
    ) -> EvalLog:
        options = {"model": "mockllm/model", "fail_on_error": False} | options
        [log] = run_eval(_task(name, cases, epochs), log_dir=str(folder), display="none", **options)
        return log

    return run


def _row(organism: str, value: int, **columns: Any) -> dict[str, Any]:
    """One row of a grades frame."""
    method = columns.get("method", "adl")
    return {
        "log": "a.eval",
        "sample": f"smol.{organism}.{method}",
        "epoch": 1,
        "suite": "smol",
        "organism": organism,
        "family": "sdf",
        "variant": "default",
        "method": method,
        "agent": "method_agent",
        "agent_model": "openai/gpt",
        "interactions": 10,
        "framing": "neutral",
        "blind": False,
        "hints": "none",
        "judge": "j1",
        "judge_repeat": 0,
        "grade": value,
        "fact_recall": math.nan,
        "verdict": "changed",
        "confidence": 0.5,
        "interactions_used": 2,
        "tokens": 100,
        "cost": math.nan,
        "seconds": 1.0,
        "error": None,
    } | columns


def _frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


@pytest.fixture(scope="session")
def grade() -> Callable[..., dict[str, Any]]:
    return _grade


@pytest.fixture(scope="session")
def case() -> Callable[..., Sample]:
    return _case


@pytest.fixture(scope="session")
def row() -> Callable[..., dict[str, Any]]:
    return _row


@pytest.fixture(scope="session")
def frame() -> Callable[..., pd.DataFrame]:
    return _frame
