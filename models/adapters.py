"""Attaching PEFT adapters to a base network, and how far they move its weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["attach_adapter", "base_parameters", "drop_adapter", "relative_drift", "rows_through"]


def attach_adapter(model: PreTrainedModel, peft: Any, name: str, folder: str, **hub: Any) -> Any:
    """Load the adapter in ``folder`` (or a hub id) as ``name`` and return the PEFT wrapper around ``model``.

    Adapter weights are cast to the base's dtype, so that shipped half-precision files stay small in memory.

    A load that fails leaves the base and its other adapters as they were.

    Raises:
        ValueError: When the adapter's matrices do not fit the base model.
    """
    from peft import PeftModel

    with ExitStack() as undo, warnings.catch_warnings():
        # PEFT asks transformers for a property under its old name; nothing that a user could act on.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        undo.callback(_undo, model, peft, name)
        try:
            if peft is None:
                peft = PeftModel.from_pretrained(model, folder, adapter_name=name, autocast_adapter_dtype=False, **hub)
            else:
                peft.load_adapter(folder, adapter_name=name, autocast_adapter_dtype=False, **hub)
        except RuntimeError as error:
            raise ValueError(f"adapter {folder}: does not fit the base model: {error}") from error
        undo.pop_all()
    for module in _adapted(model, name):
        module.lora_A[name].to(module.weight.dtype)
        module.lora_B[name].to(module.weight.dtype)
    peft.eval()
    return peft


def drop_adapter(peft: Any, name: str) -> Any:
    """Take an adapter off; returns the PEFT wrapper, or None when the base is without adapters again."""
    others = [other for other in peft.peft_config if other != name]
    if not others:
        peft.unload()
        return None
    peft.delete_adapter(name)
    peft.set_adapter(others[0])
    return peft


@contextmanager
def rows_through(model: PreTrainedModel, names: Sequence[str]) -> Iterator[None]:
    """Send each row of a batch through its own adapter (``__base__``: none) while the block runs.

    PEFT's own ``generate(adapter_names=...)`` leaves its hooks on the layers when generation fails, and every later
    forward pass would then run through the wrong adapters.
    """
    from peft.tuners.lora import LoraLayer

    def routed(_module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "adapter_names": list(names)}

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, LoraLayer):
                stack.callback(module.register_forward_pre_hook(routed, with_kwargs=True).remove)
        yield


def relative_drift(model: PreTrainedModel, name: str, start: str | None = None) -> float:
    """|B A s| / |W| over all matrices the adapter touches (Frobenius norms); 0 when it touches none.

    With ``start``, another adapter that counts as the beginning: |B A s - B' A' s'| / |W + B' A' s'| over all matrices
    that either of them touches.
    """
    moved = base = 0.0
    for module in _adapted(model, name, start):
        before = _change(module, start)
        moved += float((_change(module, name) - before).square().sum())
        base += float((module.weight.detach().float() + before).square().sum())
    return math.sqrt(moved / base) if base else 0.0


def base_parameters(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The model's own parameters, named as they are without adapters: PEFT renames the matrices it wraps."""
    return {
        name.replace(".base_layer.", "."): parameter.detach()
        for name, parameter in model.named_parameters()
        if not any(part.startswith("lora_") for part in name.split("."))
    }


def _undo(model: PreTrainedModel, peft: Any, name: str) -> None:
    """Take off what a failed load left: PEFT puts its layers in place before it reads the weights."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if peft is not None:
        if name in peft.peft_config:
            drop_adapter(peft, name)
        return
    for path, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


def _change(module: Any, name: str | None) -> torch.Tensor:
    """What an adapter adds to a matrix, in float32; zeros where it does not touch it."""
    import torch

    if name is None or name not in module.lora_A:
        return torch.zeros_like(module.weight, dtype=torch.float32)
    change: torch.Tensor = module.get_delta_weight(name)
    return change.detach().float()


def _adapted(model: PreTrainedModel, *names: str | None) -> list[Any]:
    """The layers that one of the named adapters touches."""
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    return [layer for layer in layers if any(name in getattr(layer, "lora_A", {}) for name in names if name)]
