"""The topic that evidence gathers around, if it does: its words, each kind with the test that fits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from .contrast import distinctive_words, words_of
from .evidence import Evidence, EvidenceText, EvidenceToken
from .rarity import rarity
from .topic_tests import LEVEL, kinship_p_value, words_p_value

__all__ = ["MOST_WORDS", "ShownWords", "shown_words", "together", "topical"]

MOST_WORDS = 10
"""Words of one kind that count."""


@dataclass(frozen=True)
class ShownWords:
    """Words of one kind that an artifact shows, strongest first."""

    what: str
    words: Sequence[str]
    p_value: float | None
    """That they gather around no topic; None when that cannot be tested."""

    def __str__(self) -> str:
        told = "too few to be tested" if self.p_value is None else f"p = {self.p_value:.3f}"
        return f"{self.what} ({told}): {', '.join(self.words[:MOST_WORDS]) or 'none'}."


def shown_words(evidence: Evidence) -> list[ShownWords]:
    """Words of the texts and single tokens, each with the test that fits them; a kind without any is not in it."""
    shown = []
    focus, contrast = ([each.text for each in side] for side in (evidence.focus, evidence.contrast))
    if focus and contrast:
        words = [word for word, _ in distinctive_words(focus, contrast, z=0, weight=rarity)][:MOST_WORDS]
        strata = ([each.stratum for each in side] for side in (evidence.focus, evidence.contrast))
        p_value = words_p_value(focus, contrast, MOST_WORDS, *strata)
        shown.append(ShownWords("Words that set its texts apart", words, p_value))
    elif focus:
        shown.append(ShownWords("Words of its texts", list(dict.fromkeys(words_of(" ".join(focus)))), None))
    tokens = [each.token for each in evidence.tokens if words_of(each.token) == [each.token]]
    if tokens:
        shown.append(ShownWords("Single tokens that it points at", tokens, kinship_p_value(tokens)))
    return shown


def topical(shown: Sequence[ShownWords]) -> list[ShownWords]:
    """Those whose test speaks for a topic, by the step-up procedure of Hochberg (1988)."""
    tested = [(one.p_value, one) for one in shown if one.p_value is not None]
    by_p = sorted((p for p, _ in tested), reverse=True)
    level = next((p for i, p in enumerate(by_p) if p * (i + 1) <= LEVEL), None)
    return [one for p, one in tested if level is not None and p <= level]


def together(several: Sequence[Evidence]) -> Evidence:
    """Evidence of several methods: no difference where none sees one, tokens by their rank in each."""
    if len(several) == 1:
        return several[0]
    tokens: dict[str, EvidenceToken] = {}
    for at_rank in zip_longest(*(evidence.tokens for evidence in several)):
        for token in filter(None, at_rank):
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
