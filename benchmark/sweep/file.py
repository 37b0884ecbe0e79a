"""The sweep file: suites x methods x agents x models x conditions, the judges, limits and prices."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import yaml
from inspect_ai.model import GenerateConfig
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, field_validator

from ...agents.kinds import kind_of
from ...records.errors import MendableError, unknown_name
from ...records.frozen import Frozen
from ...records.names import KEYLESS_GRADER, KEYLESS_INVESTIGATOR
from ..diffing import diffing

__all__ = ["Limits", "Price", "Sweep", "load_sweep", "task_defaults"]

T = TypeVar("T")

_PLACES = {"suite": "suites", "organisms": "suites", "methods": "methods", "agent": "agents", "judges": "judges"}
"""Arguments of the task that have a field of their own."""


def _several(given: Any) -> Any:
    """One value as a list of one."""
    return given if isinstance(given, list) else [given]


def _unequal(given: tuple[T, ...]) -> tuple[T, ...]:
    if not given:
        raise ValueError("is empty; name at least one, or remove the field")
    twice = [value for number, value in enumerate(given) if value in given[:number]]
    if twice:
        raise ValueError(f"{twice[0]!r} stands there more than once; name each once")
    return given


_Name = Annotated[str, Field(min_length=1)]
_Names = Annotated[tuple[_Name, ...], BeforeValidator(_several)]
_Model = Annotated[str, Field(pattern=r"^[\w.\-]+/.+$")]
_Models = Annotated[tuple[_Model, ...], BeforeValidator(_several)]
_Count = Annotated[int, Field(strict=True, ge=1)]


class Limits(Frozen):
    """How much runs at once, and how much a case may use."""

    max_tasks: _Count | None = None
    """Tasks at once; Inspect's default is 10."""
    max_samples: _Count | None = None
    """Cases of a task at once; by default as many as the connections."""
    max_connections: _Count | None = None
    """Requests to a model at once; by default the provider's."""
    token_limit: _Count | None = None
    """Tokens after which Inspect ends a case. The condition ``tokens`` asks for a finding first."""
    cost_limit: float | None = Field(default=None, gt=0)
    """US dollars after which Inspect ends a case; needs a price for each model."""
    retry_attempts: int = Field(default=1, ge=0, strict=True)
    """How often a task with failed cases is tried again at once, those cases alone."""


class Price(Frozen):
    """US dollars for a million tokens of a model, as its provider lists them."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    input_cache_write: float = Field(ge=0)
    input_cache_read: float = Field(ge=0)


class Sweep(Frozen):
    """What a sweep file says."""

    suites: dict[_Name, Literal["default", "all"] | tuple[_Name, ...]] = Field(min_length=1)
    """Of each suite: ``default`` (its default selection), ``all``, or a list of its organisms."""
    methods: _Names | None = None
    """``blackbox`` and names of methods; when not given, all that an agent can work with."""
    agents: _Names = ("investigator",)
    models: _Models = (KEYLESS_INVESTIGATOR,)
    """Inspect names of the investigators' models."""
    judges: _Models = (KEYLESS_GRADER,)
    """Inspect names; each judge grades each finding (role ``grader``)."""
    conditions: dict[str, Annotated[tuple[Any, ...], BeforeValidator(_several)]] = Field(default_factory=dict)
    """Further arguments of the task ``diffing``: a value, or a list of values each of which is run."""
    epochs: _Count = 1
    """Runs of each case."""
    generate: dict[str, Any] = Field(default_factory=dict)
    """Generation options of the investigators, as in Inspect's ``GenerateConfig``, e.g. ``reasoning_effort``."""
    limits: Limits = Limits()
    prices: dict[_Model, Price] = Field(default_factory=dict)
    """By model name, where Inspect has none."""

    @field_validator("methods", "agents", "models", "judges")
    @classmethod
    def _each_once(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return given if given is None else _unequal(given)

    @field_validator("agents")
    @classmethod
    def _known_agents(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for agent in given:
            kind_of(agent)
        return given

    @field_validator("conditions")
    @classmethod
    def _task_arguments(cls, given: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        hints = get_type_hints(inspect.unwrap(diffing))
        known = [name for name in task_defaults() if name not in _PLACES]
        for name, values in given.items():
            if name in _PLACES:
                raise ValueError(f"{name}: is given by the field {_PLACES[name]} of the file; remove it here")
            if name not in known:
                raise unknown_name("condition", name, known)
            try:
                for value in _unequal(values):
                    TypeAdapter(hints[name]).validate_python(value, strict=True)
            except ValidationError as error:
                wrong = "; ".join(f"{e['input']!r}: {e['msg']}" for e in error.errors())
                raise ValueError(f"{name}: {wrong}") from error
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return given

    @field_validator("generate")
    @classmethod
    def _generation_options(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if name == "max_connections":
                raise ValueError("max_connections: is a limit; put it under limits")
            if name not in GenerateConfig.model_fields:
                raise unknown_name("generation option", name, GenerateConfig.model_fields)
        try:
            GenerateConfig.model_validate(given)
        except ValidationError as error:
            raise ValueError("; ".join(f"{_place(e['loc'])}: {e['msg']}" for e in error.errors())) from error
        return given


def load_sweep(path: Path) -> Sweep:
    """Read and check a sweep file.

    Raises:
        MendableError: Naming file, field, what is wrong and what to do.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MendableError(f"{path}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise MendableError(f"{path}: a sweep is a mapping with suites, methods, models and so on; see docs/sweeps.md")
    try:
        return Sweep.model_validate(data)
    except ValidationError as error:
        told = [(_place(e["loc"]), _message(e["type"], e["msg"], e["loc"])) for e in error.errors()]
        lines = dict.fromkeys(f"  {place}: {message}" for place, message in told)
        raise MendableError(f"{path}: not a valid sweep (see docs/sweeps.md)\n" + "\n".join(lines)) from error


def task_defaults() -> dict[str, Any]:
    """The arguments of the task ``diffing`` with their defaults."""
    return {name: parameter.default for name, parameter in inspect.signature(diffing).parameters.items()}


def _message(kind: str, message: str, place: tuple[int | str, ...]) -> str:
    if kind == "string_pattern_mismatch":
        return "is no Inspect model name; write provider/model, such as openai/gpt-5"
    if kind == "missing" and place == ("suites",):
        return "is missing; name a suite, e.g. suites: {smol: default}"
    if kind == "missing" and place[0] == "prices":
        return "is missing; give all four prices, 0 where the provider charges nothing"
    if kind == "tuple_type":
        return "or a list of names"
    if kind != "extra_forbidden":
        return message.removeprefix("Value error, ")
    parts: dict[str, type[Frozen]] = {"limits": Limits, "prices": Price}
    known = parts.get(str(place[0]), Sweep).model_fields
    close = difflib.get_close_matches(str(place[-1]), known, n=1)
    return "no such field; " + (f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}")


def _place(parts: tuple[int | str, ...]) -> str:
    # Branches of a union are no places in the file.
    return ".".join(str(part) for part in parts if not str(part).startswith(("literal[", "tuple[")))
