"""Opening a case: its state is filled and the investigator is told what it is about."""

from __future__ import annotations

import random
from string import Template
from typing import get_args

from inspect_ai.model import ChatMessageUser, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from ..records.case import CaseMetadata, Framing
from ..records.errors import unknown_name
from ..records.names import is_keyless
from ..tools.case import CaseState, case_of
from ..tools.data_blocks import data_block
from .artifacts import artifact_methods, case_overview
from .case_data import CaseData
from .kinds import KINDS
from .prompt_files import prompt_text

__all__ = [
    "OVERVIEW_HEADING",
    "brief",
    "open_case",
]

OVERVIEW_HEADING = "# What the method"
"""Begins the part of the first message that shows an artifact."""


@solver
def open_case() -> Solver:
    """Fill the case's state from the sample's metadata and write the first message: the brief, and the overview."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        given = CaseMetadata.model_validate(state.metadata)
        case = case_of(state)
        case.organism = given.organism_id
        case.method = given.method
        case.artifact_key = given.artifact_key
        case.interactions = given.interactions
        case.tool_budgets = given.tool_budgets
        case.seed = given.seed + state.epoch - 1
        if given.blind:
            case.base_label, case.finetuned_label = _blind_labels(case)
        kind = KINDS.get(given.agent or "")
        reads_only = kind is not None and kind.reads_only
        # A language model sees the prose alone.
        case.data_blocks = is_keyless(str(get_model()))
        text = brief(case, given.framing, given.blind, given.hint)
        guide = prompt_text("overview" if reads_only else "method")
        text += _overviews(case, guide)
        if case.data_blocks:
            text += f"\n\n{data_block(CaseData.of(case, given.blind, reads_only))}"
        state.messages = [ChatMessageUser(content=text)]
        return state

    return solve


def brief(case: CaseState, framing: str, blind: bool, hint: str = "") -> str:
    """The text that tells an investigator what is asked.

    Args:
        case: The case.
        framing: What is presupposed.
        blind: Whether it is told which model was finetuned.
        hint: What else it is told about the finetuning.

    Raises:
        MendableError: For an unknown framing.
    """
    if framing not in get_args(Framing):
        raise unknown_name("framing", framing, get_args(Framing))
    relation = (
        "One of them was made from the other by finetuning; you are not told which."
        if blind
        else f'"{case.finetuned_label}" was made from "{case.base_label}" by finetuning.'
    )
    means = (
        "No queries are possible in this case." if case.interactions == 0 else "Spend them well; none can be won back."
    )
    if case.tool_budgets and case.interactions:
        means += f"\nSome tools have a budget of their own within that. {case.unspent()}"
    return Template(prompt_text("brief")).substitute(
        base_label=min(case.base_label, case.finetuned_label),
        finetuned_label=max(case.base_label, case.finetuned_label),
        relation=relation,
        framing="\n".join(filter(None, [prompt_text(f"framing_{framing}"), hint])),
        interactions=case.interactions,
        means=means,
    )


def _overviews(case: CaseState, guide: str) -> str:
    """What each method of the case found, the guide to it below the first heading."""
    parts: list[str] = []
    for method in artifact_methods(case):
        if overview := case_overview(case, method):
            body = overview if parts else f"{guide}\n\n{overview}"
            parts.append(f"\n\n{OVERVIEW_HEADING} {method.name} found\n\n{body}")
    return "".join(parts)


def _blind_labels(case: CaseState) -> tuple[str, str]:
    """``M1`` and ``M2`` in an order fixed by the case's seed, organism and method."""
    first = random.Random(f"{case.seed}|{case.organism}|{case.method}").random() < 0.5
    return ("M1", "M2") if first else ("M2", "M1")
