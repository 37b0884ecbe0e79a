"""A deterministic stand-in for the judge of coherent text in the strength search.

A sample is coherent when it does not loop (share of repeated three-token windows at most 0.3) and the unsteered base
model does not find it far less likely than unsteered samples: mean negative log-likelihood at most 1.5 nats a token
above their mean. The published search asks an LLM instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..activations.encoding import Encoded, batches
from ..activations.lens import final_hidden, unembed

if TYPE_CHECKING:
    from ...models.targets import Target

__all__ = ["MAX_EXCESS_NATS", "MAX_REPEATED", "coherent", "negative_log_likelihoods", "repeated_share"]

MAX_REPEATED = 0.3
MAX_EXCESS_NATS = 1.5


def coherent(sample: str, nll: float, reference_nll: float) -> bool:
    """Whether a sample neither loops nor is far less likely than the reference."""
    words = sample.split()
    return len(words) >= 3 and repeated_share(words) <= MAX_REPEATED and nll <= reference_nll + MAX_EXCESS_NATS


def repeated_share(words: Sequence[str]) -> float:
    """Share of three-word windows that stood before; 0 for fewer than four words."""
    windows = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return 1 - len(set(windows)) / len(windows) if len(windows) > 1 else 0.0


def negative_log_likelihoods(
    target: Target, prompts: Sequence[str], samples: Sequence[str], batch_size: int
) -> list[float]:
    """Mean negative log-likelihood a token of each sample after its prompt, in nats; infinite for an empty one."""
    network = target.network
    values = [float("inf")] * len(samples)
    items = []
    for i, (prompt, sample) in enumerate(zip(prompts, samples, strict=True)):
        before = network.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        after = network.tokenizer(sample, add_special_tokens=False)["input_ids"]
        if after:
            items.append(Encoded(i, "text", (*before, *after), answer_start=len(before)))
    for chunk, ids, mask in batches(items, network, batch_size):
        hidden = final_hidden(target, ids, mask)
        for row, item in enumerate(chunk):
            first, last = item.answer_start, len(item.ids)
            log_p = unembed(target, hidden[row, first - 1 : last - 1]).log_softmax(-1)
            chosen = log_p.gather(1, ids[row, first:last].unsqueeze(1))
            values[item.index] = -float(chosen.mean())
    return values
