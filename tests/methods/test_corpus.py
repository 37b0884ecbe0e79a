from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import pytest
from diffbench.methods.activations.corpus import Chat, Corpus, load_corpus, probe_corpus
from diffbench.records.errors import MendableError


def write(folder: Path, *lines: str) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_texts_and_chats_are_read_in_order(tmp_path: Path) -> None:
    rows = [{"text": "one"}, {"prompt": "p", "response": "r"}, {"text": "zwei: Käse"}]
    corpus = load_corpus(write(tmp_path, *(json.dumps(row, ensure_ascii=False) for row in rows)))
    assert (corpus.name, list(corpus.texts)) == ("mine", ["one", "zwei: Käse"])
    assert list(corpus.chats) == [Chat(prompt="p", response="r")]


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
    assert load_corpus(write(tmp_path, json.dumps({"text": text}, ensure_ascii=False))).texts[0] == text


def test_empty_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(MendableError, match="corpus 'c': text 1 is empty"):
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


def test_the_hash_is_that_of_the_contents_json(tmp_path: Path) -> None:
    texts = ["one", "zwei: Käse"]
    chats = [Chat(prompt="p", response='"r"'), Chat(prompt="p\n", response="s\u2028", finished=False)]
    content = [texts, [[chat.prompt, chat.response, chat.finished] for chat in chats]]
    expected = hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
    assert Corpus("c", texts, chats).sha256 == expected
    rows = [{"text": texts[0]}, chats[0].model_dump(), {"text": texts[1]}, chats[1].model_dump()]
    assert load_corpus(write(tmp_path, *(json.dumps(row) for row in rows))).sha256 == expected


def test_the_bundled_corpus_is_the_one_that_the_shipped_artifacts_name() -> None:
    assert probe_corpus().sha256 == "9f339a55d58308561579a748e480894789e855e3f9abf5ee71ea248e40a56a5f"


def test_a_files_items_behave_as_a_tuple(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}"} if i % 3 else {"prompt": f"prompt {i}", "response": "r"} for i in range(20)]
    corpus = load_corpus(write(tmp_path, *map(json.dumps, rows)))
    whole = Corpus("whole", tuple(corpus.texts), tuple(corpus.chats))
    assert (len(corpus.texts), len(corpus.chats)) == (13, 7)
    assert list(corpus.texts) == [row["text"] for row in rows if "text" in row]
    for index in (0, 5, -1):
        assert corpus.texts[index] == whole.texts[index]
    assert corpus.texts[2:9:3] == whole.texts[2:9:3]
    assert corpus.chats[:2] == whole.chats[:2]
    with pytest.raises(IndexError):
        corpus.texts[13]
    for n in (1, 3, 7, 99):
        assert corpus.prompts(n) == whole.prompts(n)


def test_a_file_that_changes_in_use_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, '{"text": "one"}')
    corpus = load_corpus(path)
    os.utime(path, ns=(0, 0))
    with pytest.raises(MendableError, match=r"mine\.jsonl was changed while it was in use"):
        list(corpus.texts)


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    lines = 20_000
    path = write(tmp_path, *(json.dumps({"text": f"{i} {'word ' * 100}"}) for i in range(lines)))
    tracemalloc.start()
    corpus = load_corpus(path)
    assert sum(len(text) for text in corpus.texts) > 500 * lines
    assert len(corpus.sha256) == 64
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The content is 10 MB; each line's place takes 8 bytes.
    assert peak < 2_000_000
