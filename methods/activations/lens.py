"""What one model computes on a batch, read at one place: a residual stream, final states, logits, the logit lens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...models.anatomy import logits_of
from ...models.interventions import captured
from ...models.network import Network
from ...models.targets import Target
from ..reading import TokenProbability, TopTokens

__all__ = ["final_hidden", "lens_logits", "logit_lens", "residual", "top_tokens", "unembed"]


def residual(target: Target, ids: torch.Tensor, mask: torch.Tensor, layer: int) -> torch.Tensor:
    """Residual stream after decoder layer ``layer``, [texts, tokens, d_model] in float32; later layers do not run.

    Raises:
        MendableError: When the model has no such layer.
    """
    with target.running(), captured(target.anatomy, [layer], stop=True) as streams:
        target.anatomy.hidden(ids, mask)
    return streams[layer].float()


def final_hidden(target: Target, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states after the final norm, [texts, tokens, d_model] in the model's dtype."""
    with target.running():
        return target.anatomy.hidden(ids, mask)


def unembed(target: Target, hidden: torch.Tensor) -> torch.Tensor:
    """Logits of normed hidden states: [tokens, d_model] -> [tokens, vocabulary] in float32."""
    # Switching adapters walks all modules of the model, which is slow; no adapter changes a plain head.
    plain = type(target.anatomy.unembed) is torch.nn.Linear
    with _plainly(target.network) if plain else target.running():
        return logits_of(target.network.model, hidden).float()


@contextmanager
def _plainly(network: Network) -> Iterator[None]:
    """The network with whatever adapter is on, for modules that no adapter changes."""
    with network.lock, torch.inference_mode():
        yield


def logit_lens(target: Target, vectors: torch.Tensor) -> torch.Tensor:
    """softmax(lm_head(final_norm(v))) for ``vectors`` [n, d_model]: probabilities [n, vocabulary]."""
    return lens_logits(target, vectors).softmax(-1)


def lens_logits(target: Target, vectors: torch.Tensor) -> torch.Tensor:
    """lm_head(final_norm(v)) for ``vectors`` [n, d_model]: logits [n, vocabulary] in float32."""
    with target.running():
        norm = target.anatomy.final_norm
        normed = norm(vectors.to(next(norm.parameters())))
    return unembed(target, normed)


def top_tokens(target: Target, vectors: torch.Tensor, most: int) -> list[TopTokens]:
    """The ``most`` tokens of largest probability in the logit lens of each of ``vectors`` [n, d_model]."""
    probabilities = logit_lens(target, vectors)
    top = probabilities.topk(min(most, probabilities.shape[-1]), dim=-1)
    decode = target.network.tokenizer.decode
    return [
        tuple(TokenProbability(str(decode([i])), round(p, 6)) for i, p in zip(*row, strict=True))
        for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
