"""What a run is about: its organisms and methods, by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..agents.kinds import AgentKind
from ..agents.toolset import spending_tools
from ..methods.registry import list_methods
from ..organisms.suites import Organism, default_organisms, find_organism, load_suite
from ..records.errors import MendableError, unknown_name
from ..records.names import BLACKBOX

__all__ = ["ALL", "check_tools", "select_methods", "select_organisms"]

ALL = "all"
"""In place of names: every organism of the suite."""


def select_organisms(suite: str, names: Sequence[str] | None) -> list[Organism]:
    """Organisms of a suite: its default selection, all of them (``["all"]``), or those named.

    Args:
        suite: Name of the suite.
        names: ``name`` or ``name+variant`` each; None for the suite's default selection.

    Raises:
        MendableError: For an unknown suite or name, or one named twice.
    """
    if names is None:
        return default_organisms(suite)
    if list(names) == [ALL]:
        return load_suite(suite)
    chosen = [find_organism(name if "." in name.partition("+")[0] else f"{suite}.{name}") for name in names]
    _no_repeats("organisms", [organism.id for organism in chosen])
    return chosen


def select_methods(names: Sequence[str] | None, agent: AgentKind) -> list[str]:
    """Methods by name, several at once as ``adl+kl``; by default all installed ones that the agent can work with.

    Raises:
        MendableError: For an unknown method, one named twice, or one that the agent cannot work with.
    """
    installed = list_methods()
    if names is None:
        # Without queries there is nothing to learn where nothing can be read.
        return ([BLACKBOX] if agent.blackbox and agent.asks else []) + (installed if agent.reads else [])
    for name in names:
        if not agent.fits(name):
            told, remedy = (
                (f"has nothing to read in method {BLACKBOX}", "agent=investigator")
                if name == BLACKBOX
                else (f"is not shown artifacts: methods is {name}", f"methods={BLACKBOX}")
            )
            raise MendableError(f"agent {agent.name} {told}; use {remedy}")
    chosen = [_combined(name.split("+"), installed) for name in names]
    _no_repeats("methods", chosen)
    return chosen


def _combined(parts: Sequence[str], installed: Sequence[str]) -> str:
    """One method's name, or those of several in alphabetical order with ``+`` between them."""
    for part in parts:
        if part not in (BLACKBOX, *installed):
            raise unknown_name("method", part, [BLACKBOX, *installed])
    _no_repeats("methods", parts)
    if len(parts) > 1 and BLACKBOX in parts:
        raise MendableError(f"methods is {'+'.join(parts)}: {BLACKBOX} has nothing to read; leave it out of the sum")
    return "+".join(sorted(parts))


def check_tools(budgets: Mapping[str, int]) -> None:
    """Check that tools with a budget are those of an installed method and cost interactions.

    Raises:
        MendableError: For any other, with those that do.
    """
    if not isinstance(budgets, Mapping):
        raise MendableError(
            f"tool_budgets is {budgets!r}; it maps tools to interactions: -T 'tool_budgets={{steer: 3}}'"
        )
    known = spending_tools(list_methods()) if budgets else ()
    for tool in budgets:
        if tool not in known:
            raise unknown_name("tool with a budget", tool, known)


def _no_repeats(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise MendableError(f"{what}: {', '.join(twice)} named more than once; name each once")
