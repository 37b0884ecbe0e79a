"""How far finetuning moved the weights of a model: an adapter's product, or two full models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..records.errors import MendableError
from .adapters import adapted_layers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["adapter_drift", "base_parameters", "both_parameters", "full_drift"]


def adapter_drift(model: PreTrainedModel, name: str, start: str | None = None) -> float:
    """|B A s| / |W| over all matrices the adapter touches (Frobenius norms); 0 when it touches none.

    With ``start``, another adapter that counts as the beginning: |B A s - B' A' s'| / |W + B' A' s'| over all matrices
    that either of them touches.
    """
    moved = base = 0.0
    for module in adapted_layers(model, name, start):
        before = _change(module, start)
        moved += float((_change(module, name) - before).square().sum())
        base += float((module.weight.detach().float() + before).square().sum())
    return math.sqrt(moved / base) if base else 0.0


def full_drift(base: PreTrainedModel, finetuned: PreTrainedModel) -> float:
    """|finetuned - base| / |base| over the matrices of two full models that differ; 0 when none does.

    Adapters that are loaded on either of them do not count.

    Raises:
        MendableError: When the models have different parameters.
    """
    moved = size = 0.0
    for _, weight, after in both_parameters(base, finetuned):
        change = float((after.float() - weight.float()).square().sum())
        if change:
            moved += change
            size += float(weight.float().square().sum())
    return math.sqrt(moved / size) if size else 0.0


def both_parameters(base: PreTrainedModel, finetuned: PreTrainedModel) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Name and both values of every parameter; weights count once where both models tie them.

    Raises:
        MendableError: When the models have different parameters.
    """
    before, after = base_parameters(base, tied=True), base_parameters(finetuned, tied=True)
    if {n: p.shape for n, p in before.items()} != {n: p.shape for n, p in after.items()}:
        raise MendableError("the two models have different parameters and cannot be compared")
    names = dict.fromkeys([*base_parameters(base), *base_parameters(finetuned)])
    return [(name, before[name], after[name]) for name in names]


def base_parameters(model: PreTrainedModel, tied: bool = False) -> dict[str, torch.Tensor]:
    """The model's own parameters, named as they are without adapters: PEFT renames the matrices it wraps.

    Args:
        model: The model, with or without LoRA adapters.
        tied: Whether a weight that the model has in two places stands under both names.
    """
    return {
        name.replace(".base_layer.", "."): parameter.detach()
        for name, parameter in model.named_parameters(remove_duplicate=not tied)
        if not any(part.startswith("lora_") for part in name.split("."))
    }


def _change(module: Any, name: str | None) -> torch.Tensor:
    """What an adapter adds to a matrix, in float32; zeros where it does not touch it."""
    import torch

    if name is None or name not in module.lora_A:
        return torch.zeros_like(module.weight, dtype=torch.float32)
    change: torch.Tensor = module.get_delta_weight(name)
    return change.detach().float()
