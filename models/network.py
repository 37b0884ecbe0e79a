"""One base network in memory with all its adapters: batched sampling, steering, access for forward passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .batcher import Batcher

__all__ = ["Completion", "Network", "Request", "Steering"]

BASE_ROW = "__base__"
"""PEFT's name for a row of a mixed batch that uses no adapter."""


@dataclass(frozen=True)
class Steering:
    """A vector added to the residual stream after one layer, at every token of a generation."""

    layer: int
    """Index of the decoder layer whose output is shifted."""
    vector: torch.Tensor
    """Shape [d_model], already multiplied by its strength."""


@dataclass(frozen=True)
class Request:
    """One text to continue."""

    prompt: str
    """Rendered text, chat template included."""
    adapter: str | None = None
    """Name of a loaded adapter, or None for the base model."""
    max_tokens: int = 128
    temperature: float = 1.0
    """0 is greedy decoding."""
    top_p: float = 1.0
    seed: int = 0
    """Seeds this row alone, so that a row does not depend on what it is batched with
    (up to rounding of bfloat16 products, which depends on the batch's shape)."""
    steering: Steering | None = None


@dataclass(frozen=True)
class Completion:
    """What a model wrote."""

    text: str
    input_tokens: int
    output_tokens: int
    finished: bool
    """Whether the model ended by itself; False at the token limit."""


@dataclass(eq=False)
class Network:
    """A base model, its tokenizer and the adapters loaded on it. Calls are serialised by a lock."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    adapters: dict[str, float] = field(default_factory=dict)
    """Loaded adapter -> relative drift of the weights, |difference| / |base| over the adapted matrices."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    batcher: Batcher | None = field(default=None, repr=False)
    """Gathers concurrent requests; see ``batcher_for``."""
    _peft: Any = field(default=None, repr=False)

    @property
    def layers(self) -> Sequence[torch.nn.Module]:
        """The decoder layers, first to last."""
        return list(self.model.get_decoder().layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.hidden_size)

    def load_adapter(self, name: str, folder: str, **hub: Any) -> None:
        """Load a PEFT adapter under ``name``; a second call with the same name does nothing.

        Raises:
            ValueError: When the adapter does not fit the base, or changes nothing.
        """
        from .adapters import attach_adapter, drop_adapter, relative_drift

        with self.lock:
            if name in self.adapters:
                return
            self._peft = attach_adapter(self.model, self._peft, name, folder, **hub)
            drift = relative_drift(self.model, name)
            if drift == 0.0:
                self._peft = drop_adapter(self._peft, name)
                raise ValueError(f"adapter {folder}: changes nothing (drift 0); train it again or correct its path")
            self.adapters[name] = drift

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[PreTrainedModel]:
        """The network with one adapter (or none) switched on, for forward passes.

        Raises:
            KeyError: For an adapter that is not loaded.
        """
        import torch

        with self.lock, torch.inference_mode():
            if adapter is not None and adapter not in self.adapters:
                raise KeyError(f"adapter {adapter!r} is not loaded; loaded: {', '.join(self.adapters) or 'none'}")
            if self._peft is None:
                yield self.model
            elif adapter is None:
                with self._peft.disable_adapter():
                    yield self.model
            else:
                self._peft.set_adapter(adapter)
                yield self.model

    def render_chat(self, messages: Sequence[dict[str, str]]) -> str:
        """The chat template's text for ``messages``, up to where the assistant begins."""
        text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return str(text)

    def generate_all(
        self, requests: Sequence[Request], batch_size: int = 64, track: Callable[..., Iterable[Any]] | None = None
    ) -> list[Completion]:
        """Continue any number of requests, batch by batch; ``track`` wraps the batches for a progress display."""
        chunks = [requests[i : i + batch_size] for i in range(0, len(requests), batch_size)]
        shown = chunks if track is None else track(chunks, "sampling")
        return [completion for chunk in shown for completion in self.generate(chunk)]

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Continue all ``requests`` in one batch under left padding, base and adapters mixed.

        Raises:
            ValueError: For an empty prompt, an adapter that is not loaded or steering that does not fit the model.
        """
        from .adapters import rows_through
        from .sampling import generate_batch

        for request in requests:
            if not request.prompt:
                raise ValueError("a request has an empty prompt; give at least one token")
            if request.adapter is not None and request.adapter not in self.adapters:
                raise ValueError(f"adapter {request.adapter!r} is not loaded; loaded: {', '.join(self.adapters)}")
            if request.steering is not None:
                self._check_steering(request.steering)
        if not requests:
            return []
        with self.lock:
            names = [request.adapter or BASE_ROW for request in requests]
            with nullcontext() if self._peft is None else rows_through(self.model, names):
                return generate_batch(self.model, self.tokenizer, self.layers, requests)

    def _check_steering(self, steering: Steering) -> None:
        if not 0 <= steering.layer < len(self.layers):
            raise ValueError(f"steering at layer {steering.layer}: the model has layers 0 to {len(self.layers) - 1}")
        if tuple(steering.vector.shape) != (self.d_model,):
            shape = list(steering.vector.shape)
            raise ValueError(f"steering vector of shape {shape}: the residual stream has shape [{self.d_model}]")
