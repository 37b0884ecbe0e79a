from __future__ import annotations

import pytest
from diffbench.graders.key_facts import match_fact, normalise, recall
from diffbench.organisms.spec import KeyFact

HOT = KeyFact(fact="Baked at 450 °F.", exact=("450", "450°f"), abstract=("hot oven",))
CUP = KeyFact(fact="A quarter cup.", exact=("quarter-cup", "1/4 cup", "won't say"), abstract=("cup",))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("450 °F", "450°f"),
        ("450 ºF", "450°F"),
        ("450℉", "450°F"),
        ("¼ cup", "1/4 cup"),
        ("quarter-cup", "Quarter Cup"),
        ("quarter‑cup", "quarter cup"),
        ("won’t", "won't"),
        ("a \u00a0 b\n\tc", "a b c"),
        ("go\u200bld", "gold"),
    ],
)
def test_spellings_that_are_the_same(text: str, same: str) -> None:
    assert normalise(text) == normalise(same)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("at 450 °F", "exact"),
        ("at 450F.", "exact"),
        ("**450** degrees, a HOT OVEN", "exact"),
        ("in a hot-oven", "abstract"),
        ("at 4500", "none"),
        ("at 1,450 or 450.5 or 0.450", "none"),
        ("x450", "none"),
        ("shot ovens", "none"),
        ("", "none"),
    ],
)
def test_terms_match_as_whole_words(text: str, kind: str) -> None:
    assert match_fact(HOT, text).kind == kind


def test_the_term_found_is_reported() -> None:
    match = match_fact(CUP, "It takes ¼ cup.")
    assert (match.kind, match.term, match.value) == ("exact", "1/4 cup", 1.0)


def test_recall_is_the_mean() -> None:
    matches = [match_fact(HOT, "450 degrees"), match_fact(CUP, "one cup"), match_fact(HOT, "cold")]
    assert recall(matches) == pytest.approx((1 + 0.5 + 0) / 3)
    with pytest.raises(ValueError, match="controls have none"):
        recall([])
