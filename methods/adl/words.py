"""Which tokens are words that can say something."""

from __future__ import annotations

__all__ = ["is_word"]

_COMMON = frozenset(
    """a about above after again all also am among an and any are as at be because been before being below between both
    but by can could did do does doing done down during each even ever every few for from get go had has have having he
    her here him his how i if in into is it its just like made make many may me might more most much must my no nor not
    now of off on once one only or other our out over own said same say see she should so some such than that the their
    them then there these they this those through to too under until up upon us use used using very was way we well were
    what when where which while who why will with within without would yes you your ing ion ism ity""".split()
)


def is_word(token: str) -> bool:
    """Whether a token is at least three letters and no very common English word or ending."""
    word = token.strip().lower()
    return len(word) >= 3 and word.isalpha() and word not in _COMMON
