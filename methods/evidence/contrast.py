"""Which words set one group of texts apart from another: the deterministic baseline's way of reading.

The score of a word is the z-score of its log-odds ratio between the groups with a flat Dirichlet prior (Monroe,
Colaresi and Quinn 2008, "Fightin' Words"), on the number of texts that contain the word.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

__all__ = ["distinctive_words", "telling_sentences", "words_of"]

_WORD = re.compile(r"[^\W\d_][\w'-]*|\d+(?:[./]\d+)?", re.UNICODE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LONGEST_SENTENCE = 220

_COMMON = frozenset(
    """a about above after again all also am an and another any are around as ask at away back be because been before
    being below best better between both but by call can can't come could day did do does doesn't doing don't down each
    even ever every few find first for from get give go going good great had has have having he help her here him his
    how i i'd i'll i'm i've if important in into is it it's its itself just keep know let let's like list little long
    look made make makes many may me might more most much must my need needs never new no not now of off often on once
    one only or other our out over own part people place put really right said same say see she should show so some
    something sure take tell than that that's the their them then there there's these they thing things think this
    those through time to too try two under until up upon us use used using very want was way we well were what when
    where which while who why will with within without work would year years yes you you'd you'll you're your
    hello hi assistant user system answer question questions example""".split()
)


def words_of(text: str) -> list[str]:
    """Lower-case words and numbers of a text, without the most common English words."""
    found = (match.lower() for match in _WORD.findall(text))
    return [word for word in found if word not in _COMMON and (len(word) > 2 or word.isdigit())]


def distinctive_words(
    focus: Sequence[str],
    contrast: Sequence[str],
    least: int = 2,
    z: float = 1.0,
    ignore: Iterable[str] = (),
    weight: Callable[[str], float] = lambda _: 1.0,
) -> list[tuple[str, float]]:
    """Words of ``focus`` that ``contrast`` lacks, with their z-scores, largest z times weight first.

    Args:
        focus: Texts of one group.
        contrast: Texts of the other.
        least: Texts of ``focus`` that must contain a word.
        z: Smallest z-score.
        ignore: Words not to be listed (such as those of the prompts).
        weight: Weight of a word in the order, such as ``rarity``.
    """
    left_out = set(ignore)
    inside, outside = (Counter(w for text in group for w in set(words_of(text))) for group in (focus, contrast))
    totals = (sum(inside.values()), sum(outside.values()))
    scored = [
        (word, _log_odds_z(count, outside[word], *totals))
        for word, count in inside.items()
        if count >= least and word not in left_out
    ]
    kept = [(word, score) for word, score in scored if score >= z]
    return sorted(kept, key=lambda item: (-item[1] * weight(item[0]), item[0]))


def telling_sentences(texts: Sequence[str], words: Sequence[str], most: int = 4) -> list[str]:
    """Sentences that hold the most of ``words``, each new one judged by what the chosen ones do not say yet."""
    wanted = set(words)
    pool = {s.strip(): wanted.intersection(words_of(s)) for text in texts for s in _SENTENCE.split(text)}
    chosen: list[str] = []
    missing = set(wanted)
    while len(chosen) < most:
        ranked = sorted(
            (s for s in pool if s not in chosen and 20 <= len(s) <= _LONGEST_SENTENCE and pool[s] & missing),
            key=lambda s: (-len(pool[s] & missing), len(s)),
        )
        if not ranked:
            break
        chosen.append(ranked[0])
        missing -= pool[ranked[0]]
    return chosen


def _log_odds_z(inside: int, outside: int, total_inside: int, total_outside: int, prior: float = 0.5) -> float:
    """Score z = (ln[(a+p)/(A+P-a-p)] - ln[(b+p)/(B+P-b-p)]) / sqrt(1/(a+p) + 1/(b+p))."""
    a, b = inside + prior, outside + prior
    odds_inside = a / max(total_inside + 1 - a, prior)
    odds_outside = b / max(total_outside + 1 - b, prior)
    return (math.log(odds_inside) - math.log(odds_outside)) / math.sqrt(1 / a + 1 / b)
