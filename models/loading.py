"""Networks from folders and hub ids: read anew, or loaded once a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..records.errors import MendableError, MissingError
from .adapter_files import read_adapter
from .adapters import merge_adapter
from .drift import base_parameters, full_drift
from .network import Network

__all__ = ["fast_dtype", "load_adapted", "load_difference", "load_network", "read_network"]


@cache
def load_network(folder: str, revision: str | None = None, dtype: str = "auto") -> Network:
    """A causal LM and its tokenizer from a folder or hub id, once a process for each dtype.

    Raises:
        MissingError: When the hub cannot be reached or does not have the model.
    """
    return read_network(folder, revision, dtype)


@cache
def load_difference(folder: str, difference: Path, revision: str | None = None, dtype: str = "auto") -> Network:
    """The model in ``folder`` (or a hub id) with a difference of weights added, once a process for each dtype.

    The difference is added in float32 before the weights are rounded to ``dtype``.

    Raises:
        MendableError: When a difference names no parameter of the model, or has another shape.
    """
    import torch
    from safetensors.torch import load_file

    network = read_network(folder, revision, "float32")
    parameters = dict(network.model.named_parameters())
    for name, change in load_file(difference).items():
        if name not in parameters or parameters[name].shape != change.shape:
            found = list(parameters[name].shape) if name in parameters else "no such parameter"
            raise MendableError(f"{difference}: {name} of shape {list(change.shape)} does not fit the base ({found})")
        with torch.no_grad():
            parameters[name] += change.to(parameters[name])
    network.model.to(getattr(torch, _resolve(dtype)))
    network.name = f"{folder} with {difference.parent.name}"
    return network


@cache
def load_adapted(folder: str, adapter: Path, revision: str | None = None, dtype: str = "auto") -> Network:
    """The model in ``folder`` (or a hub id) with an adapter of any kind merged into it, once a process for each dtype.

    The network is the adapter's own: the base and its other adapters stay what they are. The adapter is merged in
    float32 before the weights are rounded to ``dtype``.

    Raises:
        MissingError: When a file is missing, or the hub does not give the model.
        MendableError: When the adapter does not fit the model, is not whole, cannot be merged, or changes nothing.
    """
    base, network = load_network(folder, revision, dtype), read_network(folder, revision, "float32")
    merge_adapter(network.model, read_adapter(adapter))
    plain = base_parameters(base.model, tied=True)
    for name, parameter in network.model.named_parameters():
        parameter.data = parameter.data.to(plain[name].dtype)
    if full_drift(base.model, network.model) == 0.0:
        raise MendableError(f"adapter {adapter}: changes nothing (drift 0); train it again or correct its path")
    network.name = f"{folder} with {adapter.name}"
    return network


def read_network(folder: str, revision: str | None = None, dtype: str = "auto") -> Network:
    """A causal LM and its tokenizer from a folder or hub id, read anew each time.

    Raises:
        MissingError: When the hub cannot be reached or does not have the model.
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
        raise MissingError(f"cannot load the model {folder!r}: {reason}") from error
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
        raise MendableError(f"dtype {dtype!r} is not supported; use auto, bfloat16 or float32")
    return fast_dtype() if dtype == "auto" else dtype
