"""A case to call tools in, models that answer from a function, and hand-made artifacts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.store import ArtifactStore
from diffbench.tools.case import CaseState
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import store, store_as
from raw_payload import raw


@dataclass
class Asked:
    """What the target models were asked: side, prompt, seed."""

    calls: list[tuple[str, str, int | None]] = field(default_factory=list)


@pytest.fixture
def case() -> Iterator[CaseState]:
    """An open case in a fresh store, outside an eval."""
    _empty_store()
    opened = store_as(CaseState)
    opened.organism = "smol.cake_bake"
    yield opened
    _empty_store()


@pytest.fixture
def in_case(tmp_path: Path) -> Callable[..., tuple[Any, Asked]]:
    """``in_case(work, **fields)``: runs ``await work(case)`` inside an eval, with both targets bound to mock models;
    ``targets`` has what each side always says."""

    def run(
        work: Callable[[CaseState], Awaitable[Any]], targets: dict[str, str] | None = None, **fields: Any
    ) -> tuple[Any, Asked]:
        said = targets or {}
        asked, outcome = Asked(), []

        @solver
        def working() -> Solver:
            async def solve(state: TaskState, generate: Generate) -> TaskState:
                opened = state.store_as(CaseState)
                for name, value in {"organism": "smol.cake_bake", **fields}.items():
                    setattr(opened, name, value)
                try:
                    outcome.append(await work(opened))
                except Exception as error:  # noqa: BLE001 - raised again outside the eval
                    outcome.append(error)
                return state

            return solve

        log = inspect_ai.eval(
            Task(dataset=[Sample(input="?")], solver=working()),
            model="mockllm/model",
            model_roles={f"target_{side}": _target(side, asked, said.get(side)) for side in ("base", "finetuned")},
            log_dir=str(tmp_path / "logs"),
            display="none",
        )[0]
        assert log.status == "success", log.error
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0], asked

    return run


@pytest.fixture
def save_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Artifact]:
    """``save_artifact(method, payload)``: an artifact with this payload in a temporary store, which is the user's."""
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "store"))

    def save(method: str, payload: dict[str, Any]) -> Artifact:
        about: dict[str, Any] = {
            "method": method,
            "config": {},
            "base": {"kind": "local", "sha256": "b"},
            "finetuned": {"kind": "local", "sha256": "f"},
            "corpus_name": "own",
            "corpus_sha256": "c",
            "device": "cpu",
            "seconds": 1.0,
            "peak_memory_mib": 1.0,
        }
        return ArtifactStore().save(f"{method}{'0' * 20}", Content(raw(payload)), **about)

    return save


def _target(side: str, asked: Asked, said: str | None) -> Model:
    def reply(messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        asked.calls.append((side, messages[-1].text, config.seed))
        content = said or f"the {side} model on {messages[-1].text}"
        output = ModelOutput.from_content(model="mockllm", content=content)
        output.usage = ModelUsage(input_tokens=50, output_tokens=50, total_tokens=100)
        return output

    return get_model(f"mockllm/{side}", custom_outputs=reply, memoize=False)


def _empty_store() -> None:
    for key in list(store().keys()):
        store().delete(key)
