"""Perplexity and KL against a loop over single tokens with torch.distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffbench.models.targets import Pair
from diffbench.models.text_fit import MAX_TOKENS, TextFit, measure_text_fit
from torch.distributions import Categorical, kl_divergence

TEXTS = [
    "The owl sits in the old oak and looks at the moon.",
    "A",  # one token: nothing to predict
    "A cake is baked with butter, sugar, flour and eggs. " * 20,  # longer than is read
    "Paris",
    *(f"Number {i} is a short text among others, so that there is more than one batch." for i in range(8)),
]


def by_loop(network: Any, base: Any, finetuned: Any, texts: list[str]) -> tuple[float, float, float, int]:
    """Both perplexities, mean KL(finetuned || base) and the number of predicted tokens, text by text."""
    losses: tuple[list[float], list[float]] = ([], [])
    divergences: list[float] = []
    for text in texts:
        ids = network.tokenizer(text, add_special_tokens=False)["input_ids"][:MAX_TOKENS]
        with torch.no_grad():
            logits = [model(torch.tensor([ids])).logits[0].double() for model in (base, finetuned)]
        for position, target in enumerate(ids[1:]):
            p, q = (Categorical(logits=side[position]) for side in logits)
            for side, distribution in zip(losses, (p, q), strict=True):
                side.append(-float(distribution.log_prob(torch.tensor(target))))
            divergences.append(float(kl_divergence(q, p)))
    count = len(divergences)
    base_loss, finetuned_loss = (sum(side) / count for side in losses)
    return math.exp(base_loss), math.exp(finetuned_loss), sum(divergences) / count, count


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_fit_equals_a_loop_over_tokens(pair_of: Callable[[str], Pair], merged: Callable[..., Any], name: str) -> None:
    pair = pair_of(name)
    assert len(pair.base.network.tokenizer(TEXTS[1])["input_ids"]) == 1
    assert len(pair.base.network.tokenizer(TEXTS[2])["input_ids"]) > MAX_TOKENS
    fit = measure_text_fit(pair, TEXTS)
    base, finetuned, kl, tokens = by_loop(pair.base.network, merged(), merged(name), TEXTS)
    assert fit.tokens == tokens
    assert fit.base == pytest.approx(base, rel=1e-4)
    assert fit.finetuned == pytest.approx(finetuned, rel=1e-4)
    assert fit.kl == pytest.approx(kl, rel=1e-3)
    assert fit.kl > 0.01, "the random adapter must change something, or the comparison shows nothing"


def test_the_base_against_itself_fits_alike(pair_of: Callable[[str], Pair]) -> None:
    fit = measure_text_fit(pair_of("same"), TEXTS)
    assert fit.ratio == pytest.approx(1.0)
    assert fit.kl == pytest.approx(0.0, abs=1e-9)


def test_ratio_is_that_of_the_perplexities() -> None:
    assert TextFit(base=20.0, finetuned=30.0, kl=0.1, tokens=5).ratio == pytest.approx(1.5)


def test_texts_without_a_next_token_are_refused(pair_of: Callable[[str], Pair]) -> None:
    for texts in ([], ["A"]):
        with pytest.raises(ValueError, match="no text of at least two tokens"):
            measure_text_fit(pair_of("same"), texts)


def test_progress_sees_the_batches(pair_of: Callable[[str], Pair]) -> None:
    seen: list[tuple[list[int], str]] = []

    def track(chunks: Any, label: str) -> Any:
        seen.append(([len(chunk) for chunk in chunks], label))
        return chunks

    measure_text_fit(pair_of("same"), TEXTS, track)
    assert seen == [([8, 3], "held-out text")]
