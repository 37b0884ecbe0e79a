"""Texts of a corpus and tokens as artifacts keep them and as they are shown: marked, shortened, read as words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from ..records.frozen import Frozen

__all__ = [
    "KeptText",
    "TextKind",
    "TokenProbability",
    "TopTokens",
    "flat",
    "marked",
    "opening_word",
    "plain_text",
    "quoted",
    "quoted_top",
    "repeated_share",
    "shortened",
]

TextKind: TypeAlias = Literal["text", "chat"]
"""A plain text of the corpus, or one of its chats."""

_TEMPLATE_MARKER = re.compile(r"<\|[^|]*\|>")
"""Special tokens of chat templates, which only clutter a text that is read."""
_LEAST_LETTERS = 3


class TokenProbability(NamedTuple):
    """A token and its probability; a list of the two in JSON."""

    token: str
    probability: float


TopTokens: TypeAlias = tuple[TokenProbability, ...]
"""The most probable token first."""


class KeptText(Frozen):
    """A text of the corpus that a method kept, as tokens from its first word on."""

    kind: TextKind
    index: int
    """Position among the corpus' texts, or among its chats."""
    tokens: tuple[str, ...]
    """Decoded one by one."""

    @property
    def place(self) -> tuple[TextKind, int]:
        """Which item of the corpus it is."""
        return self.kind, self.index

    @property
    def plain(self) -> str:
        """The text itself."""
        return plain_text(self.tokens)


def marked(
    tokens: Sequence[str],
    values: Mapping[int, float],
    most: int = 4,
    length: int = 420,
    digits: str = ".3g",
    from_start: bool = False,
) -> str:
    """A text on one line with its strongest tokens in brackets, each with its value; a long one is cut.

    Args:
        tokens: The text's tokens.
        values: Position -> value, of the tokens that may be marked; the largest are.
        most: Tokens marked at most.
        length: Characters shown, about.
        digits: Format of a value.
        from_start: Whether a long text is shown from its start; else around its strongest token.
    """
    ranked = sorted(values, key=lambda i: -values[i])[:most]
    shown = [_TEMPLATE_MARKER.sub(" / ", token) for token in tokens]
    parts = [f"[{token}|{values[i]:{digits}}]" if i in ranked else token for i, token in enumerate(shown)]
    if from_start:
        return shortened("".join(parts), length)
    first, last = _window([len(part) for part in parts], ranked[0] if ranked else 0, length)
    return f"{'… ' if first > 0 else ''}{flat(''.join(parts[first:last]))}{' …' if last < len(parts) else ''}"


def plain_text(tokens: Iterable[str]) -> str:
    """The text of some tokens, template markers as line breaks."""
    return _TEMPLATE_MARKER.sub("\n", "".join(tokens))


def flat(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


def shortened(text: str, length: int) -> str:
    """The first ``length`` characters of a text on one line."""
    line = flat(text)
    return line if len(line) <= length else f"{line[:length]} …"


def opening_word(token: str) -> str | None:
    """The lower-case letters of a token that begins a word, three at least; None for any other token."""
    word = token.strip().lower()
    return word if token.startswith(" ") and len(word) >= _LEAST_LETTERS and word.isalpha() else None


def repeated_share(words: Sequence[str]) -> float:
    """Share of three-word windows that stood before; 0 for fewer than four words."""
    windows = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return 1 - len(set(windows)) / len(windows) if len(windows) > 1 else 0.0


def quoted(tokens: Iterable[str]) -> str:
    """Tokens on one line, each in quotes, since their spaces matter."""
    return " ".join(map(repr, tokens))


def quoted_top(tokens: TopTokens, most: int) -> str:
    """The first ``most`` tokens on one line, quoted."""
    return quoted(token for token, _ in tokens[:most])


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
