"""Rows of unlike length in one batch: what is padding is masked, on the side that is asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffbench.models.padding import left_padded, right_padded
from diffbench.models.targets import Pair

PROMPTS = ["The owl", "A cake is baked with butter, sugar, flour and", "What"]


def test_left_padding_aligns_the_ends(pair_of: Callable[[str], Pair]) -> None:
    tokenizer = pair_of("same").tokenizer
    ids, mask = left_padded(tokenizer, PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        expected = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert ids[row, mask[row].bool()].tolist() == expected
        assert ids[row, -len(expected) :].tolist() == expected


def test_right_padding_aligns_the_beginnings() -> None:
    values, mask = right_padded([[5, 6, 7], [8], [9, 9]], -100)
    assert values.tolist() == [[5, 6, 7], [8, -100, -100], [9, 9, -100]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert (values.dtype, mask.dtype) == (torch.int64, torch.int64)
