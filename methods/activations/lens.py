"""What one model computes on a batch, read at one place: a residual stream, final states, logits, the logit lens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...models.network import Network
from ...models.pair import Target

__all__ = ["final_hidden", "logit_lens", "residual", "unembed"]


class _CutError(Exception):
    """Ends a forward pass at the layer that was asked for."""


def residual(target: Target, ids: torch.Tensor, mask: torch.Tensor, layer: int) -> torch.Tensor:
    """Residual stream after decoder layer ``layer``, [texts, tokens, d_model] in float32; later layers do not run.

    Raises:
        ValueError: When the model has no such layer.
    """
    layers = target.network.layers
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer {layer} is out of range; the model has layers 0 to {len(layers) - 1}")
    kept: list[torch.Tensor] = []

    def keep(_module: Any, _args: Any, output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)
        raise _CutError

    handle = layers[layer].register_forward_hook(keep)
    try:
        with target.running() as model:
            model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
    except _CutError:
        pass
    finally:
        handle.remove()
    return kept[0].float()


def final_hidden(target: Target, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states after the final norm, [texts, tokens, d_model] in the model's dtype."""
    with target.running() as model:
        output = model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
    hidden: torch.Tensor = output.last_hidden_state
    return hidden


def unembed(target: Target, hidden: torch.Tensor) -> torch.Tensor:
    """Logits of normed hidden states: [tokens, d_model] -> [tokens, vocabulary] in float32."""
    head = target.network.model.get_output_embeddings()
    # Switching adapters walks all modules of the model, which is slow; no adapter changes a plain head.
    plain = type(head) is torch.nn.Linear
    with _plainly(target.network) if plain else target.running():
        logits: torch.Tensor = head(hidden.to(next(head.parameters()).dtype)).float()
    return logits


@contextmanager
def _plainly(network: Network) -> Iterator[None]:
    """The network with whatever adapter is on, for modules that no adapter changes."""
    with network.lock, torch.inference_mode():
        yield


def logit_lens(target: Target, vectors: torch.Tensor) -> torch.Tensor:
    """softmax(lm_head(final_norm(v))) for ``vectors`` [n, d_model]: probabilities [n, vocabulary]."""
    with target.running() as model:
        norm = model.get_decoder().norm
        normed = norm(vectors.to(norm.weight))
    return unembed(target, normed).softmax(-1)
