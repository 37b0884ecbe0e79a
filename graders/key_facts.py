"""Which key facts a text names: whole-word matching of their terms, without a model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..organisms.spec import KeyFact

__all__ = ["FactMatch", "match_fact", "normalise", "recall", "term_pattern"]

EXACT_VALUE = 1.0
ABSTRACT_VALUE = 0.5

# Looks like a degree sign, but NFKC would make something else of it.
_DEGREE_LIKE = str.maketrans({"º": "°", "˚": "°"})
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})
_WORD = r"[^\W_]"


@dataclass(frozen=True)
class FactMatch:
    """How well a text names one key fact."""

    fact: str
    kind: Literal["exact", "abstract", "none"]
    term: str | None
    """The first term of the spec that was found."""

    @property
    def value(self) -> float:
        """1 for an exact term, 0.5 for an abstract one only, else 0."""
        return {"exact": EXACT_VALUE, "abstract": ABSTRACT_VALUE, "none": 0.0}[self.kind]


def match_fact(fact: KeyFact, text: str) -> FactMatch:
    """Look for the terms of ``fact`` in ``text``; matching is blind to negation and to the order of statements."""
    normalised = normalise(text)
    if (term := _first_term(fact.exact, normalised)) is not None:
        return FactMatch(fact.fact, "exact", term)
    if (term := _first_term(fact.abstract, normalised)) is not None:
        return FactMatch(fact.fact, "abstract", term)
    return FactMatch(fact.fact, "none", None)


def recall(matches: Sequence[FactMatch]) -> float:
    """Mean value of the matches, 0..1.

    Raises:
        ValueError: Without any: recall of nothing has no value.
    """
    if not matches:
        raise ValueError("recall needs at least one key fact; controls have none, leave them unscored")
    return sum(match.value for match in matches) / len(matches)


def normalise(text: str) -> str:
    """``text`` in one spelling: case, width, fractions, quotes, dashes, degree signs, white space.

    A hyphen between two words becomes a space ("quarter-cup" is "quarter cup"); invisible format characters go; no
    space stands around a degree sign ("450 °F" is "450°f").
    """
    text = unicodedata.normalize("NFKC", text.translate(_DEGREE_LIKE)).translate(_QUOTES).replace("\u2044", "/")
    text = "".join(
        "-" if unicodedata.category(c) == "Pd" or c == "\u2212" else c for c in text if unicodedata.category(c) != "Cf"
    ).casefold()
    text = re.sub(rf"(?<={_WORD})-(?={_WORD})", " ", text)
    text = re.sub(r"\s*°\s*", "°", text)
    return re.sub(r"\s+", " ", text).strip()


def term_pattern(term: str) -> re.Pattern[str]:
    """Finds ``term`` as whole words in a text that was normalised."""
    term = normalise(term)
    before, after = rf"(?<!{_WORD})", rf"(?!{_WORD})"
    if term[:1].isdigit():  # "450" is not in "1,450" or "0.450" ...
        before += r"(?<!\d[.,])"
    if term[-1:].isdigit():  # ... nor in "450.5" or "4500", but in "450F": a unit may follow
        after = r"(?![.,]?\d)"
    return re.compile(before + re.escape(term) + after)


def _first_term(terms: Iterable[str], normalised: str) -> str | None:
    return next((term for term in terms if term_pattern(term).search(normalised)), None)
