"""Adapters of every kind that everyday training writes, drawn by a seed and filled with random weights."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffbench.models.network import Network

__all__ = ["PLAIN", "RICH", "assert_same_state", "draw_adapter", "state_of"]

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LAYERS = 4
VOCABULARY = 300


def _lora(drawn: random.Random, **options: Any) -> Any:
    from peft import LoraConfig

    targets = drawn.sample(MATRICES, drawn.randint(1, 4))
    settings = {"r": drawn.randint(1, 4), "lora_alpha": drawn.randint(2, 8), "target_modules": targets}
    return LoraConfig(**{**settings, **options}, task_type="CAUSAL_LM")


def _other(name: str, **options: Any) -> Callable[[random.Random], Any]:
    def build(drawn: random.Random) -> Any:
        import peft

        return getattr(peft, name)(target_modules=drawn.sample(MATRICES[:4], 2), task_type="CAUSAL_LM", **options)

    return build


def _ia3(_: random.Random) -> Any:
    from peft import IA3Config

    return IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM")


def _tokens(drawn: random.Random) -> list[int]:
    return sorted(drawn.sample(range(VOCABULARY), 5))


def _token_config(drawn: random.Random) -> Any:
    from peft import TrainableTokensConfig

    return TrainableTokensConfig(token_indices=_tokens(drawn), task_type="CAUSAL_LM")


def _norms(_: random.Random) -> Any:
    from peft import LNTuningConfig

    return LNTuningConfig(target_modules=["input_layernorm"], task_type="CAUSAL_LM")


PLAIN: dict[str, Callable[[random.Random], Any]] = {
    "lora": _lora,
    "gaussian": lambda drawn: _lora(drawn, init_lora_weights="gaussian"),
    "rslora": lambda drawn: _lora(drawn, use_rslora=True),
    "rank patterns": lambda drawn: _lora(
        drawn, target_modules=["q_proj", "v_proj"], rank_pattern={"q_proj": 3}, alpha_pattern={"v_proj": 7}
    ),
    "some layers": lambda drawn: _lora(drawn, layers_to_transform=sorted(drawn.sample(range(LAYERS), 2))),
    "all linear": lambda drawn: _lora(drawn, target_modules="all-linear"),
}
"""Those that share the base's network."""

RICH: dict[str, Callable[[random.Random], Any]] = {
    "dora": lambda drawn: _lora(drawn, use_dora=True),
    "bias all": lambda drawn: _lora(drawn, bias="all"),
    "bias lora_only": lambda drawn: _lora(drawn, bias="lora_only"),
    "lora bias": lambda drawn: _lora(drawn, lora_bias=True),
    "saved lm_head": lambda drawn: _lora(drawn, modules_to_save=["lm_head"]),
    "saved embeddings and lm_head": lambda drawn: _lora(drawn, modules_to_save=["embed_tokens", "lm_head"]),
    "saved norm": lambda drawn: _lora(drawn, modules_to_save=["norm"]),
    "trainable tokens": lambda drawn: _lora(drawn, trainable_token_indices=_tokens(drawn)),
    "only trainable tokens": _token_config,
    "pissa": lambda drawn: _lora(drawn, init_lora_weights="pissa"),
    "olora": lambda drawn: _lora(drawn, init_lora_weights="olora"),
    "orthogonal": lambda drawn: _lora(drawn, r=4, init_lora_weights="orthogonal"),
    "lm_head": lambda drawn: _lora(drawn, target_modules=["q_proj", "lm_head"]),
    "embeddings": lambda drawn: _lora(drawn, target_modules=["embed_tokens", "q_proj"]),
    "tied embeddings": lambda drawn: _lora(drawn, target_modules=["embed_tokens"], ensure_weight_tying=True),
    "loha": _other("LoHaConfig", r=3),
    "lokr": _other("LoKrConfig", r=3),
    "vera": _other("VeraConfig", r=3),
    "oft": _other("OFTConfig", oft_block_size=4),
    "ia3": _ia3,
    "norms": _norms,
}
"""Those that change more than LoRA matrices, or the base itself."""


def draw_adapter(kind: str, seed: int, base: Path, folder: Path, moved: float = 0.1, **settings: Any) -> Path:
    """An adapter of a kind on the model in ``base``, every trained parameter moved at random.

    Args:
        kind: One of ``PLAIN`` or ``RICH``.
        seed: Of its settings and weights.
        base: Folder of its base.
        folder: Where it is written.
        moved: Standard deviation of what is added to the parameters.
        settings: Settings of its configuration that are not drawn.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    config = {**PLAIN, **RICH}[kind](random.Random(f"{kind} {seed}"))
    for setting, value in settings.items():
        setattr(config, setting, value)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(moved * torch.randn(parameter.shape))
        model.save_pretrained(folder)
    return folder


def state_of(network: Network) -> dict[str, Any]:
    """All that an attachment could leave in a network."""
    model = network.model
    return {
        "modules": [(path, type(module)) for path, module in model.named_modules()],
        "parameters": {name: (p.detach().clone(), p.requires_grad) for name, p in model.named_parameters()},
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "attributes": sorted(vars(model)),
        "adapters": dict(network.adapters),
    }


def assert_same_state(network: Network, before: dict[str, Any]) -> None:
    now = state_of(network)
    parameters, were = now.pop("parameters"), before["parameters"]
    assert now == {name: value for name, value in before.items() if name != "parameters"}
    assert parameters.keys() == were.keys()
    assert all(p.equal(were[name][0]) and trains == were[name][1] for name, (p, trains) in parameters.items())
