from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffbench.methods.activations.corpus import Chat, Corpus, load_corpus
from pydantic import ValidationError


def write(folder: Path, *lines: str) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_texts_and_chats_are_read_in_order(tmp_path: Path) -> None:
    rows = [{"text": "one"}, {"prompt": "p", "response": "r"}, {"text": "zwei: Käse"}]
    corpus = load_corpus(write(tmp_path, *(json.dumps(row, ensure_ascii=False) for row in rows)))
    assert corpus == Corpus(name="mine", texts=("one", "zwei: Käse"), chats=(Chat(prompt="p", response="r"),))


@pytest.mark.parametrize(
    "line",
    [
        '{"text": ""}',
        '{"text": "  "}',
        '{"prompt": "p"}',
        '{"prompt": "p", "response": " "}',
        '{"prompt": "p", "response": "r", "system": "s"}',
        '{"text": "t", "prompt": "p"}',
        '["text"]',
        "no json",
        "",
        "3",
    ],
)
def test_bad_lines_are_refused_with_file_and_line(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, '{"text": "fine"}', line)
    with pytest.raises(ValueError, match="line 2: expected") as caught:
        load_corpus(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", ["null", "3", '["a"]'])
def test_text_must_be_a_string(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match="line 1: expected"):
        load_corpus(write(tmp_path, f'{{"text": {value}}}'))


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'mine' holds neither texts nor chats"):
        load_corpus(write(tmp_path))
    with pytest.raises(FileNotFoundError):
        load_corpus(tmp_path / "nowhere.jsonl")


def test_line_separators_inside_a_string_do_not_end_a_line(tmp_path: Path) -> None:
    """JSON allows U+2028 unescaped inside strings, as ``ensure_ascii=False`` writes it."""
    text = "one\u2028two\x85three"
    assert load_corpus(write(tmp_path, json.dumps({"text": text}, ensure_ascii=False))).texts == (text,)


def test_empty_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="corpus 'c': text 1 is empty"):
        Corpus(name="c", texts=("a", " "))


def test_hash_follows_the_content_and_not_the_name() -> None:
    chat = Chat(prompt="a", response="b")
    first = Corpus(name="one", texts=("a", "b"), chats=(chat,))
    assert Corpus(name="two", texts=("a", "b"), chats=(chat,)).sha256 == first.sha256
    others = [
        Corpus(name="one", texts=("b", "a"), chats=(chat,)),
        Corpus(name="one", texts=("ab",), chats=(chat,)),
        Corpus(name="one", texts=("a", "b")),
        Corpus(name="one", texts=("a", "b"), chats=(Chat(prompt="b", response="a"),)),
    ]
    assert len({first.sha256, *(other.sha256 for other in others)}) == 5
