"""The kinds of agents: what each is shown, what it may do, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.solver import Solver

from ..records.errors import MendableError, unknown_name
from ..records.names import BLACKBOX, EVIDENCE_READER
from ..tools.ask import RESPONSE_TOKENS, TEMPERATURE
from ..tools.case import current_case
from .evidence_reader import evidence_reader
from .investigators import investigate
from .plugged_in import is_plugged_in, plugged_in
from .toolset import case_tools

__all__ = [
    "KINDS",
    "AgentKind",
    "Settings",
    "blackbox",
    "investigator",
    "kind_of",
    "llm_reader",
    "method_agent",
]

TURNS = 30
"""Model generations of an investigation, the last forced one not counted."""


@dataclass(frozen=True)
class Settings:
    """How long an investigator may work, and how the models answer that it asks."""

    turns: int = TURNS
    """Model generations before the finding is asked for."""
    tokens: int | None = None
    """Tokens of the investigator before the finding is asked for; None for no limit."""
    cost: float | None = None
    """US dollars, those of the targets counted, before the finding is asked for; None for no limit. Only models whose
    price Inspect knows cost anything."""
    response_tokens: int = RESPONSE_TOKENS
    """Longest answer of a target, in tokens."""
    temperature: float = TEMPERATURE
    """Sampling temperature of the targets."""

    def __post_init__(self) -> None:
        """Check the number of turns.

        Raises:
            MendableError: When there is no turn.
        """
        if self.turns < 1:
            raise MendableError(f"turns is {self.turns}; an investigation needs at least 1")


@dataclass(frozen=True)
class AgentKind:
    """One kind of agent."""

    name: str
    """As the task's argument ``agent`` has it."""
    make: Callable[[Settings], Agent | Solver]
    """Makes one; those that have no use for the settings ignore them."""
    reads: bool = True
    """Whether it works cases that offer artifacts."""
    blackbox: bool = True
    """Whether it works cases of the method ``blackbox``, which offer none."""
    asks: bool = True
    """Whether it puts queries to the pair."""
    uses_model: bool = True
    """Whether the evaluated model is called."""

    def fits(self, method: str) -> bool:
        """Whether it works cases of a method."""
        return self.blackbox if method == BLACKBOX else self.reads

    @property
    def reads_only(self) -> bool:
        """Whether it is a model that sees the overview and can do nothing more: it is granted no interactions."""
        return self.uses_model and not self.asks


def _investigator(name: str) -> Callable[..., Agent]:
    """One of the kinds of investigators, under its name in Inspect's registry."""

    @agent(name=name)
    def make(
        turns: int = TURNS,
        tokens: int | None = None,
        cost: float | None = None,
        response_tokens: int = RESPONSE_TOKENS,
        temperature: float = TEMPERATURE,
    ) -> Agent:
        async def execute(state: AgentState) -> AgentState:
            _require_fit(name)
            # Made once: what Inspect reads from a tool (its signature and docstring) it reads again for each new one.
            tools = await case_tools(temperature=temperature, max_tokens=response_tokens).tools()
            return await investigate(state, "investigator", tools, turns, tokens, cost)

        return execute

    return make


investigator = _investigator("investigator")
"""Queries the pair, and reads artifacts where the case's method offers any. Its arguments are those of `Settings`."""
blackbox = _investigator("blackbox")
"""The same for cases of the method ``blackbox`` alone: a ``MendableError`` in one that offers an artifact, which this
agent would be shown."""
method_agent = _investigator("method_agent")
"""The same for cases that offer artifacts: a ``MendableError`` in one of the method ``blackbox``, which has nothing to
read."""


@agent
def llm_reader() -> Agent:
    """A model that sees the brief and the overview alone: no tools but submit, one generation, and the forced last one.

    What ``method_agent`` does better than it is what tools and queries are worth.

    Raises:
        MendableError: In a case of the method ``blackbox``, which has nothing to read.
    """

    async def execute(state: AgentState) -> AgentState:
        _require_fit("llm_reader")
        return await investigate(state, "reader", [], turns=1)

    return execute


KINDS = {
    kind.name: kind
    for kind in (
        AgentKind("investigator", lambda settings: investigator(**asdict(settings))),
        AgentKind("blackbox", lambda settings: blackbox(**asdict(settings)), reads=False),
        AgentKind("method_agent", lambda settings: method_agent(**asdict(settings)), blackbox=False),
        AgentKind("llm_reader", lambda _: llm_reader(), blackbox=False, asks=False),
        AgentKind(EVIDENCE_READER, lambda _: evidence_reader(), asks=False, uses_model=False),
    )
}
"""The kinds of this package, by name."""


def kind_of(name: str) -> AgentKind:
    """The kind called so, or that of an agent of another package or file, by its reference.

    Such an agent is one that may do all that an investigator may; it is made when it is asked for, without settings.

    Raises:
        MendableError: For any other name, with one that is close.
    """
    if name in KINDS:
        return KINDS[name]
    if is_plugged_in(name):
        return AgentKind(name, lambda _: plugged_in(name))
    raise MendableError(f"{unknown_name('agent', name, KINDS)}; one of yours: package/agent or file.py@agent")


def _require_fit(name: str) -> None:
    """Refuse a case that the kind does not work.

    Raises:
        MendableError: Naming the agent, the method and the remedy.
    """
    method = current_case().method
    if not KINDS[name].fits(method):
        remedy = "leave blackbox out of methods" if method == BLACKBOX else "run it with methods=blackbox"
        raise MendableError(f"agent {name} in a case of method {method}; {remedy}")
