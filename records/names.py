"""Names with a meaning of their own, which logs hold and several rooms compare."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "ASK_TOOL",
    "BASE",
    "BLACKBOX",
    "DEFAULT_VARIANT",
    "EVIDENCE_READER",
    "EVIDENCE_TOOL",
    "FINETUNED",
    "GRADER_ROLE",
    "KEYLESS_GRADER",
    "KEYLESS_INVESTIGATOR",
    "KEYLESS_PREFIX",
    "NO_HINTS",
    "NO_MODEL",
    "SUBMIT_TOOL",
    "TARGET_ROLE",
    "Side",
    "is_keyless",
    "unqualified",
]

BLACKBOX = "blackbox"
"""The method without an artifact."""
DEFAULT_VARIANT = "default"
"""The variant of an organism that is meant where none is named."""
EVIDENCE_READER = "evidence_reader"
"""The kind of agent that makes a finding of the artifact alone, without a language model: a baseline."""
NO_HINTS = "none"
"""The condition ``hints`` of a case that tells nothing besides the brief."""

Side: TypeAlias = Literal["base", "finetuned"]
"""One model of a pair."""
BASE: Side = "base"
FINETUNED: Side = "finetuned"

NO_MODEL = "none/none"
"""What Inspect calls the model of an evaluation that was given none."""
KEYLESS_PREFIX = "keyless/"
"""Begins the names of the policies that stand in for language models."""
KEYLESS_INVESTIGATOR = "keyless/investigator"
"""Investigates where no model is given: a baseline, no language model."""
KEYLESS_GRADER = "keyless/grader"
"""Judges where the role ``grader`` is not bound: a baseline, no language model."""

GRADER_ROLE = "grader"
"""Model role of the judge."""
TARGET_ROLE = "target_"
"""Begins the model roles of the pair, ``target_base`` and ``target_finetuned``."""

ASK_TOOL = "ask_models"
"""The tool that puts prompts to the pair."""
EVIDENCE_TOOL = "evidence"
"""The tool that gives what the artifacts of a case say, as data."""
SUBMIT_TOOL = "submit"
"""The tool that a case ends with."""


def is_keyless(model: str) -> bool:
    """Whether a model's name is that of a policy without a language model."""
    return model.startswith(KEYLESS_PREFIX) or model == NO_MODEL


def unqualified(agent: str) -> str:
    """The name of a kind of agent without the package or file that it comes from."""
    return agent.rpartition("/")[2].rpartition("@")[2]
