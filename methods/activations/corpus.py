"""The texts and chats that methods run both models on; those of a file are read from it one by one."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Generic, TypeVar, overload

from pydantic import ValidationError, field_validator

from ...records.errors import MendableError
from ...records.frozen import Frozen

__all__ = ["Chat", "Corpus", "load_corpus", "probe_corpus"]

_PROBE = Path(__file__).parent / "probe_corpus"

T = TypeVar("T")


class Chat(Frozen):
    """A user prompt and an answer to it."""

    prompt: str
    response: str
    finished: bool = True
    """Whether the response ended by itself."""

    @field_validator("prompt", "response")
    @classmethod
    def _not_empty(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("empty; remove the chat or fill it in")
        return text


@dataclass(frozen=True, eq=False)
class Corpus:
    """Plain texts and chats; both are optional, not both may be missing.

    Raises:
        MendableError: For an empty text, or when there are neither texts nor chats.
    """

    name: str
    texts: Sequence[str] = ()
    chats: Sequence[Chat] = ()

    def __post_init__(self) -> None:
        if not self.texts and not self.chats:
            raise MendableError(f"corpus {self.name!r} holds neither texts nor chats")
        # Those of a file were checked, line by line, when it was opened.
        for i, text in enumerate(() if isinstance(self.texts, _Lines) else self.texts):
            if not text.strip():
                raise MendableError(f"corpus {self.name!r}: text {i} is empty; remove it")

    @cached_property
    def sha256(self) -> str:
        """Hash of the content; the name does not enter."""
        digest = hashlib.sha256()

        def add_list(items: Iterator[object]) -> None:
            digest.update(b"[")
            for i, item in enumerate(items):
                digest.update(f"{', ' if i else ''}{json.dumps(item, ensure_ascii=False)}".encode())
            digest.update(b"]")

        # The JSON of [texts, chats], without holding it.
        digest.update(b"[")
        add_list(iter(self.texts))
        digest.update(b", ")
        add_list([chat.prompt, chat.response, chat.finished] for chat in self.chats)
        digest.update(b"]")
        return digest.hexdigest()

    def prompts(self, n: int) -> list[str]:
        """Prompts of at most ``n`` chats at even distances, so that they do not depend on a seed."""
        count = min(n, len(self.chats))
        return [self.chats[i * len(self.chats) // count].prompt for i in range(count)]


@cache
def probe_corpus() -> Corpus:
    """The bundled corpus: our own texts and prompts, answers sampled from the base model (see its README)."""
    texts = (_PROBE / "texts.txt").read_text(encoding="utf-8").splitlines()
    chats = _PROBE / "chats.jsonl"
    return Corpus("probe", tuple(texts), tuple(Chat.model_validate_json(line) for _, line in _numbered(chats)))


def load_corpus(path: Path) -> Corpus:
    """A user's corpus: JSON lines, each ``{"text": …}`` or ``{"prompt": …, "response": …}``.

    The file is read once to check it, and again each time that the corpus is iterated over; what stays in memory is the
    place of each line.

    Raises:
        FileNotFoundError: When there is no such file.
        MendableError: For an empty text or a line of another form, or bytes that are not UTF-8; names file and line.
    """
    texts, chats = array("Q"), array("Q")
    for number, (offset, line) in enumerate(_numbered(path), 1):
        (texts if _is_text(path, number, line) else chats).append(offset)
    return Corpus(
        path.stem,
        _Lines(path, texts, lambda line: str(json.loads(line)["text"])),
        _Lines(path, chats, Chat.model_validate_json),
    )


def _is_text(path: Path, number: int, line: str) -> bool:
    """Whether a line holds a text; when not, it holds a chat."""
    try:
        row = json.loads(line)
        text = row["text"] if isinstance(row, dict) and set(row) == {"text"} else None
        is_text = isinstance(text, str) and bool(text.strip())
        if not is_text:
            Chat.model_validate(row)
        # JSON can name halves of characters, which no tokenizer takes and no hash is made of.
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except (json.JSONDecodeError, ValidationError) as error:
        expected = 'expected {"text": "…"} or {"prompt": "…", "response": "…"}, none of them empty'
        raise MendableError(f"{path}, line {number}: {expected}; got {line[:80]!r}") from error
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise MendableError(f"{path}, line {number}: {half} is half of a character; expected whole ones") from error
    return is_text


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Offset and content of each line; ``str.splitlines`` would also cut at separators that JSON allows in strings."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield offset, line.decode("utf-8").removesuffix("\n")
            except UnicodeDecodeError as error:
                raise MendableError(f"{path}, line {number}: not UTF-8 ({error.reason}); save the file so") from error
            offset += len(line)


class _Lines(Sequence[T], Generic[T]):
    """Some lines of a JSON Lines file, read when they are asked for."""

    def __init__(self, path: Path, offsets: array[int], item: Callable[[bytes], T]) -> None:
        self._path, self._offsets = path, offsets
        self._item = item
        """What a line holds."""
        self._written = path.stat().st_mtime_ns

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[T]:
        return self._read(self._offsets)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return tuple(self._read(self._offsets[index]))
        return next(self._read([self._offsets[index]]))

    def _read(self, offsets: Sequence[int]) -> Iterator[T]:
        if self._path.stat().st_mtime_ns != self._written:
            raise MendableError(f"{self._path} was changed while it was in use; run again, and leave it as it is")
        with self._path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                yield self._item(file.readline())
