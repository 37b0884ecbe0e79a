"""Attaching PEFT adapters to a base network, and taking them off."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..records.errors import MendableError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["adapted_layers", "attach_adapter", "drop_adapter"]


def attach_adapter(model: PreTrainedModel, peft: Any, name: str, folder: str, **hub: Any) -> Any:
    """Load the adapter in ``folder`` (or a hub id) as ``name`` and return the PEFT wrapper around ``model``.

    Adapter weights are cast to the base's dtype, so that shipped half-precision files stay small in memory.

    A load that fails leaves the base and its other adapters as they were.

    Raises:
        MendableError: When the adapter's matrices do not fit the base model.
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
            raise MendableError(f"adapter {folder}: does not fit the base model: {error}") from error
        undo.pop_all()
    for module in adapted_layers(model, name):
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


def adapted_layers(model: PreTrainedModel, *names: str | None) -> list[Any]:
    """The layers that one of the named adapters touches."""
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    return [layer for layer in layers if any(name in getattr(layer, "lora_A", {}) for name in names if name)]


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
