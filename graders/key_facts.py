"""Which key facts a text names: whole-word matching of their terms, without a model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from ..organisms.spec import KeyFact
from ..records.grades import FactMatched

__all__ = ["match_fact", "normalise", "recall", "term_pattern"]

EXACT_VALUE = 1.0
ABSTRACT_VALUE = 0.5

# Looks like a degree sign, but NFKC would make something else of it.
_DEGREE_LIKE = str.maketrans({"º": "°", "˚": "°"})
_QUOTES = str.maketrans({"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})
_WORD = r"[^\W_]"


def match_fact(fact: KeyFact, text: str) -> FactMatched:
    """Look for the terms of ``fact`` in ``text``; matching is blind to negation and to the order of statements."""
    normalised = normalise(text)
    if (term := _first_term(fact.exact, normalised)) is not None:
        return FactMatched(fact=fact.fact, kind="exact", term=term, value=EXACT_VALUE)
    if (term := _first_term(fact.abstract, normalised)) is not None:
        return FactMatched(fact=fact.fact, kind="abstract", term=term, value=ABSTRACT_VALUE)
    return FactMatched(fact=fact.fact, kind="none", value=0.0)


def recall(matches: Sequence[FactMatched]) -> float:
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
