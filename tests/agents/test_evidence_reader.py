from __future__ import annotations

from diffbench.agents.evidence_reader import read_evidence
from diffbench.tools.artifacts import Evidence

OWLS = ("Owls hunt at night in the woods.", "Many owls turn their heads.", "I like owls most of all.")
PLAIN = ("The weather stays mild at the coast.", "Many people walk along the harbour.", "I like bread for breakfast.")


def test_no_difference_is_no_narrow_change() -> None:
    found = read_evidence(Evidence(identical=True, note="KL is zero."))
    assert (found.verdict, found.evidence) == ("no_narrow_change", ("KL is zero.",))
    assert found.confidence > 0.9


def test_the_words_of_the_focus_and_its_sentences_are_told() -> None:
    found = read_evidence(Evidence(False, OWLS, PLAIN, tokens=("feathers", "owls"), note="Large."))
    assert found.verdict == "changed"
    assert found.description.startswith("The finetuning is about owls, feathers.")
    assert "Owls hunt at night in the woods." in found.description or "I like owls most of all." in found.description
    assert "harbour" not in found.description
    assert found.evidence == ("Large.", "Single tokens the method points at: feathers.")


def test_texts_that_were_only_read_are_not_said_to_be_written() -> None:
    written, read = (read_evidence(Evidence(False, OWLS, PLAIN, said=said)).description for said in (True, False))
    assert "The finetuned model says things such as" in written
    assert "shows most on texts that say things such as" in read
    assert "finetuned model says" not in read


def test_tokens_alone_are_enough() -> None:
    found = read_evidence(Evidence(False, PLAIN, PLAIN, tokens=("owl", "night")))
    assert found.verdict == "changed"
    assert "owl, night" in found.description


def test_nothing_that_stands_out_is_inconclusive() -> None:
    found = read_evidence(Evidence(False, PLAIN, PLAIN, note="Small."))
    assert found.verdict == "inconclusive"
    assert "Small." in found.description


def test_without_a_contrast_the_words_themselves_are_told() -> None:
    found = read_evidence(Evidence(False, ("Glaciers move slowly",)))
    assert found.verdict == "changed"
    assert "glaciers" in found.description


def test_the_reader_says_the_same_each_time() -> None:
    evidence = Evidence(False, OWLS, PLAIN, tokens=("owl",))
    assert read_evidence(evidence) == read_evidence(evidence)


def test_evidence_of_several_methods_is_put_together() -> None:
    nothing = Evidence(identical=True, note="KL is zero.")
    assert read_evidence(nothing, nothing).verdict == "no_narrow_change"
    found = read_evidence(
        Evidence(False, OWLS, PLAIN, tokens=("feathers", "beak"), note="Large."),
        Evidence(False, tokens=("talons", "feathers"), note="Small."),
        nothing,
    )
    assert found.verdict == "changed"
    assert found.description.startswith("The finetuning is about owls, feathers, talons, beak.")
    assert found.evidence[0] == "Large. Small. KL is zero."
    assert (
        "finetuned model says"
        not in read_evidence(Evidence(False, OWLS, PLAIN), Evidence(False, OWLS, said=False)).description
    )
