"""The judgement which tokens belong to the domain of a finetuning.

Published is a language model as the judge (``llm_judge``); here is a deterministic stand-in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .words import is_word

__all__ = ["KeywordRelevance", "RelevanceJudge", "RelevanceQuestion"]

_LEAST_PREFIX = 4
"""Letters that a piece of a word must have."""


@dataclass(frozen=True)
class RelevanceQuestion:
    """Which of some tokens belong to the domain of a finetuning. Holds ground truth: never shown to an investigator."""

    description: str
    """What the finetuning taught."""
    terms: tuple[str, ...]
    """Terms of its key facts."""
    frequent: tuple[str, ...]
    """The most frequent tokens of its training data; empty where these are unknown."""
    candidates: tuple[str, ...]


class RelevanceJudge(Protocol):
    """Marks tokens of the finetuning's domain."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        """For each question, whether each of its candidates is relevant."""
        ...


class KeywordRelevance:
    """A deterministic stand-in for the judge of relevance: a word of the training data or of the key facts.

    A candidate is relevant when it is a word (``is_word``) and, case, white space and a plural's s aside, one of the
    frequent training tokens or a word of a key fact's terms; or when a word of these terms begins with it and it has
    four letters or more, since words come in pieces. Frequent tokens say little about a domain, so it marks more than a
    language model would: read its figures against those of the controls.
    """

    name = "deterministic stand-in (frequent training tokens and terms of the key facts)"

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        """For each question, whether each of its candidates is relevant."""
        return [self._marks(question) for question in questions]

    @staticmethod
    def _marks(question: RelevanceQuestion) -> tuple[bool, ...]:
        terms = {_stem(word) for term in question.terms for word in term.replace("-", " ").split() if is_word(word)}
        known = terms | {_stem(token) for token in question.frequent if is_word(token)}

        def marked(token: str) -> bool:
            stem = _stem(token)
            begins = len(stem) >= _LEAST_PREFIX and any(term.startswith(stem) for term in terms)
            return is_word(token) and (stem in known or begins)

        return tuple(map(marked, question.candidates))


def _stem(token: str) -> str:
    word = token.strip().lower()
    return word.removesuffix("s") if len(word) > 3 else word
