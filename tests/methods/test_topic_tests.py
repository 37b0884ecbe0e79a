"""The two randomisation tests, against enumeration of all cases by hand and against their own null hypotheses."""

from __future__ import annotations

import itertools
import random

import pytest
from diffbench.methods.activations.corpus import probe_corpus
from diffbench.methods.evidence.contrast import words_of
from diffbench.methods.evidence.rarity import rarity
from diffbench.methods.evidence.topic_tests import kinship_p_value, words_p_value

TEXTS = (
    "owl moon",
    "owl lake",
    "owl moon tree",
    "owl tree",
    "cat lake",
    "cat moon",
    "dog tree lake",
    "cat owl",
    "cat dog",
)


def strength(focus: tuple[str, ...], contrast: tuple[str, ...], most: int) -> float:
    """The statistic by its definition, for texts of one stratum."""
    held = [set(text.split()) for text in (*focus, *contrast)]
    n, m, scores = len(held), len(focus), []
    for word in set().union(*held):
        a, k = sum(word in text for text in held[:m]), sum(word in text for text in held)
        share = k / n
        variance = m * share * (1 - share) * (n - m) / (n - 1)
        if a >= 2:
            scores.append(rarity(word) * (a - m * share) / (variance + 0.5) ** 0.5)
    return sum(sorted((score for score in scores if score > 0), reverse=True)[:most])


@pytest.mark.parametrize("most", [1, 2, 10])
def test_the_p_value_of_words_is_the_share_of_all_choices_that_reach_the_strength(most: int) -> None:
    choices = list(itertools.combinations(range(len(TEXTS)), 4))
    strengths = [
        strength(tuple(TEXTS[i] for i in chosen), tuple(t for i, t in enumerate(TEXTS) if i not in chosen), most)
        for chosen in choices
    ]
    exact = sum(value >= strengths[0] - 1e-9 for value in strengths) / len(choices)
    assert 0.005 < exact < 0.2
    # Three standard errors of a share of 999 draws.
    tolerance = 3 * (exact * (1 - exact) / 999) ** 0.5 + 0.001
    assert words_p_value(TEXTS[:4], TEXTS[4:], most) == pytest.approx(exact, abs=tolerance)


def test_choices_that_no_p_value_could_tell_apart_are_not_tested() -> None:
    assert words_p_value(TEXTS[:2], TEXTS[2:6], 10) is None  # 15 choices: p is at least 1/15
    assert words_p_value(TEXTS[:2], TEXTS[2:7], 10) is not None  # 21
    # Exchanges only between the two texts of a prompt: 2 * 2 choices.
    assert words_p_value(TEXTS[:2], TEXTS[2:4], 10, ("a", "b"), ("a", "b")) is None
    assert words_p_value((), TEXTS, 10) is None


def test_under_the_null_hypothesis_few_p_values_of_words_are_small() -> None:
    rng = random.Random(0)
    values = []
    for _ in range(60):
        texts = rng.sample(probe_corpus().texts, 30)
        values.append(words_p_value(texts[:10], texts[10:], 10))
    small = sum(value is not None and value <= 0.05 for value in values)
    assert small <= 8  # 3 expected; more than 8 in 1 of 200


def test_words_of_one_form_and_words_of_the_same_texts_are_akin() -> None:
    assert kinship_p_value(["owl", "owls"]) == pytest.approx(0.001, abs=0.01)
    together = [word for word in words_of(probe_corpus().texts[0]) if word.isalpha()][:6]
    assert (kinship_p_value(together) or 1) <= 0.01
    assert kinship_p_value(["zyxgar", "quomble", "vistrap"]) == 1.0
    assert kinship_p_value(["owl"]) is None
    assert kinship_p_value(["owl", "owl"]) is None


def test_under_the_null_hypothesis_few_p_values_of_tokens_are_small() -> None:
    rng = random.Random(2)
    words = sorted({w for text in probe_corpus().texts for w in words_of(text) if w.isalpha()})
    small = sum((kinship_p_value(rng.sample(words, 12)) or 1) <= 0.05 for _ in range(30))
    assert small <= 6  # 1.5 expected; more than 6 in 1 of 1,000
