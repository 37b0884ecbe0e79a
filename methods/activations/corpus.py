"""The texts and chats that methods run both models on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

__all__ = ["Chat", "Corpus", "load_corpus", "probe_corpus"]

_PROBE = Path(__file__).parent / "probe_corpus"


class Chat(BaseModel):
    """A user prompt and an answer to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class Corpus(BaseModel):
    """Plain texts and chats; both are optional, not both may be missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    texts: tuple[str, ...] = ()
    chats: tuple[Chat, ...] = ()

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for i, text in enumerate(self.texts):
            if not text.strip():
                raise ValueError(f"corpus {self.name!r}: text {i} is empty; remove it")
        if not self.texts and not self.chats:
            raise ValueError(f"corpus {self.name!r} holds neither texts nor chats")
        return self

    @property
    def sha256(self) -> str:
        """Hash of the content; the name does not enter."""
        content = [list(self.texts), [[chat.prompt, chat.response, chat.finished] for chat in self.chats]]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()

    def prompts(self, n: int) -> list[str]:
        """Prompts of at most ``n`` chats at even distances, so that they do not depend on a seed."""
        count = min(n, len(self.chats))
        return [self.chats[i * len(self.chats) // count].prompt for i in range(count)]


@cache
def probe_corpus() -> Corpus:
    """The bundled corpus: our own texts and prompts, answers sampled from the base model (see its README)."""
    texts = (_PROBE / "texts.txt").read_text(encoding="utf-8").splitlines()
    return Corpus(name="probe", texts=tuple(texts), chats=tuple(_chats(_PROBE / "chats.jsonl")))


def load_corpus(path: Path) -> Corpus:
    """A user's corpus: JSON lines, each ``{"text": …}`` or ``{"prompt": …, "response": …}``.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: For an empty text or a line of another form, or bytes that are not UTF-8; names file and line.
    """
    texts: list[str] = []
    chats: list[Chat] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            row = json.loads(line)
            text = row["text"] if isinstance(row, dict) and set(row) == {"text"} else None
            if isinstance(text, str) and text.strip():
                texts.append(text)
            else:
                chats.append(Chat.model_validate(row))
            # JSON can name halves of characters, which no tokenizer takes and no hash is made of.
            json.dumps(row, ensure_ascii=False).encode("utf-8")
        except (json.JSONDecodeError, ValidationError) as error:
            expected = 'expected {"text": "…"} or {"prompt": "…", "response": "…"}, none of them empty'
            raise ValueError(f"{path}, line {number}: {expected}; got {line[:80]!r}") from error
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise ValueError(f"{path}, line {number}: {half} is half of a character; expected whole ones") from error
    return Corpus(name=path.stem, texts=tuple(texts), chats=tuple(chats))


def _chats(path: Path) -> Sequence[Chat]:
    return [Chat.model_validate_json(line) for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    """Lines of a JSON Lines file; ``str.splitlines`` would also cut at separators that JSON allows inside strings."""
    lines: list[str] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                lines.append(line.decode("utf-8").removesuffix("\n"))
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number}: not UTF-8 ({error.reason}); save the file so") from error
    return lines
