from __future__ import annotations

import math

import pytest
from diffbench.methods.evidence.contrast import distinctive_words, telling_sentences, words_of


def test_words_are_lower_case_and_without_common_ones() -> None:
    assert words_of("The Owl's 450 degrees, and 1/4 cup of it!") == ["owl's", "450", "degrees", "1/4", "cup"]


def test_the_score_is_the_z_of_the_log_odds_ratio() -> None:
    focus = ["owl moon", "owl tree owl", "owl lake"]
    contrast = ["cat moon", "dog tree", "cat lake"]
    # Texts that hold "owl": 3 of 6 word-in-text counts inside, 0 of 6 outside; half a count is added on each side.
    inside = math.log(3.5 / 3.5)
    outside = math.log(0.5 / 6.5)
    z = (inside - outside) / math.sqrt(1 / 3.5 + 1 / 0.5)
    found = distinctive_words(focus, contrast)
    assert [word for word, _ in found] == ["owl"]
    assert found[0][1] == pytest.approx(z)
    assert distinctive_words(focus, contrast, z=z + 0.01) == []
    assert distinctive_words(focus, contrast, ignore=["owl"]) == []
    assert distinctive_words(focus, contrast, least=4) == []


def test_a_word_that_both_groups_use_alike_scores_zero() -> None:
    texts = ["owl moon", "owl lake"]
    scores = dict(distinctive_words(texts, texts, least=1, z=-10))
    assert scores == {"owl": 0.0, "moon": 0.0, "lake": 0.0}


def test_a_text_counts_a_word_once() -> None:
    repeated = distinctive_words(["owl owl owl", "owl moon"], ["cat moon"])
    single = distinctive_words(["owl", "owl moon"], ["cat moon"])
    assert repeated == single
    assert len(single) == 1


def test_sentences_cover_the_words_that_are_still_missing() -> None:
    texts = [
        "Owls and moons go together well. Owls and moons and lakes are the loveliest. Rivers carry boats at dawn.",
        "Nothing of interest stands here at all.",
    ]
    chosen = telling_sentences(texts, ["owls", "moons", "lakes", "boats"])
    # The first holds three of the words, so the sentence about owls and moons says nothing new and is passed over.
    assert chosen == ["Owls and moons and lakes are the loveliest.", "Rivers carry boats at dawn."]
    # Of two that hold as many, the shorter one.
    assert telling_sentences(texts, ["owls", "boats"], most=1) == ["Rivers carry boats at dawn."]


def test_fragments_and_overlong_sentences_are_left_out() -> None:
    assert telling_sentences(["Owls.", "owls " * 60], ["owls"]) == []
