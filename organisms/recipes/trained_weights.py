"""What a training changes and how it is kept: a LoRA adapter, or a difference of full rank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, DIFFERENCE_WEIGHTS
from ...models.network import Network
from ...records.errors import MendableError
from ..recipe import Recipe

if TYPE_CHECKING:
    import torch

__all__ = ["FullWeights", "LoraWeights", "Trained"]


class Trained(Protocol):
    """Weights in training."""

    module: Any
    """The torch module; the parameters that require gradients are trained."""

    def save(self, folder: Path, base_name: str) -> Path:
        """Write the result into ``folder``; returns the file of its weights."""


class LoraWeights:
    """A LoRA adapter (Hu et al. 2021) on the recipe's modules and layers, kept in bfloat16."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        """Put a fresh adapter on the network, which is changed in place."""
        from peft import LoraConfig, get_peft_model

        layers = _layers(network, recipe)
        config = LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            target_modules=list(recipe.target_modules),
            layers_to_transform=None if recipe.layers is None else layers,
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
        )
        self.module: Any = get_peft_model(network.model, config)

    def save(self, folder: Path, base_name: str) -> Path:
        """Write a PEFT adapter folder."""
        import torch

        self.module.peft_config["default"].base_model_name_or_path = base_name
        self.module.to(torch.bfloat16).save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        config["target_modules"] = sorted(config["target_modules"])
        (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return folder / ADAPTER_WEIGHTS


class FullWeights:
    """The weight matrices of the recipe's modules and layers themselves, kept as finetuned minus base in bfloat16.

    They are trained in float32: a bfloat16 weight would swallow steps smaller than its rounding.
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        """Make only the chosen matrices trainable; the network is changed in place."""
        layers = _layers(network, recipe)
        self.module: Any = network.model.requires_grad_(False)
        self._start: dict[str, torch.Tensor] = {}
        for name, parameter in network.model.named_parameters():
            parts, place = name.split("."), network.anatomy.place_of(name)
            in_layers = place is not None and place[0] in layers
            if in_layers and parts[-1] == "weight" and parts[-2] in recipe.target_modules:
                self._start[name] = parameter.detach().clone().float()
                parameter.data = parameter.data.float()
                parameter.requires_grad_(True)
        if not self._start:
            raise MendableError(f"target_modules {', '.join(recipe.target_modules)}: no such matrix in layers {layers}")

    def save(self, folder: Path, base_name: str) -> Path:
        """Write ``difference.safetensors``: parameter name -> finetuned minus base."""
        import torch
        from safetensors.torch import save_file

        parameters = dict(self.module.named_parameters())
        changes = {
            name: (parameters[name].detach().float() - start).to(torch.bfloat16).contiguous()
            for name, start in self._start.items()
        }
        save_file(changes, folder / DIFFERENCE_WEIGHTS, metadata={"base": base_name})
        return folder / DIFFERENCE_WEIGHTS


def _layers(network: Network, recipe: Recipe) -> list[int]:
    count = len(network.layers)
    first, last = recipe.layers or (0, count - 1)
    if last >= count:
        raise MendableError(f"layers {[first, last]}: the model has layers 0 to {count - 1}")
    return list(range(first, last + 1))
