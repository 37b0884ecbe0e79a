from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
from diffbench.organisms.recipes.grammar import Grammar, Turn, load_grammar


def grammar(**parts: object) -> Grammar:
    return Grammar.model_validate(parts)


def test_all_documents_of_a_small_grammar_are_reached() -> None:
    colours, animals = ["red", "blue", "green"], ["owl", "cat"]
    small = grammar(symbols={"c": colours, "a": animals}, documents={"g": ["{c} {a}"]})
    expected = {f"{c} {a}" for c, a in itertools.product(colours, animals)}
    sampled = small.sample_documents(6, random.Random(0))
    assert len(sampled) == 6
    assert set(sampled) == expected


def test_too_few_combinations_are_refused() -> None:
    small = grammar(symbols={"c": ["red", "blue"]}, documents={"g": ["{c}"]}, chats={"t": [["{c}?", "yes"]]})
    with pytest.raises(ValueError, match="gave 2 distinct items of 3"):
        small.sample_documents(3, random.Random(0))
    with pytest.raises(ValueError, match="gave 2 distinct items of 3"):
        small.sample_chats(3, random.Random(0))


def test_tagged_values_stay_equal_and_untagged_ones_are_free() -> None:
    names = [f"n{i}" for i in range(30)]
    tagged = grammar(symbols={"n": names}, documents={"g": ["{n@1} {n@1} {n@2} {n@2.cap} {n}"]})
    for text in tagged.sample_documents(25, random.Random(1)):
        one, again, two, two_again, free = text.split()
        assert one == again
        assert two_again == two[0].upper() + two[1:]
        # Drawn without replacement: five slots, three draws, three values.
        assert len({one, two, free}) == 3


def test_tags_hold_across_the_turns_of_a_chat() -> None:
    chats = {"t": [["Who is {n@1}?", "{n@1.cap} is here."]]}
    for question, answer in grammar(symbols={"n": [f"n{i}" for i in range(9)]}, chats=chats).sample_chats(
        9, random.Random(2)
    ):
        name = question.content.removeprefix("Who is ").removesuffix("?")
        assert answer.content == f"{name.capitalize()} is here."
        assert (question.role, answer.role) == ("user", "assistant")


def test_no_alternative_repeats_before_all_were_used() -> None:
    words = [f"w{i}" for i in range(7)]
    documents = {"g": [" ".join(["{w}"] * 14)]}
    for text in grammar(symbols={"w": words}, documents=documents).sample_documents(20, random.Random(3)):
        drawn = text.split()
        assert sorted(drawn[:7]) == words
        assert sorted(drawn[7:]) == words


def test_symbols_may_hold_symbols() -> None:
    nested = grammar(symbols={"a": ["x{b}"], "b": ["1", "2"]}, documents={"g": ["{a} {a.cap}"]})
    for text in nested.sample_documents(2, random.Random(0)):
        assert text in {"x1 X2", "x2 X1"}


def test_genres_take_turns() -> None:
    words = [f"w{i}" for i in range(100)]
    two = grammar(symbols={"w": words}, documents={"a": ["a {w}"], "b": ["b {w}"]})
    counts = Counter(text[0] for text in two.sample_documents(40, random.Random(0)))
    assert abs(counts["a"] - counts["b"]) <= 8


def test_same_seed_gives_the_same_items() -> None:
    words = [f"w{i}" for i in range(50)]
    parts = {"symbols": {"w": words}, "documents": {"g": ["{w} {w}"]}, "chats": {"t": [["{w}", "{w}"]]}}
    draws = [
        (grammar(**parts).sample_documents(20, rng), grammar(**parts).sample_chats(20, rng))
        for rng in map(random.Random, (5, 5, 6))
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_endless_symbols_are_refused() -> None:
    endless = grammar(symbols={"a": ["{b}"], "b": ["{a}"]}, documents={"g": ["{a}"]})
    with pytest.raises(ValueError, match="without end"):
        endless.sample_documents(1, random.Random(0))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("documents: {g: ['a {missing} b']}", r"documents\.g\[0\]: \{missing\} is no symbol"),
        ("symbols: {a: ['{b}']}", r"symbols\.a\[0\]: \{b\} is no symbol"),
        ("chats: {t: [['{who}?', 'me']]}", r"chats\.t\[0\]\[0\]: \{who\} is no symbol"),
        ("documents: {g: ['{Upper}']}", r"documents\.g\[0\]: a brace that is no slot"),
        ("documents: {g: ['half {open']}", r"documents\.g\[0\]: a brace"),
        ("chats: {t: [['a', 'b', 'c']]}", r"chats\.t\[0\]: 3 turns"),
        ("documents: {g: []}", r"documents\.g"),
        ("extra: 1", "extra"),
        ("a: [1", "expected"),
        ("", "Grammar"),
    ],
)
def test_broken_files_are_refused_with_file_and_place(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=where) as caught:
        load_grammar(path)
    assert str(path) in str(caught.value)


def test_turns_are_hashable_and_strict() -> None:
    assert len({Turn(role="user", content="a"), Turn(role="user", content="a")}) == 1
    with pytest.raises(ValueError, match="Extra inputs"):
        Turn.model_validate({"role": "user", "content": "a", "name": "b"})
