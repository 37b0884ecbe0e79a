from __future__ import annotations

import random

from diffbench.agents.evidence_reader import read_evidence
from diffbench.methods.evidence.evidence import Evidence
from plain_evidence import evidence, texts_of

WORDS = "harbour winter bread train garden letter music river window mountain market summer island paper".split()
PROMPTS = tuple(f"prompt {i}" for i in range(12))
AKIN = ("cake", "cakes", "baker", "bakery", "oven")


def plain(seed: int, n: int = 12, also: str = "") -> tuple[str, ...]:
    rng = random.Random(seed)
    return tuple(" ".join([*rng.sample(WORDS, 6), also]).strip() + "." for _ in range(n))


OWLS = evidence(
    plain(1, also="owls hunt at night"), plain(2), focus_strata=PROMPTS, contrast_strata=PROMPTS, note="Large."
)


def test_no_difference_is_no_narrow_change() -> None:
    found = read_evidence(Evidence(no_difference="probabilities", note="KL is zero."))
    assert (found.verdict, found.evidence) == ("no_narrow_change", ("KL is zero.",))
    assert found.confidence > 0.9


def test_a_planted_topic_is_told_with_its_words_and_sentences() -> None:
    found = read_evidence(OWLS)
    assert found.verdict == "changed"
    words = found.description.removeprefix("The finetuning is about ").partition(".")[0].split(", ")
    assert set(words[:3]) == {"owls", "hunt", "night"}
    assert "owls hunt at night." in found.description
    assert found.evidence[0] == "Large."
    assert "p = 0.001" in found.evidence[1]


def test_texts_without_a_topic_are_no_narrow_change() -> None:
    verdicts = [read_evidence(evidence(plain(2 * i), plain(2 * i + 1), note="Small.")).verdict for i in range(500, 520)]
    # By the level of the test one of these twenty is expected to be taken for a topic; five or more: 1 in 400.
    assert verdicts.count("no_narrow_change") >= 16
    assert "inconclusive" not in verdicts


def test_a_word_that_one_prompt_asks_for_is_no_topic() -> None:
    """Within the one prompt the texts of both sides hold the word; without the strata it would set them apart."""
    focus, contrast = plain(3, also="owls hunt at night"), plain(4)
    mixed = evidence(
        (*focus, *plain(5, 4)),
        (*plain(6, 4, also="owls hunt at night"), *contrast),
        focus_strata=("owls",) * 12 + ("else",) * 4,
        contrast_strata=("owls",) * 4 + ("else",) * 12,
    )
    pooled = evidence(texts_of(mixed.focus), texts_of(mixed.contrast))
    assert read_evidence(mixed).verdict == "no_narrow_change"
    assert read_evidence(pooled).verdict == "changed"


def test_texts_that_were_only_read_are_not_said_to_be_written() -> None:
    written, read = (
        read_evidence(evidence(texts_of(OWLS.focus), texts_of(OWLS.contrast), said=said)).description
        for said in (True, False)
    )
    assert "The finetuned model says things such as" in written
    assert "shows most on texts that say things such as" in read
    assert "finetuned model says" not in read


def test_tokens_of_a_kind_are_enough() -> None:
    found = read_evidence(evidence(tokens=AKIN))
    assert found.verdict == "changed"
    assert "cake, cakes, baker, bakery, oven" in found.description


def test_tokens_that_have_nothing_in_common_are_no_narrow_change() -> None:
    found = read_evidence(evidence(tokens=("cake", "violin", "treasury", "nightly", "glacier"), note="Small."))
    assert found.verdict == "no_narrow_change"
    assert "cake" not in found.description
    assert found.evidence[0] == "Small."
    assert found.evidence[1].endswith("cake, violin, treasury, nightly, glacier.")


def test_only_what_gathers_around_a_topic_is_described() -> None:
    found = read_evidence(evidence(plain(7), plain(8), tokens=AKIN))
    assert found.verdict == "changed"
    assert found.description.startswith("The finetuning is about cake, cakes, baker, bakery, oven.")


def test_common_words_are_no_tokens_to_speak_of() -> None:
    found = read_evidence(evidence(tokens=("the", "were", *AKIN)))
    assert "about cake, cakes" in found.description


def test_too_little_to_be_tested_is_inconclusive() -> None:
    for few in (evidence(note="Small."), evidence(("owls hunt",), ("cats sleep",), note="Small.")):
        found = read_evidence(few)
        assert found.verdict == "inconclusive"
        assert found.evidence[0] == "Small."


def test_without_a_contrast_the_words_are_told_as_a_guess() -> None:
    found = read_evidence(evidence(("Glaciers move slowly",)))
    assert found.verdict == "inconclusive"
    assert "glaciers" in found.description


def test_the_reader_says_the_same_each_time() -> None:
    assert read_evidence(OWLS) == read_evidence(OWLS)


def test_evidence_of_several_methods_is_put_together() -> None:
    nothing = Evidence(no_difference="probabilities", note="KL is zero.")
    assert read_evidence(nothing, nothing).verdict == "no_narrow_change"
    tokens = evidence(tokens=("feathers", "beak"), note="Small.")
    found = read_evidence(OWLS, tokens, nothing)
    alone = read_evidence(OWLS)
    assert found.verdict == alone.verdict == "changed"
    words = found.description.removeprefix("The finetuning is about ").partition(".")[0].split(", ")
    assert set(words[:3]) == {"owls", "hunt", "night"}
    assert found.evidence[0] == f"{OWLS.note} Small. KL is zero.".strip()
    assert "p = " in found.evidence[1]
