"""Batched sampling under left padding, with a seed, a temperature and a length limit for each row."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from .anatomy import Anatomy
from .interventions import added
from .padding import left_padded
from .requests import Completion, Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["generate_batch", "sample_rows"]

_NUCLEUS_TOKENS = 512
"""Most probable tokens among which a row's nucleus is looked for first."""


def generate_batch(
    anatomy: Anatomy, tokenizer: PreTrainedTokenizerBase, requests: Sequence[Request]
) -> list[Completion]:
    """Continue ``requests`` in one batch.

    Args:
        anatomy: A causal LM.
        tokenizer: Its tokenizer.
        requests: The rows.
    """
    network: Any = anatomy.model
    ids, mask = left_padded(tokenizer, [request.prompt for request in requests], next(network.parameters()).device)
    width, ends = ids.shape[1], _end_tokens(network, tokenizer)
    with added(anatomy, _shifts(requests)), torch.inference_mode():
        output = network.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max(request.max_tokens for request in requests),
            do_sample=False,
            logits_processor=LogitsProcessorList([_RowSampler(requests)]),
            stopping_criteria=StoppingCriteriaList([_RowLimits(requests, width)]),
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=sorted(ends),
        )
    return [
        _completion(tokenizer, request, output[row, width:].tolist(), int(mask[row].sum()), ends)
        for row, request in enumerate(requests)
    ]


def sample_rows(
    logits: torch.Tensor, temperatures: Sequence[float], top_p: Sequence[float], uniforms: Sequence[float]
) -> torch.Tensor:
    """Draw one token a row by inverting the cumulative distribution at that row's uniform number.

    Args:
        logits: Shape [rows, vocabulary].
        temperatures: One a row; 0 is the arg max.
        top_p: One a row; the smallest set of tokens with at least that probability is kept.
        uniforms: One a row, in [0, 1).

    Returns:
        Token ids, shape [rows].
    """
    heat = torch.tensor(temperatures, device=logits.device, dtype=torch.float32).unsqueeze(1)
    probabilities = torch.softmax(logits.float() / heat.clamp_min(1e-6), dim=-1)
    if min(top_p) < 1.0:
        probabilities = _nucleus(probabilities, torch.tensor(top_p, device=logits.device).unsqueeze(1))
    cumulative = probabilities.double().cumsum(-1)
    targets = torch.tensor(uniforms, device=logits.device, dtype=torch.float64).unsqueeze(1) * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, targets, right=True).squeeze(1).clamp_max(logits.shape[1] - 1)
    return torch.where(heat.squeeze(1) > 0, drawn, logits.argmax(-1))


def _nucleus(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Zero the tokens outside each row's nucleus; sorts the whole vocabulary only where the first tokens fall short."""
    ordered, order = probabilities.topk(min(_NUCLEUS_TOKENS, probabilities.shape[1]), dim=-1)
    if bool((ordered.sum(-1, keepdim=True) < top_p).any()):
        ordered, order = probabilities.sort(dim=-1, descending=True)
    inside = ordered.cumsum(-1) - ordered < top_p
    return torch.zeros_like(probabilities).scatter(1, order, ordered * inside)


class _RowSampler(LogitsProcessor):  # type: ignore[misc]
    """Replaces the scores by the drawn token's one-hot, so that ``generate``'s arg max takes it."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._requests = requests
        self._random = [random.Random(request.seed) for request in requests]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        tokens = sample_rows(
            scores,
            [request.temperature for request in self._requests],
            [request.top_p for request in self._requests],
            [generator.random() for generator in self._random],
        )
        chosen = torch.full_like(scores, float("-inf"))
        return chosen.scatter_(1, tokens.unsqueeze(1), 0.0)  # type: ignore[return-value]


class _RowLimits(StoppingCriteria):  # type: ignore[misc]
    """Ends each row at its own token limit."""

    def __init__(self, requests: Sequence[Request], width: int) -> None:
        self._limits = torch.tensor([width + request.max_tokens for request in requests])

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> torch.BoolTensor:
        return self._limits.to(input_ids.device) <= input_ids.shape[1]  # type: ignore[return-value]


def _shifts(requests: Sequence[Request]) -> dict[int, torch.Tensor]:
    """Layer -> the vectors that steer the rows after it, [rows, d_model]; zeros for rows that are not steered."""
    by_layer: dict[int, dict[int, torch.Tensor]] = {}
    for row, request in enumerate(requests):
        if request.steering is not None:
            by_layer.setdefault(request.steering.layer, {})[row] = request.steering.vector
    shifts = {}
    for layer, rows in by_layer.items():
        still = torch.zeros_like(next(iter(rows.values())))
        shifts[layer] = torch.stack([rows.get(row, still) for row in range(len(requests))])
    return shifts


def _end_tokens(network: Any, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end a row: the tokenizer's ``eos`` and the model's own, with which some models end their turns."""
    ends = network.generation_config.eos_token_id
    own = set(ends) if isinstance(ends, list | tuple) else {ends}
    return {int(token) for token in own | {tokenizer.eos_token_id} if token is not None}


def _completion(
    tokenizer: PreTrainedTokenizerBase, request: Request, tokens: list[int], input_tokens: int, ends: set[int]
) -> Completion:
    # What stands after the row's limit is padding, which may be the same token as the end of a turn.
    own = tokens[: request.max_tokens]
    written = next((i for i, token in enumerate(own) if token in ends), len(own))
    text = tokenizer.decode(own[:written], skip_special_tokens=True)
    return Completion(str(text), input_tokens, written, finished=written < len(own))
