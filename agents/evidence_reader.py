"""A reader without a language model: a finding from the artifact alone, for the tool-to-agent gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.model import ChatMessageAssistant, ModelOutput

from ..methods.evidence.contrast import distinctive_words, telling_sentences, words_of
from ..methods.evidence.evidence import Evidence, EvidenceText, EvidenceToken
from ..methods.evidence.rarity import rarity
from ..methods.evidence.topic_tests import LEVEL, kinship_p_value, words_p_value
from ..records.finding import Finding
from ..tools.case import CaseState, current_case
from .artifacts import case_artifact, case_overview, readers_for

__all__ = ["evidence_reader", "read_evidence"]

_WORDS = 10
"""Words that a description names at most."""


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
    """The finding that the evidence of an artifact, or of several together, carries by itself.

    ``changed`` when at least one test of ``topic_tests`` speaks for a topic, by Hochberg's procedure where there are
    two; ``no_narrow_change`` when none does; ``inconclusive`` when there is nothing that could be tested.
    """
    evidence = several[0] if len(several) == 1 else _together(several)
    if evidence.no_difference is not None:
        return Finding(
            verdict="no_narrow_change",
            description="Nothing narrow changed: the method finds no difference between the two models.",
            confidence=0.95,
            evidence=(evidence.note,),
        )
    shown = _shown(evidence)
    tested = [one for one in shown if one.p_value is not None]
    topical = _topical(tested)
    observed = tuple(filter(None, (evidence.note, *map(str, shown))))
    if not tested:
        words = _named(shown)
        found = f"Unfounded guess: it is about {', '.join(words)}." if words else "No word stands out."
        return Finding(verdict="inconclusive", description=found, confidence=0.3, evidence=observed)
    if not topical:
        return Finding(
            verdict="no_narrow_change",
            description="Nothing narrow changed that the method shows: the two models differ, but what the method "
            "points at gathers around no topic more than chance would have it.",
            confidence=0.6,
            evidence=observed,
        )
    words = _named(topical)
    parts = [f"The finetuning is about {', '.join(words)}."]
    sentences = telling_sentences([each.text for each in evidence.focus], words, most=3)
    if sentences:
        relation = "The finetuned model says" if evidence.said else "It shows most on texts that say"
        parts.append(f"{relation} things such as: " + " / ".join(sentences))
    return Finding(verdict="changed", description=" ".join(parts), confidence=0.6, evidence=observed)


@dataclass(frozen=True)
class _Shown:
    """Words of one kind that an artifact shows, strongest first."""

    what: str
    words: Sequence[str]
    p_value: float | None
    """That they gather around no topic; None when that cannot be tested."""

    def __str__(self) -> str:
        told = "too few to be tested" if self.p_value is None else f"p = {self.p_value:.3f}"
        return f"{self.what} ({told}): {', '.join(self.words[:_WORDS]) or 'none'}."


def _shown(evidence: Evidence) -> list[_Shown]:
    """Words of the texts and single tokens, each with the test that fits them; what there is none of is left out."""
    shown = []
    focus, contrast = ([each.text for each in side] for side in (evidence.focus, evidence.contrast))
    if focus and contrast:
        words = [word for word, _ in distinctive_words(focus, contrast, z=0, weight=rarity)][:_WORDS]
        strata = ([each.stratum for each in side] for side in (evidence.focus, evidence.contrast))
        p_value = words_p_value(focus, contrast, _WORDS, *strata)
        shown.append(_Shown("Words that set its texts apart", words, p_value))
    elif focus:
        shown.append(_Shown("Words of its texts", list(dict.fromkeys(words_of(" ".join(focus)))), None))
    tokens = [each.token for each in evidence.tokens if words_of(each.token) == [each.token]]
    if tokens:
        shown.append(_Shown("Single tokens that it points at", tokens, kinship_p_value(tokens)))
    return shown


def _topical(tested: Sequence[_Shown]) -> list[_Shown]:
    """Those whose test speaks for a topic, by the step-up procedure of Hochberg (1988)."""
    by_p = sorted(tested, key=lambda one: one.p_value or 0.0, reverse=True)
    least = next((i for i, one in enumerate(by_p) if (one.p_value or 0.0) * (i + 1) <= LEVEL), len(by_p))
    return [one for one in tested if one in by_p[least:]]


def _named(shown: Sequence[_Shown]) -> list[str]:
    """At most ``_WORDS`` words, dealt out to the kinds."""
    dealt = [one.words[: -(-_WORDS // len(shown))] for one in shown]
    return list(dict.fromkeys(word for words in dealt for word in words))[:_WORDS]


def _evidence(case: CaseState, method: str) -> Evidence:
    readers = readers_for(method)
    if readers is None:
        return Evidence(focus=(EvidenceText(text=case_overview(case, method)),))
    return readers.evidence(case_artifact(case, method))


def _together(several: Sequence[Evidence]) -> Evidence:
    """Evidence of several methods: no difference where none sees one, tokens by their rank in each."""
    ranked = zip_longest(*(evidence.tokens for evidence in several))
    tokens: dict[str, EvidenceToken] = {}
    for token in (token for at_rank in ranked for token in at_rank if token is not None):
        tokens.setdefault(token.token, token)
    return Evidence(
        no_difference=several[0].no_difference if all(evidence.no_difference for evidence in several) else None,
        focus=tuple(text for i, evidence in enumerate(several) for text in _apart(i, evidence.focus)),
        contrast=tuple(text for i, evidence in enumerate(several) for text in _apart(i, evidence.contrast)),
        tokens=tuple(tokens.values()),
        said=all(evidence.said for evidence in several if evidence.focus),
        note=" ".join(filter(None, (evidence.note for evidence in several))),
    )


def _apart(number: int, texts: Sequence[EvidenceText]) -> list[EvidenceText]:
    """Texts of one method, comparable with each other only."""
    return [EvidenceText(text=each.text, stratum=f"{number} {each.stratum}") for each in texts]
