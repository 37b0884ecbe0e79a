"""Loading a pair: base and finetuned model of an organism, the base shared by all its adapters."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from .network import Network, Request
from .spec import GgufModel, HubModel, LocalModel, PeftAdapter
from .suites import Organism
from .weights import adapter_folder, base_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOADING = threading.Lock()
"""Held while weights are loaded, so that concurrent first queries load them once."""

__all__ = ["Pair", "Target", "fast_dtype", "load_network", "load_pair"]


@dataclass(frozen=True)
class Target:
    """One side of a pair: a network and the adapter that makes it that side."""

    network: Network
    adapter: str | None = None

    def running(self) -> AbstractContextManager[PreTrainedModel]:
        """The model of this side, for forward passes under ``torch.inference_mode``."""
        return self.network.using(self.adapter)


@dataclass(frozen=True)
class Pair:
    """Base and finetuned model on the same tokenizer."""

    organism: Organism
    base: Target
    finetuned: Target

    def __iter__(self) -> Iterator[Target]:
        yield self.base
        yield self.finetuned

    @property
    def drift(self) -> float:
        """Relative Frobenius norm of the change over the adapted matrices; 0 for the base against itself.

        Raises:
            ValueError: For a pair of full models, whose drift is measured by ``weight_drift``.
        """
        if self.base == self.finetuned:
            return 0.0
        if self.finetuned.adapter is None:
            raise ValueError(f"{self.organism.id}: two full models; no adapter whose drift could be read")
        return self.finetuned.network.adapters[self.finetuned.adapter]

    def request(self, side: str, prompt: str, **options: object) -> tuple[Network, Request]:
        """A sampling request on ``base`` or ``finetuned`` with the network that serves it."""
        target = self.base if side == "base" else self.finetuned
        return target.network, Request(prompt=prompt, adapter=target.adapter, **options)  # type: ignore[arg-type]


def load_pair(organism: Organism, dtype: str = "auto") -> Pair:
    """Load both models of a pair; the base (and other full models) once a process.

    Args:
        organism: The organism, with its variant.
        dtype: torch dtype of the weights, ``bfloat16`` or ``float32``; ``auto`` takes what the machine is fast with.

    Raises:
        ValueError: For an API-only pair, a wrong hash, an adapter that does not fit or changes nothing.
        FileNotFoundError: When weights are missing; says how to get them.
    """
    with _LOADING:
        return _load_pair(organism, dtype)


def _load_pair(organism: Organism, dtype: str) -> Pair:
    base, finetuned = organism.spec.base, organism.finetuned
    if not organism.has_weights or not isinstance(base, HubModel | LocalModel | GgufModel):
        raise ValueError(f"{organism.id}: only an API is known for this pair; its weights cannot be loaded")
    network = _load_full(base, organism, dtype)
    base_side = Target(network)
    if isinstance(finetuned, PeftAdapter):
        return Pair(organism, base_side, Target(network, _attach(network, finetuned, organism)))
    if isinstance(finetuned, HubModel | LocalModel | GgufModel):
        return Pair(organism, base_side, Target(_load_full(finetuned, organism, dtype)))
    return Pair(organism, base_side, base_side)


def _attach(network: Network, reference: PeftAdapter, organism: Organism) -> str:
    name = organism.id.replace(".", "-")
    folder = adapter_folder(reference, organism)
    if folder is not None:
        network.load_adapter(name, str(folder))
    else:
        options = {
            "revision": reference.revision,
            **({"subfolder": reference.subfolder} if reference.subfolder else {}),
        }
        network.load_adapter(name, str(reference.id), **options)
    return name


def _load_full(reference: HubModel | LocalModel | GgufModel, organism: Organism, dtype: str) -> Network:
    revision = reference.revision if isinstance(reference, HubModel) else None
    return load_network(base_folder(reference, organism), revision, dtype)


@cache
def load_network(folder: str, revision: str | None = None, dtype: str = "auto") -> Network:
    """A causal LM and its tokenizer from a folder or hub id, once a process for each dtype.

    Raises:
        FileNotFoundError: When the hub cannot be reached or does not have the model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pinned = {} if revision is None else {"revision": revision}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **pinned)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, _resolve(dtype)), **pinned)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(f"cannot load the model {folder!r}: {reason}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Network(model.to(device).eval(), tokenizer, name=folder)


def fast_dtype() -> str:
    """``bfloat16`` where the machine computes in it natively, else ``float32``.

    On a CPU without AVX512-BF16 or AMX, products of bfloat16 matrices are emulated and several times slower.
    """
    import torch

    if torch.cuda.is_available():
        return "bfloat16"
    processor = torch.cpu.get_capabilities()
    return "bfloat16" if processor.get("avx512_bf16") or processor.get("amx_bf16") else "float32"


def _resolve(dtype: str) -> str:
    if dtype not in {"auto", "bfloat16", "float32"}:
        raise ValueError(f"dtype {dtype!r} is not supported; use auto, bfloat16 or float32")
    return fast_dtype() if dtype == "auto" else dtype
