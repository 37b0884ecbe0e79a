"""Agents of other packages and files, by the references that ``--solver`` takes too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, Final, Literal

from inspect_ai.agent import Agent
from inspect_ai.solver import Solver
from inspect_ai.util import registry_create, registry_info

from ..records.errors import MendableError

__all__ = ["is_plugged_in", "plugged_in"]

_KINDS: Final[tuple[Literal["agent", "solver"], ...]] = ("agent", "solver")


def is_plugged_in(agent: str) -> bool:
    """Whether the text is ``package/agent`` or ``file.py@agent``."""
    return "/" in agent or "@" in agent


def plugged_in(agent: str) -> Agent | Solver:
    """The agent or solver of a reference, made without arguments.

    Raises:
        MendableError: When file, package or name are not there, or the name stands for something else.
    """
    path, at, name = agent.rpartition("@")
    if not at:
        return _from_package(agent)
    factory = _from_file(Path(path), name, agent)
    try:
        kind: str = registry_info(factory).type
    except ValueError:
        kind = "function"
    if kind not in _KINDS:
        raise MendableError(f"agent {agent}: {name} is no agent but a {kind}; decorate it with @agent")
    made: Agent | Solver = factory()
    return made


def _from_file(path: Path, name: str, agent: str) -> Any:
    if not path.is_file():
        raise MendableError(f"agent {agent}: there is no file {path} in {Path.cwd()}")
    module_name = f"{path.stem}_{abs(hash(path.resolve()))}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise MendableError(f"agent {agent}: {path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    try:
        return getattr(sys.modules[module_name], name)
    except AttributeError:
        raise MendableError(f"agent {agent}: {path} defines no {name}") from None


def _from_package(agent: str) -> Agent | Solver:
    for kind in _KINDS:
        try:
            return registry_create(kind, agent)
        except LookupError:
            continue
    package = agent.partition("/")[0]
    raise MendableError(
        f"agent {agent}: no such agent; install {package} in this environment, and let its entry points of the group "
        "inspect_ai name the module that defines it"
    )
