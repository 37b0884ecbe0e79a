"""The texts that score highest while a corpus streams by, which of their tokens count, and how they are shown."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ...models.network import Network
from .corpus import Corpus
from .encoding import Encoded

__all__ = ["TEMPLATE_MARKER", "ContentTokens", "TopTexts", "marked", "plain_text", "significant"]

TEMPLATE_MARKER = re.compile(r"<\|[^|]*\|>")
"""Special tokens of chat templates, which only clutter a text that is read."""
_MARK = "\x01"
"""A character that no chat template holds."""

T = TypeVar("T")


class TopTexts(Generic[T]):
    """The ``size`` items of largest score. Equal scores: the earlier item of the corpus, texts before chats."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._heap: list[tuple[float, int, T]] = []

    def offer(self, score: float, item: Encoded, row: Callable[[], T]) -> None:
        """Keep ``row()`` when the item's score is among the largest so far."""
        place = -(2 * item.index + (item.kind == "chat"))
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, (score, place, row()))
        elif (score, place) > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (score, place, row()))

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


def significant(value: float, digits: int = 3) -> float:
    """``value`` to so many significant digits, for storing and for counting values in bounded memory."""
    return float(f"{value:.{digits - 1}e}")


def marked(tokens: Sequence[str], values: Mapping[int, float], most: int = 4, length: int = 420) -> str:
    """A text with its strongest tokens in brackets, each with its value; cut around the strongest when it is long.

    Args:
        tokens: The text's tokens.
        values: Position -> value, of the tokens that may be marked; the largest are.
        most: Tokens marked at most.
        length: Characters shown, about.
    """
    ranked = sorted(values, key=lambda i: -values[i])[:most]
    shown = [TEMPLATE_MARKER.sub(" / ", token) for token in tokens]
    parts = [f"[{token}|{values[i]:.3g}]" if i in ranked else token for i, token in enumerate(shown)]
    first, last = _window([len(part) for part in parts], ranked[0] if ranked else 0, length)
    text = " ".join("".join(parts[first:last]).split())
    return f"{'… ' if first > 0 else ''}{text}{' …' if last < len(parts) else ''}"


def plain_text(tokens: Sequence[str]) -> str:
    """The text of some tokens, template markers as line breaks."""
    return TEMPLATE_MARKER.sub("\n", "".join(tokens))


def _window(sizes: Sequence[int], centre: int, length: int) -> tuple[int, int]:
    """Stretch [first, last) of at most ``length`` characters around ``centre``, never less than that one token."""
    first, last, total = centre, min(centre + 1, len(sizes)), sum(sizes[centre : centre + 1])
    while True:
        right = last < len(sizes) and total + sizes[last] <= length
        if right:
            total, last = total + sizes[last], last + 1
        left = first > 0 and total + sizes[first - 1] <= length
        if left:
            first -= 1
            total += sizes[first]
        if not (left or right):
            return first, last
