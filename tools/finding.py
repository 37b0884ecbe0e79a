"""The finding of a case: what the investigator submitted, or what can be read from its last message."""

from __future__ import annotations

import re
from typing import get_args

from inspect_ai.model import ModelOutput
from inspect_ai.solver import TaskState
from pydantic import ValidationError

from ..records.finding import Finding, FindingSource, Verdict
from ..records.names import SUBMIT_TOOL
from .case import case_of
from .json_objects import json_objects
from .refusals import refusal_of

__all__ = ["finding_of", "parse_finding", "source_of"]

DEFAULT_VERDICT: Verdict = "inconclusive"
"""Verdict of a plain text that states none."""
DEFAULT_CONFIDENCE = 0.5
"""Confidence of a plain text that states none."""

# Markdown may stand around the word: "**Verdict:** changed", "- CONFIDENCE = 80%".
_MARKS = r"[^\w\n]{0,8}"
_VERDICT_LINE = re.compile(
    rf"^{_MARKS}verdict{_MARKS}?[:=]{_MARKS}(changed|no[ _-]narrow[ _-]change|inconclusive)\b",
    re.IGNORECASE | re.MULTILINE,
)
_CONFIDENCE_LINE = re.compile(
    rf"^{_MARKS}confidence{_MARKS}?[:=]{_MARKS}?(\d{{0,3}}\.?\d{{1,9}})\s*(%?)", re.IGNORECASE | re.MULTILINE
)


def finding_of(state: TaskState) -> Finding | None:
    """The finding in the case's state; else the one that its last output holds; else None (crashed, or refused)."""
    submitted = case_of(state).finding or _called(state.output)
    if submitted is not None or refusal_of(state.output) is not None:
        return submitted
    return parse_finding(state.output.completion)


def source_of(state: TaskState) -> FindingSource:
    """How the finding came: ``CaseState.finding_source``; what is only seen here otherwise."""
    case = case_of(state)
    if case.finding is not None:
        return case.finding_source
    if _called(state.output) is not None:
        return "submit"
    if refusal_of(state.output) is not None:
        return "refused"
    return "completion" if parse_finding(state.output.completion) is not None else case.finding_source


def _called(output: ModelOutput) -> Finding | None:
    """The finding in a call of ``submit``.

    A log that Inspect recovered from a killed run tells no more of it: such a log keeps messages and scores, no state.
    """
    calls = (output.message.tool_calls or []) if output.choices else []
    for call in calls:
        if call.function == SUBMIT_TOOL:
            try:
                return Finding.model_validate(call.arguments)
            except ValidationError:
                continue
    return None


def parse_finding(text: str) -> Finding | None:
    """Read a finding from the text of an agent that knows nothing of the submit tool.

    The last JSON object that is a valid finding counts. Without one the whole text is the description, and lines such
    as ``VERDICT: changed`` and ``CONFIDENCE: 0.8`` (or ``80%``), the last of each, set the other two; the verdict is
    ``inconclusive`` and the confidence 0.5 otherwise. Blank text holds no finding.
    """
    if not text.strip():
        return None
    found: Finding | None = None
    for candidate, _ in json_objects(text):
        try:
            found = Finding.model_validate(candidate)
        except ValidationError:
            continue
    return found or Finding(verdict=_verdict(text), confidence=_confidence(text), description=text.strip())


def _verdict(text: str) -> Verdict:
    stated = [re.sub(r"[ -]", "_", words.lower()) for words in _VERDICT_LINE.findall(text)]
    return next((verdict for verdict in get_args(Verdict) if stated and verdict == stated[-1]), DEFAULT_VERDICT)


def _confidence(text: str) -> float:
    stated = DEFAULT_CONFIDENCE
    for number, percent in _CONFIDENCE_LINE.findall(text):
        value = float(number) / 100 if percent else float(number)
        if 0 <= value <= 1:
            stated = value
    return stated
