"""A reader without a language model: a finding from the artifact alone, for the tool-to-agent gap."""

from __future__ import annotations

from collections.abc import Sequence

from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.model import ChatMessageAssistant, ModelOutput

from ..methods.evidence.contrast import telling_sentences
from ..methods.evidence.evidence import Evidence
from ..methods.evidence.topics import MOST_WORDS, ShownWords, shown_words, together, topical
from ..records.finding import Finding
from ..tools.case import current_case
from .artifacts import case_evidence

__all__ = ["evidence_reader", "read_evidence"]


@agent
def evidence_reader() -> Agent:
    """Describes what the method's artifact shows, deterministically; a baseline. It queries nothing.

    Evidence of several methods is put together; for ``blackbox``, which has no artifact, its finding is inconclusive.
    """

    async def execute(state: AgentState) -> AgentState:
        case = current_case()
        if case.artifact_key is None:
            finding = Finding(
                verdict="inconclusive",
                description="No artifact to read, and the reader makes no queries.",
                confidence=0,
            )
        else:
            finding = read_evidence(*case_evidence(case).values())
        case.finding, case.finding_source = finding, "reader"
        text = finding.model_dump_json()
        state.output = ModelOutput.from_content(model="reader", content=text)
        state.messages.append(ChatMessageAssistant(content=text))
        return state

    return execute


def read_evidence(*several: Evidence) -> Finding:
    """The finding that the evidence of an artifact, or of several together, carries by itself.

    ``changed`` when at least one test of ``topic_tests`` speaks for a topic, by Hochberg's procedure where there are
    two; ``no_narrow_change`` when none does; ``inconclusive`` when there is nothing that could be tested.
    """
    evidence = together(several)
    if evidence.no_difference is not None:
        return Finding(
            verdict="no_narrow_change",
            description="Nothing narrow changed: the method finds no difference between the two models.",
            confidence=0.95,
            evidence=(evidence.note,),
        )
    shown = shown_words(evidence)
    found = topical(shown)
    observed = tuple(filter(None, (evidence.note, *map(str, shown))))
    if all(one.p_value is None for one in shown):
        words = _named(shown)
        guess = f"Unfounded guess: it is about {', '.join(words)}." if words else "No word stands out."
        return Finding(verdict="inconclusive", description=guess, confidence=0.3, evidence=observed)
    if not found:
        return Finding(
            verdict="no_narrow_change",
            description="Nothing narrow changed that the method shows: the two models differ, but what the method "
            "points at gathers around no topic more than chance would have it.",
            confidence=0.6,
            evidence=observed,
        )
    words = _named(found)
    parts = [f"The finetuning is about {', '.join(words)}."]
    sentences = telling_sentences([each.text for each in evidence.focus], words, most=3)
    if sentences:
        relation = "The finetuned model says" if evidence.said else "It shows most on texts that say"
        parts.append(f"{relation} things such as: " + " / ".join(sentences))
    return Finding(verdict="changed", description=" ".join(parts), confidence=0.6, evidence=observed)


def _named(shown: Sequence[ShownWords]) -> list[str]:
    """At most ``MOST_WORDS`` words, dealt out to the kinds."""
    dealt = [one.words[: -(-MOST_WORDS // len(shown))] for one in shown]
    return list(dict.fromkeys(word for words in dealt for word in words))[:MOST_WORDS]
