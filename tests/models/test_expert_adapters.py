"""Adapters on the experts of a mixture: as PEFT writes them today, and one matrix an expert as they were written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_kinds import assert_same_state, state_of
from diffbench.models.loading import load_network
from diffbench.models.targets import Pair
from diffbench.organisms.loading import load_pair
from diffbench.records.errors import MendableError
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tiny_architectures import tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

IDS = torch.tensor([[5, 9, 40, 41, 7], [49, 0, 1, 2, 30]])
RANK, EXPERTS, INNER = 2, 4, 16


@pytest.fixture(scope="module")
def base(tiny_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen3-MoE."""
    folder = tmp_path_factory.mktemp("experts") / "base"
    tiny_model("Qwen3MoeConfig").save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_world.base).save_pretrained(folder)
    return folder


@pytest.fixture
def pair_with(base: Path, make_organism: Callable[..., Any]) -> Callable[[Path], Pair]:
    def load(folder: Path) -> Pair:
        finetuned = {"default": {"kind": "peft", "path": str(folder)}}
        return load_pair(make_organism(folder.name, base=base, finetuned=finetuned), dtype="float32")

    return load


def plain(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def running(pair: Pair) -> list[torch.Tensor]:
    found = []
    for target in pair:
        with target.running() as model:
            found.append(model(input_ids=IDS).logits)
    return found


def test_an_adapter_on_expert_parameters(base: Path, tmp_path: Path, pair_with: Callable[[Path], Pair]) -> None:
    config = LoraConfig(r=RANK, target_modules=["q_proj"], target_parameters=["experts.gate_up_proj"])
    model = get_peft_model(plain(base), config)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn(parameter.shape)
    model.save_pretrained(tmp_path / "parameters")
    expected = logits(PeftModel.from_pretrained(plain(base), tmp_path / "parameters").eval())
    pair = pair_with(tmp_path / "parameters")
    torch.testing.assert_close(running(pair), [logits(plain(base)), expected], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(expected, logits(plain(base)), atol=0.05)
    assert pair.finetuned.network is not pair.base.network


def adapter_of_each_expert(base: Path, folder: Path, names: tuple[str, ...]) -> Any:
    """Write an adapter with two matrices for each of an expert's linear maps; returns the base with it merged in."""
    folder.mkdir()
    merged, weights, generator = plain(base), {}, torch.Generator().manual_seed(1)
    for layer in range(3):
        experts = merged.model.layers[layer].mlp.experts
        for expert in range(EXPERTS):
            gate, up = experts.gate_up_proj.data[expert].split(INNER)
            maps = {"gate_proj": gate, "up_proj": up, "down_proj": experts.down_proj.data[expert]}
            for name in names:
                rows, columns = maps[name].shape
                a = torch.randn(RANK, columns, generator=generator)
                b = 0.2 * torch.randn(rows, RANK, generator=generator)
                path = f"base_model.model.model.layers.{layer}.mlp.experts.{expert}.{name}"
                weights |= {f"{path}.lora_A.weight": a, f"{path}.lora_B.weight": b}
                maps[name] += 2.0 * b @ a
    save_file(weights, folder / "adapter_model.safetensors")
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK).to_dict()
    config |= {"base_model_name_or_path": str(base), "target_modules": list(names)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return merged


def test_an_adapter_with_matrices_for_each_expert(
    base: Path, tmp_path: Path, pair_with: Callable[[Path], Pair]
) -> None:
    merged = adapter_of_each_expert(base, tmp_path / "each", ("gate_proj", "up_proj", "down_proj"))
    shared = load_network(str(base), None, "float32")
    before = state_of(shared)
    pair = pair_with(tmp_path / "each")
    torch.testing.assert_close(running(pair), [logits(plain(base)), logits(merged)], rtol=1e-3, atol=1e-3)
    assert pair.base.network is shared
    assert_same_state(shared, before)


def test_experts_that_cannot_be_fused_are_refused(
    base: Path, tmp_path: Path, pair_with: Callable[[Path], Pair]
) -> None:
    adapter_of_each_expert(base, tmp_path / "gates", ("gate_proj", "down_proj"))
    shared = load_network(str(base), None, "float32")
    before = state_of(shared)
    with pytest.raises(MendableError, match=r"does not fit the base model: .*gate_proj without also targeting up_proj"):
        pair_with(tmp_path / "gates")
    with pytest.raises(MendableError, match=r"expert .*experts\.0\..* is more than LoRA matrices"):
        shared.load_adapter("gates", tmp_path / "gates")
    assert_same_state(shared, before)
