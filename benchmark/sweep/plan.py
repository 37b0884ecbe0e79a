"""From a sweep file and a folder of logs to the tasks of an eval set, and what of them is left to run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai.model import GenerateConfig

from ...agents.kinds import kind_of
from ...benchmark.selection import ALL, select_methods, select_organisms
from ...records.errors import MendableError
from ...records.names import KEYLESS_INVESTIGATOR
from ...results.logs import TASKS
from ..cases import MissingArtifactsError
from ..diffing import diffing
from .file import Sweep, load_sweep, task_defaults
from .logged import Logged, logs_of, telling_options

__all__ = ["Job", "Plan", "make_plan"]


@dataclass(frozen=True)
class Job:
    """One task: the cases of a method, an agent, a model and a set of conditions on organisms of a suite."""

    arguments: Mapping[str, Any]
    """Of the task ``diffing``, but for the organisms; those with the default value left out."""
    organisms: tuple[str, ...]
    model: str
    settings: Mapping[str, Any]
    """As `Logged.settings`."""
    epochs: int = 1
    logs: tuple[Logged, ...] = ()
    """Those that hold cases of this task, more than one after a run that was stopped."""
    task: Task | None = None
    """None when artifacts are missing."""
    missing: tuple[tuple[str, str], ...] = ()
    """Organism and method of artifacts that are in no store."""

    @property
    def method(self) -> str:
        """Its one method."""
        return str(self.arguments["methods"][0])

    @property
    def agent(self) -> str:
        """Name of the agent, also where it is the default."""
        return str(self.settings["agent"])

    @property
    def cases(self) -> int:
        """Samples times epochs."""
        return len(self.organisms) * self.epochs

    @property
    def done(self) -> int:
        """Cases that the logs hold, failed ones not counted."""
        return len({case for log in self.logs for case in log.cases if case[1] <= self.epochs})


@dataclass(frozen=True)
class Plan:
    """All tasks of a sweep in a folder of logs."""

    file: Path
    folder: Path
    sweep: Sweep
    jobs: tuple[Job, ...]
    logs: tuple[Logged, ...]
    left_out: tuple[str, ...] = ()
    """Combinations of agent and method that do not go together, with the reason."""
    missing: tuple[tuple[str, str], ...] = field(default=())
    """Organism and method of the artifacts that are in no store, each once."""


def make_plan(file: Path, folder: Path) -> Plan:
    """What a sweep file asks for, less what the logs in ``folder`` already hold.

    A task is the unit that runs. Organisms that are new in the file become a task of their own, so that those before
    them are not run again.

    Args:
        file: The sweep file.
        folder: Where the logs of this sweep are, or will be.

    Raises:
        MendableError: For a bad file; for a log in the folder that is not of this sweep: says what differs.
        FileNotFoundError: When weights that queries need are missing; says how to get them.
    """
    sweep = load_sweep(file)
    logs = tuple(logs_of(folder))
    try:
        wanted, left_out = _wanted(sweep)
        _require_same(logs, wanted)
        jobs = tuple(_built(part) for job in wanted for part in _parts(job, logs))
    except MendableError as error:
        raise MendableError(f"{file}: {error}") from error
    missing = tuple(dict.fromkeys(pair for job in jobs for pair in job.missing))
    return Plan(file, folder, sweep, jobs, logs, left_out, missing)


def _wanted(sweep: Sweep) -> tuple[list[Job], tuple[str, ...]]:
    methods, left_out = _methods_by_agent(sweep)
    jobs = []
    for suite, selection in sweep.suites.items():
        names = None if selection == "default" else [ALL] if selection == "all" else list(selection)
        organisms = tuple(organism.id for organism in select_organisms(suite, names))
        for agent in sweep.agents:
            # An agent that uses no model is run once, whatever the models.
            models = sweep.models if kind_of(agent).uses_model else (KEYLESS_INVESTIGATOR,)
            for model, method, conditions in product(models, methods[agent], _conditions(sweep)):
                arguments = {"suite": suite, "methods": [method], "agent": agent, **conditions}
                jobs.append(_job(sweep, arguments, organisms, model))
    return jobs, left_out


def _job(sweep: Sweep, arguments: dict[str, Any], organisms: tuple[str, ...], model: str) -> Job:
    defaults = task_defaults()
    limits = {"token_limit": sweep.limits.token_limit, "cost_limit": sweep.limits.cost_limit}
    every = {name: value for name, value in {**defaults, **arguments}.items() if name != "organisms"}
    options = telling_options(GenerateConfig(**sweep.generate))
    settings = {"task": TASKS[0], **every, "judges": sweep.judges, "model": model, **limits, "generate": options}
    given = {name: value for name, value in arguments.items() if value != defaults[name]}
    # As a log has it: through JSON.
    return Job(given, organisms, model, json.loads(json.dumps(settings)), sweep.epochs)


def _conditions(sweep: Sweep) -> Iterator[dict[str, Any]]:
    names = list(sweep.conditions)
    for values in product(*sweep.conditions.values()):
        yield dict(zip(names, values, strict=True))


def _methods_by_agent(sweep: Sweep) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """The methods that each agent can work with, and why the others are left out."""
    if sweep.methods is None:
        return {agent: select_methods(None, kind_of(agent)) for agent in sweep.agents}, ()
    chosen: dict[str, list[str]] = {agent: [] for agent in sweep.agents}
    refused: dict[tuple[str, str], MendableError] = {}
    for agent, method in product(sweep.agents, sweep.methods):
        try:
            chosen[agent] += select_methods([method], kind_of(agent))
        except MendableError as error:
            refused[agent, method] = error
    # A method that no agent takes is a wrong name, or an agent is missing; an agent without methods is idle.
    for (agent, method), refusal in refused.items():
        if not chosen[agent] or all((other, method) in refused for other in sweep.agents):
            raise refusal
    return chosen, tuple(f"{agent} with {method}: {refusal}" for (agent, method), refusal in refused.items())


def _parts(job: Job, logs: Sequence[Logged]) -> Iterator[Job]:
    """The tasks of before, as their logs have them, and one for the organisms that are new."""
    own = [log for log in logs if log.settings == job.settings]
    known: dict[tuple[str, ...], list[Logged]] = {}
    for log in own:
        known.setdefault(log.organisms, []).append(log)
    for organisms, held in known.items():
        yield replace(job, organisms=organisms, logs=tuple(held))
    rest = tuple(name for name in job.organisms if not any(name in organisms for organisms in known))
    if rest:
        yield replace(job, organisms=rest)


def _built(job: Job) -> Job:
    try:
        task = diffing(**job.arguments, organisms=list(job.organisms))
    except MissingArtifactsError as error:
        return replace(job, missing=error.missing)
    return replace(job, task=task)


def _require_same(logs: Sequence[Logged], wanted: Sequence[Job]) -> None:
    """Refuse logs that the sweep would not make: a folder's sweep may grow, not change.

    Raises:
        MendableError: Naming the logs and what differs.
    """
    wrong: dict[str, list[str]] = {}
    for log in logs:
        closest = min(wanted, key=lambda job: len(_differing(log, job)))
        if names := _differing(log, closest):
            told = "; ".join(_difference(name, log, closest, wanted) for name in names)
            wrong.setdefault(told, []).append(Path(log.path).name)
    if wrong:
        listed = "".join(
            f"\n  {told} ({names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''})"
            for told, names in wrong.items()
        )
        raise MendableError(
            f"logs of the folder are not of this sweep:{listed}\nA sweep may grow (more suites, organisms, methods, "
            "agents, models, values of conditions, epochs), and then runs what is new; put back what was changed or "
            "removed, or give the changed sweep a folder of its own with --log-dir"
        )


def _differing(log: Logged, job: Job) -> list[str]:
    """Settings in which a log is not of a task."""
    names = dict.fromkeys([*job.settings, *log.settings])
    found = [name for name in names if log.settings.get(name) != job.settings.get(name)]
    found += [] if set(log.organisms) <= set(job.organisms) else ["organisms"]
    return found + ([] if log.epochs <= job.epochs else ["epochs"])


def _difference(name: str, log: Logged, job: Job, wanted: Sequence[Job]) -> str:
    if name == "organisms":
        gone = [organism for organism in log.organisms if organism not in job.organisms]
        return f"organisms: the logs have {', '.join(gone)}, the file does not"
    if name == "epochs":
        return f"epochs: the logs have {log.epochs}, the file {job.epochs}"
    values = dict.fromkeys(json.dumps(other.settings.get(name)) for other in wanted)
    return f"{name}: the logs have {json.dumps(log.settings.get(name))}, the file {' or '.join(values)}"
