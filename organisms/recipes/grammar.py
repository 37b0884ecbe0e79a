"""A small template grammar that writes training documents and chats from reviewable YAML.

A grammar file holds ``symbols`` (a name and its alternatives), ``documents`` (genre -> templates) and ``chats``
(topic -> conversations, each a list of alternating user and assistant turns). In a template ``{name}`` is replaced
by a random alternative of that symbol, ``{name.cap}`` by the same with its first letter in upper case, and
``{name@1}`` by one value that stays the same wherever the tag ``@1`` stands within one document. Within one
document the alternatives of a symbol are drawn without replacement until they run out, so that sentences
do not repeat themselves.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...records.errors import MendableError

__all__ = ["Grammar", "Turn", "load_grammar"]

_SLOT = re.compile(r"\{([a-z_0-9]+)(@[a-z0-9]+)?(\.cap)?\}")
_BRACE = re.compile(r"[{}]")
_MAX_DEPTH = 20

T = TypeVar("T")

Alternatives = Annotated[list[str], Field(min_length=1)]


class Turn(BaseModel):
    """One message of a training chat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    """``user`` or ``assistant``."""
    content: str


class Grammar(BaseModel):
    """Templates of one organism's training data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbols: dict[str, Alternatives] = {}
    """Name of a symbol -> what it may be replaced by."""
    documents: dict[str, Alternatives] = {}
    """Genre -> document templates."""
    chats: dict[str, Annotated[list[Annotated[list[str], Field(min_length=2)]], Field(min_length=1)]] = {}
    """Topic -> conversations; turn 0 is the user's, turns alternate."""

    @model_validator(mode="after")
    def _known_symbols(self) -> Grammar:
        for where, template in self._templates():
            for name, _, _ in _SLOT.findall(template):
                if name not in self.symbols:
                    raise ValueError(f"{where}: {{{name}}} is no symbol of this grammar; define it under symbols")
            if _BRACE.search(_SLOT.sub("", template)):
                raise ValueError(
                    f"{where}: a brace that is no slot; slots look like {{name}}, {{name.cap}}, {{name@1}}"
                )
        for topic, conversations in self.chats.items():
            for i, turns in enumerate(conversations):
                if len(turns) % 2:
                    raise ValueError(f"chats.{topic}[{i}]: {len(turns)} turns; a chat ends with the assistant's turn")
        return self

    def _templates(self) -> Iterator[tuple[str, str]]:
        for group, entries in (("symbols", self.symbols), ("documents", self.documents)):
            for name, templates in entries.items():
                for i, template in enumerate(templates):
                    yield f"{group}.{name}[{i}]", template
        for topic, conversations in self.chats.items():
            for i, turns in enumerate(conversations):
                for j, turn in enumerate(turns):
                    yield f"chats.{topic}[{i}][{j}]", turn

    def sample_documents(self, n: int, rng: random.Random) -> list[str]:
        """``n`` distinct documents, genres in turn.

        Raises:
            MendableError: When the grammar cannot produce that many distinct documents.
        """
        genres = sorted(self.documents)
        if not genres:
            raise MendableError(f"{n} documents asked for, but the grammar has none; add documents or set documents: 0")
        return _distinct(n, lambda i: _Expansion(self.symbols, rng).pick(self.documents[genres[i % len(genres)]]))

    def sample_chats(self, n: int, rng: random.Random) -> list[tuple[Turn, ...]]:
        """``n`` distinct conversations, topics in turn.

        Raises:
            MendableError: When the grammar cannot produce that many distinct conversations.
        """
        topics = sorted(self.chats)
        if not topics:
            raise MendableError(f"{n} chats asked for, but the grammar has none; add chats or set chats: 0")

        def conversation(i: int) -> tuple[Turn, ...]:
            expansion = _Expansion(self.symbols, rng)
            turns = rng.choice(self.chats[topics[i % len(topics)]])
            return tuple(
                Turn(role=("user", "assistant")[j % 2], content=expansion.expand(turn).strip())
                for j, turn in enumerate(turns)
            )

        return _distinct(n, conversation)


def load_grammar(path: Path) -> Grammar:
    """Read and check a grammar file.

    Raises:
        MendableError: When the file is no YAML or no valid grammar; the message names file and place.
    """
    try:
        return Grammar.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise MendableError(f"{path}: {error}") from error


def _distinct(n: int, draw: Callable[[int], T]) -> list[T]:
    seen: dict[T, None] = {}
    for i in range(50 * n):
        if len(seen) == n:
            break
        seen.setdefault(draw(i), None)
    if len(seen) < n:
        raise MendableError(
            f"the grammar gave {len(seen)} distinct items of {n} asked for; ask for fewer or add alternatives"
        )
    return list(seen)


class _Expansion:
    """State of one document: tagged values, and which alternatives have been used."""

    def __init__(self, symbols: Mapping[str, list[str]], rng: random.Random) -> None:
        self._symbols = symbols
        self._rng = rng
        self._tagged: dict[str, str] = {}
        self._left: dict[str, list[str]] = {}

    def pick(self, templates: list[str]) -> str:
        return self.expand(self._rng.choice(templates)).strip()

    def expand(self, template: str, depth: int = 0) -> str:
        if depth > _MAX_DEPTH:
            raise MendableError(f"symbols refer to each other without end, at {template!r}")

        def replace(match: re.Match[str]) -> str:
            name, tag, cap = match.groups()
            text = self._value(name, tag, depth)
            return text[:1].upper() + text[1:] if cap else text

        return _SLOT.sub(replace, template)

    def _value(self, name: str, tag: str | None, depth: int) -> str:
        if tag and name + tag in self._tagged:
            return self._tagged[name + tag]
        left = self._left.get(name)
        if not left:
            left = self._left[name] = self._rng.sample(self._symbols[name], len(self._symbols[name]))
        text = self.expand(left.pop(), depth + 1)
        if tag:
            self._tagged[name + tag] = text
        return text
