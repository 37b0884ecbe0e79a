"""A corpus as tokens: texts and chats encoded one by one, sorted by length within a window, padded into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ...models.network import Network
from ...models.padding import right_padded
from ..reading import TextKind
from .corpus import Corpus

if TYPE_CHECKING:
    import torch

__all__ = ["ContentTokens", "Encoded", "batches", "chunks", "encode_chats", "encode_texts", "padded"]

WINDOW_ITEMS = 65_536
"""Items that are sorted by length together."""
WINDOW_TOKENS = 2**22
"""Tokens of those items, about; a window ends when it has as many. They take some 150 MB."""
_MARK = "\x01"
"""A character that no chat template holds."""


@dataclass(frozen=True)
class Encoded:
    """One item of a corpus as tokens."""

    index: int
    """Position in the corpus' texts, or in its chats."""
    kind: TextKind
    ids: tuple[int, ...]
    content_start: int = 0
    """First token of the user's words; what stands before is the template's and the same in every chat."""
    answer_start: int = 0
    """First token of the assistant's turn (its header included); 0 for texts."""


@dataclass(frozen=True)
class ContentTokens:
    """Which tokens of an item are its author's words.

    The first token of a text is an attention sink of huge norm, and tokens of the chat template are the same in every
    chat: ranked among the others, they would hide them.
    """

    special: frozenset[int] = frozenset()
    """Special tokens of the tokenizer."""
    closing: int = 0
    """Template tokens between the user's words and the header of the answer."""
    header: int = 0
    """Tokens of the header of the answer."""

    @classmethod
    def of(cls, network: Network, corpus: Corpus) -> ContentTokens:
        """Read the template's parts off the tokenizer; a corpus without chats needs no template."""
        special = frozenset(network.tokenizer.all_special_ids)
        if not corpus.chats:
            return cls(special)
        asked = _asked(network, _MARK)
        header = network.render_chat([{"role": "user", "content": _MARK}]).removeprefix(asked)
        return cls(special, *(len(_ids(network, text)) for text in (asked.partition(_MARK)[2], header)))

    def columns(self, item: Encoded) -> list[int]:
        """Positions of the author's words in ``item``, position 0 left out."""
        first = max(item.content_start, 1)
        template = range(0)
        if item.kind == "chat":
            template = range(item.answer_start - self.closing, item.answer_start + self.header)
        return [i for i in range(first, len(item.ids)) if i not in template and int(item.ids[i]) not in self.special]


def encode_texts(network: Network, corpus: Corpus, max_tokens: int, most: int | None = None) -> Iterator[Encoded]:
    """The first ``most`` texts of a corpus, cut to ``max_tokens``."""
    for i, text in enumerate(islice(corpus.texts, most)):
        yield Encoded(i, "text", tuple(_ids(network, text)[:max_tokens]))


def encode_chats(
    network: Network, corpus: Corpus, max_tokens: int | None = None, most: int | None = None
) -> Iterator[Encoded]:
    """The first ``most`` chats of a corpus in the model's template, cut to ``max_tokens``.

    ``answer_start`` is where the assistant's header begins, so that header tokens come first there.
    """
    if not corpus.chats:
        return
    # The prompt's own words may stand in the template, so its place is found with a mark that cannot.
    before = len(_ids(network, _asked(network, _MARK).partition(_MARK)[0]))
    for i, chat in enumerate(islice(corpus.chats, most)):
        start = len(_ids(network, _asked(network, chat.prompt)))
        ids = _ids(network, network.render_chat([{"role": "user", "content": chat.prompt}]) + chat.response)
        yield Encoded(i, "chat", tuple(ids[:max_tokens]), before, start)


def _ids(network: Network, text: str) -> list[int]:
    return list(network.tokenizer(text, add_special_tokens=False)["input_ids"])


def _asked(network: Network, prompt: str) -> str:
    """The template's text for a user's turn, without the header of the answer."""
    messages = [{"role": "user", "content": prompt}]
    return str(network.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False))


def batches(
    items: Iterable[Encoded], network: Network, size: int
) -> Iterator[tuple[list[Encoded], torch.Tensor, torch.Tensor]]:
    """Batches of items of like length with ids and mask, each [items, tokens], padded on the right."""
    for chunk in chunks(items, size):
        yield chunk, *padded(chunk, network)


def chunks(items: Iterable[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Items sorted by length, ``size`` at a time, so that little is padded; of a large corpus a window at a time."""
    for window in _windows(items):
        ordered = sorted(window, key=lambda item: len(item.ids))
        for start in range(0, len(ordered), size):
            yield ordered[start : start + size]


def _windows(items: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    window: list[Encoded] = []
    tokens = 0
    for item in items:
        window.append(item)
        tokens += len(item.ids)
        if len(window) >= WINDOW_ITEMS or tokens >= WINDOW_TOKENS:
            yield window
            window, tokens = [], 0
    yield window


def padded(chunk: Sequence[Encoded], network: Network) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of a batch, each [items, tokens], padded on the right."""
    return right_padded([item.ids for item in chunk], int(network.tokenizer.pad_token_id), network.device)
