"""A reader without a language model: a finding from the artifact alone, for the tool-to-agent gap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.model import ChatMessageAssistant, ModelOutput

from ..tools.artifacts import Evidence, case_artifact, case_overview, readers_for
from ..tools.case import CaseState, Finding, current_case
from ..tools.contrast import distinctive_words, telling_sentences, words_of
from ..tools.rarity import rarity

__all__ = ["evidence_reader", "read_evidence"]

_WORDS = 10
_TOKENS = 12
_TOPICS = 4
"""Words of the texts, and tokens, that the description names at most; twice as many where there is one kind alone."""


@agent
def evidence_reader() -> Agent:
    """Describes what the method's artifact shows, deterministically; a baseline. It queries nothing.

    For a method without ``tools/<method>.py`` it reads the words of the overview; evidence of several methods is put
    together; for ``blackbox``, which has no artifact, its finding is inconclusive.
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
            finding = read_evidence(*(_evidence(case, method) for method in case.methods))
        case.finding, case.finding_source = finding, "reader"
        text = finding.model_dump_json()
        state.output = ModelOutput.from_content(model="reader", content=text)
        state.messages.append(ChatMessageAssistant(content=text))
        return state

    return execute


def read_evidence(*several: Evidence) -> Finding:
    """The finding that the evidence of an artifact, or of several together, carries by itself."""
    evidence = several[0] if len(several) == 1 else _together(several)
    if evidence.identical:
        return Finding(
            verdict="no_narrow_change",
            description="Nothing narrow changed: the method finds no difference between the two models.",
            confidence=0.95,
            evidence=(evidence.note,),
        )
    words = [word for word, _ in distinctive_words(evidence.focus, evidence.contrast, weight=rarity)][:_WORDS]
    if not evidence.contrast:
        words = list(dict.fromkeys(words_of(" ".join(evidence.focus))))[:_WORDS]
    tokens = [token for token in evidence.tokens if token not in words][:_TOKENS]
    if not words and not tokens:
        return Finding(verdict="inconclusive", description=f"No topic stands out. {evidence.note}", confidence=0.3)
    sentences = telling_sentences(evidence.focus, words, most=3)
    topics = [*words[: _TOPICS if tokens else 2 * _TOPICS], *tokens[: _TOPICS if words else 2 * _TOPICS]]
    parts = [f"The finetuning is about {', '.join(topics)}."]
    if sentences:
        relation = "The finetuned model says" if evidence.said else "It shows most on texts that say"
        parts.append(f"{relation} things such as: " + " / ".join(sentences))
    observed = [evidence.note, f"Single tokens the method points at: {', '.join(tokens)}." if tokens else ""]
    return Finding(
        verdict="changed", description=" ".join(parts), confidence=0.6, evidence=tuple(filter(None, observed))
    )


def _evidence(case: CaseState, method: str) -> Evidence:
    readers = readers_for(method)
    if readers is None:
        return Evidence(identical=False, focus=(case_overview(case, method),))
    return readers.evidence(case_artifact(case, method))


def _together(several: Sequence[Evidence]) -> Evidence:
    """Evidence of several methods: no difference where none sees one, tokens by their rank in each."""
    ranked = zip_longest(*(evidence.tokens for evidence in several))
    return Evidence(
        identical=all(evidence.identical for evidence in several),
        focus=tuple(text for evidence in several for text in evidence.focus),
        contrast=tuple(text for evidence in several for text in evidence.contrast),
        tokens=tuple(dict.fromkeys(token for tokens in ranked for token in tokens if token is not None)),
        said=all(evidence.said for evidence in several if evidence.focus),
        note=" ".join(filter(None, (evidence.note for evidence in several))),
    )
