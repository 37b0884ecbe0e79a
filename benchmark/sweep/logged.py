"""What the logs of a sweep's folder hold: whose they are, which cases have ended, how many tokens those took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...records.errors import MendableError
from ...records.names import GRADER_ROLE, TARGET_ROLE
from ...results.logs import TASKS, damage
from .file import task_defaults

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSampleSummary
    from inspect_ai.model import GenerateConfig, ModelUsage

__all__ = ["ROLES", "CaseTokens", "Logged", "Tokens", "logs_of", "telling_options"]

ROLES = ("investigator", "targets", "judges")

_TRANSPORT = {
    "max_retries",
    "timeout",
    "attempt_timeout",
    "stream_idle_timeout",
    "max_connections",
    "adaptive_connections",
    "batch",
    "cache",
    "cache_prompt",
}
"""Generation options that change no answer; Inspect too leaves them out of a task's identity."""


@dataclass(frozen=True)
class Tokens:
    """Tokens in the classes that providers charge for."""

    input: float = 0.0
    """Not read from a cache nor written to one."""
    output: float = 0.0
    cache_write: float = 0.0
    cache_read: float = 0.0

    @classmethod
    def of(cls, usage: ModelUsage) -> Tokens:
        """What Inspect counted."""
        written, read = usage.input_tokens_cache_write or 0, usage.input_tokens_cache_read or 0
        return cls(usage.input_tokens, usage.output_tokens, written, read)

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(a + b for a, b in zip(self._parts, other._parts, strict=True)))

    def __mul__(self, factor: float) -> Tokens:
        return Tokens(*(factor * part for part in self._parts))

    @property
    def _parts(self) -> tuple[float, float, float, float]:
        return self.input, self.output, self.cache_write, self.cache_read

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self._parts)


CaseTokens = Mapping[str, Tokens]
"""Tokens of one case by role (`ROLES`)."""


@dataclass(frozen=True)
class Logged:
    """A log: its task, and what of it is done."""

    path: str
    settings: Mapping[str, Any]
    """Task and its arguments but for the organisms, model, judges, limits and generation options."""
    organisms: tuple[str, ...]
    epochs: int
    cases: Mapping[tuple[str, int], CaseTokens]
    """Sample and epoch of those that ended without an error."""


def logs_of(folder: Path) -> list[Logged]:
    """The logs in a folder; none when there is no folder yet.

    Raises:
        MendableError: For a file that cannot be read.
    """
    from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries

    if not folder.is_dir():
        return []
    found = []
    for info in list_eval_logs(str(folder.resolve())):
        path = info.name.removeprefix("file://")
        try:
            header = read_eval_log(info, header_only=True)
            found.append(_logged(path, header, read_eval_log_sample_summaries(info)))
        except damage() as error:
            why = f"{type(error).__name__}: {error}"
            raise MendableError(f"{path}: no readable log ({why}); move it away, its cases will run again") from error
    return found


def telling_options(config: GenerateConfig) -> dict[str, Any]:
    """The generation options that tell tasks apart: those that can change an answer."""
    return config.model_dump(mode="json", exclude_none=True, exclude=_TRANSPORT)


def _logged(path: str, header: EvalLog, summaries: Sequence[EvalSampleSummary]) -> Logged:
    spec = header.eval
    arguments = {**task_defaults(), **spec.task_args}
    organisms = arguments.pop("organisms") or []
    judges = (spec.model_roles or {}).get(GRADER_ROLE, [])
    arguments["judges"] = [judge.model for judge in (judges if isinstance(judges, list) else [judges])]
    limits = {"token_limit": spec.config.token_limit, "cost_limit": spec.config.cost_limit}
    ended = {(str(s.id), s.epoch): _case_tokens(s) for s in summaries if s.completed and s.error is None}
    task = TASKS[0] if spec.task in TASKS else spec.task
    options = telling_options(header.plan.config)
    settings = {"task": task, **arguments, "model": spec.model, **limits, "generate": options}
    named = (organisms,) if isinstance(organisms, str) else tuple(organisms)
    return Logged(path, settings, named, spec.config.epochs or 1, ended)


def _case_tokens(sample: EvalSampleSummary) -> CaseTokens:
    by_role = {role: Tokens.of(usage) for role, usage in sample.role_usage.items()}
    judges = by_role.get(GRADER_ROLE, Tokens())
    targets = sum((used for role, used in by_role.items() if role.startswith(TARGET_ROLE)), Tokens())
    everything = sum((Tokens.of(usage) for usage in sample.model_usage.values()), Tokens())
    return {"investigator": everything + (judges + targets) * -1.0, "targets": targets, "judges": judges}
