"""Batches of token rows of unlike length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["left_padded", "right_padded"]


def left_padded(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, each [texts, tokens], padded on the left so that all rows end together."""
    encoded = tokenizer(list(texts), return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    return encoded["input_ids"].to(device), encoded["attention_mask"].to(device)


def right_padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and attention mask, each [rows, tokens], padded on the right so that all rows begin together.

    Args:
        rows: Token ids, or labels, of each row.
        pad: What stands behind the end of a row.
        device: Where the tensors go.
    """
    import torch

    width = max(map(len, rows))
    values = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return values, (torch.arange(width, device=device) < lengths.unsqueeze(1)).long()
