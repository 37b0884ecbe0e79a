"""Which diffing methods are installed, and their settings on a suite."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

from pydantic import ValidationError

from ..organisms.suites import settings_suite
from ..records.errors import MendableError, unknown_name
from ..records.names import BLACKBOX
from .contract import ApiMethod, Method, MethodConfig, WeightsMethod

__all__ = ["AnyMethod", "config_for", "find_method", "list_methods", "registered_methods"]

ENTRY_POINTS = "diffbench.methods"
_PARTS = ("name", "config_type", "payload_type")
"""What no class of the contract has by itself."""

AnyMethod: TypeAlias = Method[Any, Any]
"""A method whatever its settings and payload."""


@cache
def registered_methods() -> dict[str, importlib.metadata.EntryPoint]:
    """The entry points of all installed methods, by name.

    Raises:
        MendableError: When two packages register different things under one name.
    """
    points: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            raise MendableError(f"{_registered(other)} and {_registered(point)} have one name; rename or uninstall one")
    return points


def list_methods() -> list[str]:
    """Names of all installed methods, the method without an artifact excluded."""
    return sorted(registered_methods())


def find_method(name: str) -> AnyMethod:
    """The method called ``name``.

    Raises:
        MendableError: Naming the close ones when there is none; when a third party's entry point cannot be loaded, is
            no method, or is one of another name.
    """
    points = registered_methods()
    if name not in points:
        raise unknown_name("method", name, [*points, BLACKBOX])
    found = _loaded(points[name])
    if reason := _no_method(found):
        raise MendableError(f"{_registered(points[name])} is no diffing method: {reason}; see docs/add_a_method.md")
    method: AnyMethod = found
    if method.name != name:
        raise MendableError(f"{_registered(points[name])} calls itself {method.name!r}; both names must be the same")
    return method


def _no_method(found: object) -> str:
    """Why an object is no method; empty when it is one."""
    if isinstance(found, type):
        return "it is a class, not an object made of it"
    if not isinstance(found, WeightsMethod | ApiMethod):
        return "it is not made of a class that derives from WeightsMethod, PassMethod or ApiMethod"
    missing = [part for part in _PARTS if not hasattr(found, part)]
    return f"it has no {', '.join(missing)}" if missing else ""


def _loaded(point: importlib.metadata.EntryPoint) -> Any:
    """What an entry point names.

    Raises:
        MendableError: When it cannot be imported; names the entry point and its package.
    """
    try:
        return point.load()
    # Python refuses to make an object of a class that lacks a part of a method with a TypeError.
    except (ImportError, AttributeError, TypeError) as error:
        raise MendableError(
            f"{_registered(point)} cannot be loaded ({type(error).__name__}: {error}); repair or uninstall that package"
        ) from error


def config_for(method: AnyMethod, suite: str, overrides: Mapping[str, Any] | None = None) -> MethodConfig:
    """The method's settings on a suite: paper defaults, the suite's scale, overrides.

    The scale stands with the settings (``MethodConfig.on_suites``).

    Raises:
        MendableError: For a setting that the method does not have or does not take.
    """
    like = settings_suite(suite)
    settings = {**method.config_type.on_suites.get(like, {}), **(overrides or {})}
    try:
        config: MethodConfig = method.config_type.model_validate(settings)
    except ValidationError as error:
        known = ", ".join(method.config_type.model_fields)
        raise MendableError(f"settings of {method.name} on {suite}: {error}\nknown settings: {known}") from error
    return config


def _registered(point: importlib.metadata.EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist is not None else ""
    return f"{point.group} entry point {point.name} = {point.value!r}{package}"
