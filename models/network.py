"""One base network in memory with all its adapters: batched sampling, steering, access for forward passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..records.errors import MendableError
from ..records.progress import Track, untracked
from .adapter_files import read_adapter
from .adapters import SharedAdapters
from .anatomy import Anatomy, anatomy_of
from .drift import adapter_drift
from .interventions import routed
from .requests import Completion, Request, Steering

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .batcher import Batcher

__all__ = ["Network"]


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
    _attached: SharedAdapters = field(init=False, repr=False)
    _readings: dict[int, Network] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._attached = SharedAdapters(self.model)

    @cached_property
    def anatomy(self) -> Anatomy:
        """The model's parts.

        Raises:
            MendableError: For an architecture whose parts are not known.
        """
        return anatomy_of(self.model)

    @property
    def layers(self) -> Sequence[torch.nn.Module]:
        """The decoder layers, first to last."""
        return self.anatomy.layers

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.anatomy.d_model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def load_adapter(self, name: str, folder: Path | str) -> None:
        """Load a plain LoRA adapter under ``name``; a second call with the same name does nothing.

        Raises:
            MissingError: When a file of the adapter is missing.
            MendableError: When the adapter is more than plain LoRA, does not fit the base, is not whole, or changes
                nothing. The network and its other adapters are then what they were.
        """
        with self.lock:
            if name in self.adapters:
                return
            self._attached.load(name, read_adapter(Path(folder)))
            drift = adapter_drift(self.model, name)
            if drift == 0.0:
                self._attached.drop(name)
                raise MendableError(f"adapter {folder}: changes nothing (drift 0); train it again or correct its path")
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
            with self._attached.using(adapter):
                yield self.model

    def reading(self, tokenizer: PreTrainedTokenizerBase) -> Network:
        """The same model with the same adapters behind another tokenizer; one network for each tokenizer."""
        if tokenizer is self.tokenizer:
            return self
        with self.lock:
            if id(tokenizer) not in self._readings:
                other = copy(self)
                other.tokenizer, other.batcher = tokenizer, None
                self._readings[id(tokenizer)] = other
            return self._readings[id(tokenizer)]

    def render_chat(self, messages: Sequence[dict[str, str]]) -> str:
        """The chat template's text for ``messages``, up to where the assistant begins."""
        text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return str(text)

    def generate_all(
        self, requests: Sequence[Request], batch_size: int = 64, track: Track = untracked
    ) -> list[Completion]:
        """Continue any number of requests, batch by batch; ``track`` wraps the batches for a progress display."""
        chunks = [requests[i : i + batch_size] for i in range(0, len(requests), batch_size)]
        return [completion for chunk in track(chunks, "sampling") for completion in self.generate(chunk)]

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Continue all ``requests`` in one batch under left padding, base and adapters mixed.

        Raises:
            ValueError: For an empty prompt, an adapter that is not loaded or steering that does not fit the model.
        """
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
            adapters = [request.adapter for request in requests]
            with routed(self.model, adapters) if self._attached else nullcontext():
                return generate_batch(self.anatomy, self.tokenizer, requests)

    def _check_steering(self, steering: Steering) -> None:
        if not 0 <= steering.layer < len(self.layers):
            raise ValueError(f"steering at layer {steering.layer}: the model has layers 0 to {len(self.layers) - 1}")
        if tuple(steering.vector.shape) != (self.d_model,):
            shape = list(steering.vector.shape)
            raise ValueError(f"steering vector of shape {shape}: the residual stream has shape [{self.d_model}]")
