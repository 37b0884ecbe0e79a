"""Forward passes that methods share: encoded corpora, residual streams with the trunk cut, hidden states, lenses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...models.network import Network
from ...models.pair import Target

if TYPE_CHECKING:
    from .corpus import Corpus

__all__ = [
    "Encoded",
    "batches",
    "chunks",
    "encode_chats",
    "encode_texts",
    "final_hidden",
    "logit_lens",
    "padded",
    "residual",
    "unembed",
]


@dataclass(frozen=True)
class Encoded:
    """One item of a corpus as tokens."""

    index: int
    """Position in the corpus' texts, or in its chats."""
    kind: str
    """``text`` or ``chat``."""
    ids: tuple[int, ...]
    content_start: int = 0
    """First token of the user's words; what stands before is the template's and the same in every chat."""
    answer_start: int = 0
    """First token of the assistant's turn (its header included); 0 for texts."""


_MARK = "\x01"
"""A character that no chat template holds."""


class _CutError(Exception):
    """Ends a forward pass at the layer that was asked for."""


def encode_texts(network: Network, corpus: Corpus, max_tokens: int) -> list[Encoded]:
    """The corpus' texts, cut to ``max_tokens``."""
    rows = [network.tokenizer(text, add_special_tokens=False)["input_ids"] for text in corpus.texts]
    return [Encoded(i, "text", tuple(ids[:max_tokens])) for i, ids in enumerate(rows)]


def encode_chats(network: Network, corpus: Corpus, max_tokens: int) -> list[Encoded]:
    """The corpus' chats in the model's template, cut to ``max_tokens``.

    ``answer_start`` is where the assistant's header begins, so that header tokens come first there.
    """

    def ids_of(text: str) -> list[int]:
        return list(network.tokenizer(text, add_special_tokens=False)["input_ids"])

    # The prompt's own words may stand in the template, so its place is found with a mark that cannot.
    before = len(ids_of(_asked(network, _MARK).partition(_MARK)[0]))
    encoded = []
    for i, chat in enumerate(corpus.chats):
        start = len(ids_of(_asked(network, chat.prompt)))
        ids = ids_of(network.render_chat([{"role": "user", "content": chat.prompt}]) + chat.response)
        encoded.append(Encoded(i, "chat", tuple(ids[:max_tokens]), before, start))
    return encoded


def _asked(network: Network, prompt: str) -> str:
    """The template's text for a user's turn, without the header of the answer."""
    messages = [{"role": "user", "content": prompt}]
    return str(network.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False))


def batches(
    items: Sequence[Encoded], network: Network, size: int
) -> Iterator[tuple[list[Encoded], torch.Tensor, torch.Tensor]]:
    """Batches of items of like length with ids and mask, each [items, tokens], padded on the right."""
    for chunk in chunks(items, size):
        yield chunk, *padded(chunk, network)


def chunks(items: Sequence[Encoded], size: int) -> list[list[Encoded]]:
    """Items sorted by length, ``size`` at a time, so that little is padded."""
    ordered = sorted(items, key=lambda item: len(item.ids))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def padded(chunk: Sequence[Encoded], network: Network) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of a batch, each [items, tokens], padded on the right."""
    pad = network.tokenizer.pad_token_id
    device = next(network.model.parameters()).device
    width = max(len(item.ids) for item in chunk)
    ids = torch.tensor([[*item.ids, *[pad] * (width - len(item.ids))] for item in chunk], device=device)
    lengths = torch.tensor([len(item.ids) for item in chunk], device=device)
    return ids, (torch.arange(width, device=device) < lengths.unsqueeze(1)).long()


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
