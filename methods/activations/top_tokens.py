"""The most probable tokens of a distribution, as payloads hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["TokenProbability", "TopTokens", "quoted", "quoted_top", "top_tokens"]

_DECIMALS = 6


class TokenProbability(NamedTuple):
    """A token and its probability; a list of the two in JSON."""

    token: str
    probability: float


TopTokens: TypeAlias = tuple[TokenProbability, ...]
"""The most probable token first."""


def top_tokens(probabilities: torch.Tensor, tokenizer: PreTrainedTokenizerBase, most: int) -> list[TopTokens]:
    """The tokens of largest probability in each row: [rows, vocabulary] -> a list of at most ``most`` a row."""
    top = probabilities.topk(min(most, probabilities.shape[-1]), dim=-1)
    return [
        tuple(TokenProbability(str(tokenizer.decode([i])), round(p, _DECIMALS)) for i, p in zip(*row, strict=True))
        for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]


def quoted(tokens: Iterable[str]) -> str:
    """Tokens on one line, each in quotes, since their spaces matter."""
    return " ".join(map(repr, tokens))


def quoted_top(tokens: TopTokens, most: int) -> str:
    """The first ``most`` tokens on one line, quoted."""
    return quoted(token for token, _ in tokens[:most])
