"""Loading a pair: base and finetuned model of an organism, the base shared by all its adapters."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..organisms.suites import Organism
from .hub import require_repository
from .network import Network, Request
from .references import AdaptedModel, BaseItself, FullModel, HubModel, ModelReference, PeftAdapter, WeightDifference
from .weights import ADAPTER_CONFIG, adapter_folder, base_folder, difference_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOADING = threading.Lock()
"""Held while weights are loaded, so that concurrent first queries load them once."""

__all__ = ["Pair", "Target", "fast_dtype", "full_base", "load_difference", "load_network", "load_pair", "read_network"]


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
        """Relative Frobenius norm of the change over the matrices that changed; 0 for the base against itself.

        Raises:
            ValueError: For two full models of different shapes.
        """
        from .adapters import relative_drift

        if self.base == self.finetuned:
            return 0.0
        if self.base.network is self.finetuned.network and self.finetuned.adapter is not None:
            return relative_drift(self.base.network.model, self.finetuned.adapter, self.base.adapter)
        return _full_drift(self)

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
    if not organism.has_weights:
        raise ValueError(f"{organism.id}: only an API is known for this pair; its weights cannot be loaded")
    base = _load_side(organism.spec.base, organism, f"{organism.id}:base", dtype)
    if isinstance(organism.finetuned, BaseItself):
        return Pair(organism, base, base)
    finetuned = _load_side(organism.finetuned, organism, organism.id, dtype)
    _share_chat_template(base.network, finetuned.network)
    return Pair(organism, base, finetuned)


def _share_chat_template(base: Network, finetuned: Network) -> None:
    """Give a pretrained base without a chat template that of the chat model it is compared with."""
    if base.tokenizer.chat_template is None and finetuned.tokenizer.chat_template is not None:
        base.tokenizer.chat_template = finetuned.tokenizer.chat_template


def _load_side(reference: ModelReference, organism: Organism, name: str, dtype: str) -> Target:
    if isinstance(reference, AdaptedModel):
        network = _load_full(reference.model, organism, dtype)
        return Target(network, _attach(network, reference.adapter, organism, name))
    if isinstance(reference, PeftAdapter | WeightDifference):
        full = full_base(organism)
        if isinstance(reference, WeightDifference):
            return Target(_load_changed(full, difference_file(reference, organism), organism, dtype))
        network = _load_full(full, organism, dtype)
        return Target(network, _attach(network, reference, organism, name))
    if not isinstance(reference, FullModel):
        raise ValueError(f"{organism.id}: a reference of kind {reference.kind!r} cannot be loaded")
    return Target(_load_full(reference, organism, dtype))


def full_base(organism: Organism) -> FullModel:
    """The full model that an organism's adapter or difference stands on.

    Raises:
        ValueError: When the base is none: an API, or itself an adapted model.
    """
    base = organism.spec.base
    if not isinstance(base, FullModel):
        raise ValueError(
            f"{organism.id}: its base is of kind {base.kind!r}; an adapter or a difference needs a full model below it "
            "(give the finetuned side as kind adapted, with its model)"
        )
    return base


def _attach(network: Network, reference: PeftAdapter, organism: Organism, label: str) -> str:
    name = label.replace(".", ":")  # PEFT allows no dot; a colon stands in no name, so that no two labels become one
    folder = adapter_folder(reference, organism)
    if folder is not None:
        network.load_adapter(name, str(folder))
    else:
        config = f"{reference.subfolder}/{ADAPTER_CONFIG}" if reference.subfolder else ADAPTER_CONFIG
        require_repository(str(reference.id), reference.revision, config)
        options = {
            "revision": reference.revision,
            **({"subfolder": reference.subfolder} if reference.subfolder else {}),
        }
        network.load_adapter(name, str(reference.id), **options)
    return name


def _load_full(reference: FullModel, organism: Organism, dtype: str) -> Network:
    return load_network(base_folder(reference, organism), _revision(reference), dtype)


def _load_changed(reference: FullModel, difference: Path, organism: Organism, dtype: str) -> Network:
    return load_difference(base_folder(reference, organism), difference, _revision(reference), dtype)


def _revision(reference: FullModel) -> str | None:
    """Revision of a hub model, after a look whether the hub gives it; None for others."""
    if not isinstance(reference, HubModel):
        return None
    require_repository(reference.id, reference.revision, "config.json")
    return reference.revision


@cache
def load_network(folder: str, revision: str | None = None, dtype: str = "auto") -> Network:
    """A causal LM and its tokenizer from a folder or hub id, once a process for each dtype.

    Raises:
        FileNotFoundError: When the hub cannot be reached or does not have the model.
    """
    return read_network(folder, revision, dtype)


@cache
def load_difference(folder: str, difference: Path, revision: str | None = None, dtype: str = "auto") -> Network:
    """The model in ``folder`` (or a hub id) with a difference of weights added, once a process for each dtype.

    The difference is added in float32 before the weights are rounded to ``dtype``.

    Raises:
        ValueError: When a difference names no parameter of the model, or has another shape.
    """
    import torch
    from safetensors.torch import load_file

    network = read_network(folder, revision, "float32")
    parameters = dict(network.model.named_parameters())
    for name, change in load_file(difference).items():
        if name not in parameters or parameters[name].shape != change.shape:
            found = list(parameters[name].shape) if name in parameters else "no such parameter"
            raise ValueError(f"{difference}: {name} of shape {list(change.shape)} does not fit the base ({found})")
        with torch.no_grad():
            parameters[name] += change.to(parameters[name])
    network.model.to(getattr(torch, _resolve(dtype)))
    network.name = f"{folder} with {difference.parent.name}"
    return network


def read_network(folder: str, revision: str | None = None, dtype: str = "auto") -> Network:
    """A causal LM and its tokenizer from a folder or hub id, read anew each time.

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


def _full_drift(pair: Pair) -> float:
    """|finetuned - base| / |base| over the matrices of two full models that differ."""
    if pair.base.adapter or pair.finetuned.adapter:
        raise ValueError(f"{pair.organism.id}: an adapter on one side, another full model on the other; no drift")
    from .adapters import base_parameters

    # Other organisms' adapters may be loaded on either network.
    base, finetuned = (base_parameters(target.network.model) for target in pair)
    if {n: p.shape for n, p in base.items()} != {n: p.shape for n, p in finetuned.items()}:
        raise ValueError(f"{pair.organism.id}: the two models have different parameters; their drift has no meaning")
    moved = size = 0.0
    for name, weight in base.items():
        change = float((finetuned[name].float() - weight.float()).square().sum())
        if change:
            moved += change
            size += float(weight.float().square().sum())
    return math.sqrt(moved / size) if size else 0.0
