"""What Inspect finds by the entry point: tasks, agents, scorers and model providers of diffbench."""

from inspect_ai.model import ModelAPI, modelapi

from ..agents.brief import open_case
from ..agents.evidence_reader import evidence_reader
from ..agents.kinds import blackbox, investigator, llm_reader, method_agent
from ..graders.scorers import by_method, fact_recall, false_alarm, rubric_grade
from .diffing import diffing

__all__ = [
    "blackbox",
    "by_method",
    "diffing",
    "evidence_reader",
    "fact_recall",
    "false_alarm",
    "investigator",
    "keyless",
    "llm_reader",
    "method_agent",
    "open_case",
    "organism",
    "rubric_grade",
]


@modelapi(name="organism")
def organism() -> type[ModelAPI]:
    """``organism/<suite>.<name>@base|finetuned``: the models of a pair."""
    from ..organisms.provider import OrganismAPI

    return OrganismAPI


@modelapi(name="keyless")
def keyless() -> type[ModelAPI]:
    """``keyless/investigator`` and ``keyless/grader``: baseline policies that need no key."""
    from .keyless_api import KeylessAPI

    return KeylessAPI
