from __future__ import annotations

import asyncio

import pytest
from diffbench.tools.board import propose_hypothesis, update_hypothesis
from diffbench.tools.case import CaseState
from inspect_ai.tool import ToolError


def propose(text: str) -> str:
    return str(asyncio.run(propose_hypothesis()(text=text)))


def update(number: int, status: str, evidence: str) -> str:
    return str(asyncio.run(update_hypothesis()(number=number, status=status, evidence=evidence)))


def test_hypotheses_and_their_evidence_stand_on_the_board(case: CaseState) -> None:
    propose("  It likes tea. ")
    propose("It likes coffee.")
    update(2, "refuted", "it said so")
    board = update(2, "refuted", "and again")
    assert board == (
        "Hypotheses:\n1. [open] It likes tea.\n2. [refuted] It likes coffee.\n   - it said so\n   - and again"
    )
    assert [(h.text, h.status, h.evidence) for h in case.hypotheses] == [
        ("It likes tea.", "open", []),
        ("It likes coffee.", "refuted", ["it said so", "and again"]),
    ]


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_only_what_is_on_the_board_can_be_updated(number: int, case: CaseState) -> None:
    propose("It likes tea.")
    with pytest.raises(ToolError, match=f"no hypothesis {number}; the board has 1"):
        update(number, "supported", "x")
    assert case.hypotheses[0].evidence == []


def test_an_empty_hypothesis_is_refused(case: CaseState) -> None:
    with pytest.raises(ToolError, match="empty"):
        propose(" \n")
    assert case.hypotheses == []
