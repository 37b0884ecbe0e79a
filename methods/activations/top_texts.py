"""The texts that score highest while a corpus streams by, and which of their tokens count."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ...models.network import Network
from .corpus import Corpus
from .encoding import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ContentTokens", "TopTexts", "shown_tokens"]

_MARK = "\x01"
"""A character that no chat template holds."""

T = TypeVar("T")


def corpus_order(item: Encoded) -> tuple[int, ...]:
    """Place of an item in its corpus, a text before the chat of the same number."""
    return item.index, item.kind == "chat"


def shown_tokens(item: Encoded, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The tokens of an item from its first word on, decoded one by one."""
    return tuple(str(tokenizer.decode([token])) for token in item.ids[item.content_start :])


class TopTexts(Generic[T]):
    """The ``size`` items of largest score; of equal scores that of the smaller place."""

    def __init__(self, size: int, place: Callable[[Encoded], tuple[int, ...]] = corpus_order) -> None:
        self.size = size
        self._place = place
        self._heap: list[tuple[float, tuple[int, ...], T]] = []

    def offer(self, score: float, item: Encoded, row: Callable[[], T]) -> None:
        """Keep ``row()`` when the item's score is among the largest so far."""
        order = tuple(-part for part in self._place(item))
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, (score, order, row()))
        elif (score, order) > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (score, order, row()))

    def ranked(self) -> list[T]:
        """What was kept, largest score first."""
        return [row for *_, row in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


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
        tokenizer = network.tokenizer
        special = frozenset(tokenizer.all_special_ids)
        if not corpus.chats:
            return cls(special)
        messages = [{"role": "user", "content": _MARK}]
        asked = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False))
        after = asked.partition(_MARK)[2]
        header = network.render_chat(messages).removeprefix(asked)
        closing, opening = (
            len(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else 0 for text in (after, header)
        )
        return cls(special, closing, opening)

    def columns(self, item: Encoded) -> list[int]:
        """Positions of the author's words in ``item``, position 0 left out."""
        first = max(item.content_start, 1)
        template = range(0)
        if item.kind == "chat":
            template = range(item.answer_start - self.closing, item.answer_start + self.header)
        return [i for i in range(first, len(item.ids)) if i not in template and int(item.ids[i]) not in self.special]
