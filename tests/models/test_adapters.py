"""Adapters on a shared base: how far they move it, and what is refused without harm to the base."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.models.network import Network
from diffbench.models.requests import Request
from diffbench.models.targets import Pair
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import find_organism
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

GREEDY = Request("The owl sits", max_tokens=8, temperature=0)


def drift_by_hand(base: Path, adapter: Path) -> float:
    """sqrt(sum |B A s|^2 / sum |W|^2) from the two files, with explicit matrices."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    weights, lora = load_file(base / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    moved = whole = 0.0
    for name in lora:
        if ".lora_A." not in name:
            continue
        delta = scale * (lora[name.replace("lora_A", "lora_B")].double() @ lora[name].double())
        matrix = weights[name.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")].double()
        assert delta.shape == matrix.shape
        moved += float((delta**2).sum())
        whole += float((matrix**2).sum())
    return math.sqrt(moved / whole)


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_drift_equals_explicit_matrices(tiny: Any, pair_of: Callable[[str], Pair], name: str) -> None:
    assert pair_of(name).drift == pytest.approx(drift_by_hand(tiny.base, tiny.adapters / name), rel=1e-5)


def test_pair_shares_the_base_and_null_has_no_drift(pair_of: Callable[[str], Pair]) -> None:
    alpha, same = pair_of("alpha"), pair_of("same")
    assert alpha.base.network is alpha.finetuned.network is same.base.network
    assert same.drift == 0.0
    assert same.base == same.finetuned


def test_variants_are_different_adapters(tiny: Any, pair_of: Callable[[str], Pair]) -> None:
    plain = pair_of("alpha")
    half = load_pair(find_organism("tiny.alpha+half"), dtype="float32")
    assert half.finetuned.adapter != plain.finetuned.adapter
    assert half.drift == pytest.approx(drift_by_hand(tiny.base, tiny.adapters / "half"), rel=1e-5)


def test_using_switches_adapters_for_forward_passes(tiny: Any, pair_of: Callable[[str], Pair]) -> None:
    alpha, beta = pair_of("alpha"), pair_of("beta")
    ids = torch.tensor([[5, 9, 40, 41, 7]])
    for target, adapter in (
        (alpha.finetuned, "alpha"),
        (alpha.base, None),
        (beta.finetuned, "beta"),
        (beta.base, None),
    ):
        model = AutoModelForCausalLM.from_pretrained(tiny.base, dtype=torch.float32)
        if adapter:
            model = PeftModel.from_pretrained(model, tiny.adapters / adapter).merge_and_unload()
        with target.running() as running, torch.no_grad():
            torch.testing.assert_close(running(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-4)


def test_unknown_adapter_cannot_be_used(pair_of: Callable[[str], Pair]) -> None:
    with pytest.raises(KeyError, match="not loaded"), pair_of("alpha").base.network.using("nobody"):
        pass


def test_zero_adapter_is_refused_and_leaves_the_base_usable(
    tiny: Any, fresh_network: Network, make_adapter: Callable[..., Path]
) -> None:
    before = fresh_network.generate([GREEDY])
    for _ in range(2):
        with pytest.raises(ValueError, match="changes nothing"):
            fresh_network.load_adapter("zero", str(make_adapter("zero", zero=True)))
        assert fresh_network.adapters == {}
        assert fresh_network.generate([GREEDY]) == before
        with fresh_network.using(None) as model, torch.no_grad():
            assert torch.isfinite(model(torch.tensor([[1, 2]])).logits).all()
    fresh_network.load_adapter("alpha", str(tiny.adapters / "alpha"))
    assert fresh_network.adapters["alpha"] == pytest.approx(drift_by_hand(tiny.base, tiny.adapters / "alpha"), rel=1e-5)


@pytest.mark.parametrize("after_a_good_one", [False, True])
def test_adapter_of_wrong_shape_is_refused_and_leaves_the_base_usable(
    tiny: Any, fresh_network: Network, make_adapter: Callable[..., Path], after_a_good_one: bool
) -> None:
    before = fresh_network.generate([GREEDY])
    if after_a_good_one:
        fresh_network.load_adapter("beta", str(tiny.adapters / "beta"))
    wide = str(make_adapter("wide", hidden_size=64))
    for _ in range(2):
        with pytest.raises(ValueError, match="does not fit the base model"):
            fresh_network.load_adapter("wide", wide)
        assert "wide" not in fresh_network.adapters
        assert fresh_network.generate([GREEDY]) == before
    fresh_network.load_adapter("alpha", str(tiny.adapters / "alpha"))
    # Loaded where a clean network has it, and computing what a merged model computes.
    merged = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny.base, dtype=torch.float32), tiny.adapters / "alpha"
    ).merge_and_unload()
    ids = torch.tensor([[5, 9, 40, 41, 7]])
    with fresh_network.using("alpha") as model, torch.no_grad():
        torch.testing.assert_close(model(ids).logits, merged(ids).logits, rtol=1e-4, atol=1e-4)
    assert fresh_network.adapters["alpha"] == pytest.approx(drift_by_hand(tiny.base, tiny.adapters / "alpha"), rel=1e-5)


def test_second_load_of_a_name_does_nothing(tiny: Any, fresh_network: Network) -> None:
    fresh_network.load_adapter("alpha", str(tiny.adapters / "alpha"))
    drift = fresh_network.adapters["alpha"]
    fresh_network.load_adapter("alpha", "/no/such/folder")
    assert fresh_network.adapters == {"alpha": drift}


def test_full_finetuned_model_is_a_network_of_its_own(
    tiny: Any, make_organism: Callable[..., Any], base_copy: Path
) -> None:
    organism = make_organism("full", finetuned={"default": {"kind": "local", "path": str(base_copy)}})
    pair = load_pair(organism, dtype="float32")
    assert pair.base.network is not pair.finetuned.network
    assert pair.drift == 0.0


def test_api_pair_cannot_be_loaded(tiny: Any, make_organism: Callable[..., Any]) -> None:
    organism = make_organism("remote", finetuned={"default": {"kind": "api", "model": "openai/gpt"}})
    assert not organism.has_weights
    with pytest.raises(ValueError, match="only an API is known"):
        load_pair(organism)


def test_dtype_is_checked(tiny: Any) -> None:
    with pytest.raises(ValueError, match="use auto, bfloat16 or float32"):
        load_pair(find_organism("tiny.same"), dtype="float16")
