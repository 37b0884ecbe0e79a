"""The table of agent kinds: what each may work, and the names that stand for it."""

from __future__ import annotations

import pytest
from diffbench.agents.kinds import KINDS, Settings, kind_of
from diffbench.records.errors import MendableError
from inspect_ai.util import registry_info


def test_each_kind_makes_an_agent_of_its_name() -> None:
    made = {name: registry_info(kind.make(Settings(turns=2))).name for name, kind in KINDS.items()}
    assert {name: found.rpartition("/")[2] for name, found in made.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize(
    ("name", "blackbox", "kl", "asks", "uses_model", "reads_only"),
    [
        ("investigator", True, True, True, True, False),
        ("blackbox", True, False, True, True, False),
        ("method_agent", False, True, True, True, False),
        ("llm_reader", False, True, False, True, True),
        ("evidence_reader", True, True, False, False, False),
        ("package/mine", True, True, True, True, False),
    ],
)
def test_what_a_kind_works(name: str, blackbox: bool, kl: bool, asks: bool, uses_model: bool, reads_only: bool) -> None:
    kind = kind_of(name)
    assert (kind.fits("blackbox"), kind.fits("kl"), kind.fits("adl+kl")) == (blackbox, kl, kl)
    assert (kind.asks, kind.uses_model, kind.reads_only) == (asks, uses_model, reads_only)


def test_an_unknown_kind_is_refused_with_a_close_name_and_the_form_of_a_reference() -> None:
    with pytest.raises(MendableError, match=r"did you mean investigator\?; one of yours: package/agent or file"):
        kind_of("investigater")


def test_an_investigation_without_turns_is_refused() -> None:
    with pytest.raises(MendableError, match="turns is 0"):
        Settings(turns=0)
