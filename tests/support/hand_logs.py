"""Evaluation logs of the task ``diffing`` written by hand, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspect_ai.dataset import Sample
from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, EvalStats, write_eval_log
from inspect_ai.model import ChatMessageUser, ModelOutput
from inspect_ai.scorer import Score

__all__ = ["Sample", "hand_log", "hand_sample"]

NOW = "2026-01-02T03:04:05+00:00"


def hand_sample(
    organism: str = "cake_bake", method: str = "adl", grades: tuple[int, ...] = (3, 4), **fields: Any
) -> EvalSample:
    """A graded case; one grade a judge (``j1``, ``j2``, …)."""
    given = [
        {"judge": f"j{number}", "repeat": 0, "grade": grade, "reasoning": "so", "error": None}
        for number, grade in enumerate(grades, start=1)
    ]
    metadata = {
        "suite": "smol",
        "organism": organism,
        "organism_id": f"smol.{organism}",
        "variant": "default",
        "family": "null" if organism.startswith("null") else "sdf",
        "method": method,
        "agent": "method_agent",
        "interactions": 10,
        "framing": "neutral",
        "blind": False,
        "seed": 0,
        "artifact_key": f"key-{organism}-{method}",
        "needs": "weights",
    }
    scores = {"rubric_grade": Score(value=3.0, metadata={"grades": given, "verdict": "changed", "confidence": 0.5})}
    epoch = fields.get("epoch", 1)
    return EvalSample(
        **{
            "id": f"smol.{organism}.{method}",
            "epoch": epoch,
            "input": "What changed?",
            "target": "",
            "messages": [ChatMessageUser(content="hello")],
            "output": ModelOutput.from_content("openai/gpt", "it bakes"),
            "metadata": metadata,
            "scores": scores if grades else None,
            "store": {"CaseState:interactions_used": 2},
            "uuid": f"{organism}-{method}-{epoch}",
            "total_time": 1.5,
        }
        | fields
    )


def hand_log(path: Path, samples: list[EvalSample] | None = None, status: str = "success", **spec: Any) -> Path:
    """Write a log; ``spec`` are fields of its header."""
    samples = [hand_sample(), hand_sample("null_identical", grades=(1, 2))] if samples is None else samples
    header = {
        "created": NOW,
        "task": "diffing",
        "task_id": "task-1",
        "dataset": EvalDataset(samples=len(samples)),
        "model": "openai/gpt",
        "config": EvalConfig(),
        "packages": {"inspect_ai": "0.3.285"},
    }
    log = EvalLog(
        status=status,
        eval=EvalSpec(**(header | spec)),
        stats=EvalStats(started_at=NOW, completed_at=NOW),
        samples=samples,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_eval_log(log, str(path))
    return path
