"""How a finetuned model fits text that has nothing to do with its finetuning: perplexities and mean KL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records.errors import MendableError
from ..records.progress import Track, untracked
from .anatomy import logits_of
from .padding import right_padded
from .targets import Pair, Target

if TYPE_CHECKING:
    import torch

__all__ = ["TextFit", "measure_text_fit"]

BATCH = 8
MAX_TOKENS = 256


@dataclass(frozen=True)
class TextFit:
    """Both models on the same texts."""

    base: float
    """Perplexity of the base model."""
    finetuned: float
    """Perplexity of the finetuned model."""
    kl: float
    """Mean over tokens of KL(finetuned || base) of the next-token distributions, in nats."""
    tokens: int
    """Predicted tokens behind these figures."""

    @property
    def ratio(self) -> float:
        """Perplexity of the finetuned model as a multiple of the base model's."""
        return self.finetuned / self.base


def measure_text_fit(pair: Pair, texts: Sequence[str], track: Track = untracked) -> TextFit:
    """Perplexity of both models and their mean KL on ``texts``, each cut to 256 tokens.

    Raises:
        MendableError: Without texts of at least two tokens.
    """
    tokenizer = pair.tokenizer
    rows = [list(tokenizer(text, add_special_tokens=False)["input_ids"])[:MAX_TOKENS] for text in texts]
    rows = sorted((row for row in rows if len(row) > 1), key=len)
    if not rows:
        raise MendableError("no text of at least two tokens; perplexity needs a next token to predict")
    chunks = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    loss = [0.0, 0.0]
    kl, tokens = 0.0, 0
    for chunk in track(chunks, "held-out text"):
        base, finetuned = (_log_probabilities(target, chunk) for target in pair)
        targets = _targets(chunk)
        for side, table in enumerate((base, finetuned)):
            loss[side] -= float(table.gather(1, targets.unsqueeze(1)).double().sum())
        kl += float((finetuned.exp() * (finetuned - base)).sum(-1).double().sum())
        tokens += len(targets)
    return TextFit(math.exp(loss[0] / tokens), math.exp(loss[1] / tokens), kl / tokens, tokens)


def _log_probabilities(target: Target, rows: list[list[int]]) -> torch.Tensor:
    """Log-probabilities of every next token, [predicted tokens of all rows, vocabulary], on the CPU."""
    pad = target.network.tokenizer.pad_token_id
    with target.running() as model:
        ids, mask = right_padded(rows, pad, target.network.device)
        hidden = target.anatomy.hidden(ids, mask)
        predicting = hidden[:, :-1][mask[:, 1:].bool()]
        return logits_of(model, predicting).float().log_softmax(-1).cpu()


def _targets(rows: list[list[int]]) -> torch.Tensor:
    import torch

    return torch.tensor([token for row in rows for token in row[1:]])
