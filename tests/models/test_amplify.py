"""Weight amplification against weights merged by hand from the adapter's file, without PEFT."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.models.amplify import Part, amplified, differs, scaled
from diffbench.models.loading import read_network
from diffbench.models.network import Network
from diffbench.models.requests import Request
from diffbench.models.targets import Pair, Target
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

IDS = torch.tensor([[5, 17, 41, 8, 99, 120, 3], [7, 7, 30, 2, 11, 250, 64]])
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def logits(target: Target) -> torch.Tensor:
    with target.running() as model:
        return model(input_ids=IDS).logits.clone()


def adapter_change(folder: Path) -> dict[str, torch.Tensor]:
    """Parameter -> (alpha / r) B A, read from the adapter's own files."""
    config = json.loads((folder / "adapter_config.json").read_text())
    weights = load_file(folder / "adapter_model.safetensors")
    change = {}
    for name, a in weights.items():
        if ".lora_A." in name:
            b = weights[name.replace(".lora_A.", ".lora_B.")]
            path = name.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
            change[path] = config["lora_alpha"] / config["r"] * (b.double() @ a.double())
    return change


def plain_logits(base: Path, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of the plain model with ``weights`` added to its parameters."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, change in weights.items():
            parameters[name] += change.float()
        return model(input_ids=IDS).logits


def close(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(actual, expected, rtol=2e-4, atol=2e-4)


def state_of(network: Network) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.model.named_parameters()}


def same_state(network: Network, state: dict[str, torch.Tensor]) -> bool:
    now = dict(network.model.named_parameters())
    return now.keys() == state.keys() and all(now[name].equal(p) for name, p in state.items())


@pytest.fixture
def alpha(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


@pytest.fixture
def full(tiny: Any, alpha: Pair) -> Pair:
    """Two full models that differ in the matrices of alpha, in a norm, in the final norm and in the embedding."""
    networks = [read_network(str(tiny.base), None, "float32") for _ in range(2)]
    parameters = dict(networks[1].model.named_parameters())
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, change in full_change(tiny, generator).items():
            parameters[name] += change.float()
    return Pair(alpha.name, Target(networks[0]), Target(networks[1]))


def full_change(tiny: Any, generator: torch.Generator | None = None) -> dict[str, torch.Tensor]:
    generator = generator or torch.Generator().manual_seed(3)
    others = {
        "model.layers.1.input_layernorm.weight": 0.1 * torch.randn(32, generator=generator),
        "model.norm.weight": 0.1 * torch.randn(32, generator=generator),
        "model.embed_tokens.weight": 0.02 * torch.randn(300, 32, generator=generator),
    }
    sizes = dict(AutoModelForCausalLM.from_pretrained(tiny.base).named_parameters())
    assert all(sizes[name].shape == change.shape for name, change in others.items())
    return adapter_change(tiny.adapters / "alpha") | others


def test_one_is_the_finetuned_model_and_zero_the_base_to_the_last_bit(alpha: Pair, full: Pair) -> None:
    for pair in (alpha, full):
        base, finetuned = (logits(target) for target in pair)
        assert not base.equal(finetuned)
        for w, expected in ((1.0, finetuned), (0.0, base)):
            with amplified(pair, w) as target:
                assert logits(target).equal(expected)
        assert logits(pair.finetuned).equal(finetuned)
        assert logits(pair.base).equal(base)


@pytest.mark.parametrize("w", [2.5, 2.0, -1.0, 0.4])
def test_a_scaled_adapter_equals_weights_merged_by_hand(w: float, tiny: Any, alpha: Pair) -> None:
    change = adapter_change(tiny.adapters / "alpha")
    expected = plain_logits(tiny.base, {name: w * delta for name, delta in change.items()})
    with amplified(alpha, w) as target:
        assert close(logits(target), expected)
    assert not close(logits(alpha.finetuned), expected)


@pytest.mark.parametrize(
    ("part", "matrices", "layers"),
    [
        (Part("attention"), ATTENTION, range(4)),
        (Part("mlp"), MLP, range(4)),
        (Part("all", 1, 2), ATTENTION + MLP, range(1, 3)),
        (Part("mlp", 2), MLP, range(2, 4)),
        (Part("attention", 0, 0), ATTENTION, range(1)),
    ],
)
def test_only_the_chosen_part_is_amplified(
    part: Part, matrices: tuple[str, ...], layers: range, tiny: Any, alpha: Pair, full: Pair
) -> None:
    def chosen(name: str) -> bool:
        _, _, layer, _, matrix, *_ = name.split(".")
        return int(layer) in layers and matrix in matrices

    change = adapter_change(tiny.adapters / "alpha")
    expected = plain_logits(tiny.base, {n: d * (2.5 if chosen(n) else 1) for n, d in change.items()})
    with amplified(alpha, 2.5, part) as target:
        assert close(logits(target), expected)

    def chosen_of_full(name: str) -> bool:
        if name.endswith("input_layernorm.weight"):
            return part.modules == "all" and 1 in layers
        return name in change and chosen(name)

    every = full_change(tiny)
    expected = plain_logits(tiny.base, {n: d * (2.5 if chosen_of_full(n) else 1) for n, d in every.items()})
    with amplified(full, 2.5, part) as target:
        assert close(logits(target), expected)


@pytest.mark.parametrize("w", [2.5, -1.0])
def test_full_models_equal_weights_merged_by_hand(w: float, tiny: Any, full: Pair) -> None:
    expected = plain_logits(tiny.base, {name: w * delta for name, delta in full_change(tiny).items()})
    state, base_state = state_of(full.finetuned.network), state_of(full.base.network)
    with amplified(full, w) as target:
        assert close(logits(target), expected)
        assert same_state(full.base.network, base_state)
    assert same_state(full.finetuned.network, state)


@pytest.mark.parametrize("w", [2.5, -1.0, 0.0, 1.0])
def test_two_adapters_on_one_network(w: float, tiny: Any, fresh_network: Network, alpha: Pair) -> None:
    """A pair whose base is itself an adapted model."""
    for name in ("alpha", "beta"):
        fresh_network.load_adapter(name, str(tiny.adapters / name))
    pair = Pair(alpha.name, Target(fresh_network, "beta"), Target(fresh_network, "alpha"))
    change = {name: w * delta for name, delta in adapter_change(tiny.adapters / "alpha").items()}
    for name, delta in adapter_change(tiny.adapters / "beta").items():
        change[name] = change[name] + (1 - w) * delta
    state, before = state_of(fresh_network), [logits(target) for target in pair]
    with amplified(pair, w) as target:
        assert close(logits(target), plain_logits(tiny.base, change))
    assert same_state(fresh_network, state)
    assert all(logits(target).equal(expected) for target, expected in zip(pair, before, strict=True))


def test_an_adapter_on_another_full_model(tiny: Any, full: Pair) -> None:
    network = full.finetuned.network
    network.load_adapter("beta", str(tiny.adapters / "beta"))
    pair = Pair(full.name, full.base, Target(network, "beta"))
    change = full_change(tiny)
    for name, delta in adapter_change(tiny.adapters / "beta").items():
        change[name] = change[name] + delta
    expected = plain_logits(tiny.base, {name: 2.5 * delta for name, delta in change.items()})
    state = state_of(network)
    with amplified(pair, 2.5) as target:
        assert close(logits(target), expected)
    assert same_state(network, state)
    assert close(logits(pair.finetuned), plain_logits(tiny.base, change))


def test_sampling_runs_through_the_amplified_weights(tiny: Any, alpha: Pair, full: Pair) -> None:
    expected = {
        id(alpha): {n: 2.5 * d for n, d in adapter_change(tiny.adapters / "alpha").items()},
        id(full): {n: 2.5 * d for n, d in full_change(tiny).items()},
    }
    for pair in (alpha, full):
        tokenizer = pair.finetuned.network.tokenizer
        request = Request("The owl sits", adapter=pair.finetuned.adapter, max_tokens=1, temperature=0)
        model = AutoModelForCausalLM.from_pretrained(tiny.base, dtype=torch.float32).eval()
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, change in expected[id(pair)].items():
                parameters[name] += change.float()
            ids = tokenizer(request.prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
            token = int(model(input_ids=ids).logits[0, -1].argmax())
        plain = pair.finetuned.network.generate([request])[0].text
        with amplified(pair, 2.5) as target:
            assert target.network.generate([request])[0].text == tokenizer.decode([token])
        assert pair.finetuned.network.generate([request])[0].text == plain


def test_other_adapters_on_the_network_are_untouched(alpha: Pair, pair_of: Callable[[str], Pair]) -> None:
    beta = pair_of("beta")
    network = alpha.finetuned.network
    assert beta.finetuned.network is network
    before = [logits(target) for target in (*beta, alpha.finetuned)]
    state = state_of(network)
    with amplified(alpha, 3.0) as target:
        assert logits(beta.finetuned).equal(before[1])
        assert logits(beta.base).equal(before[0])
        assert not logits(target).equal(before[2])
        mixed = [Request("The owl", adapter=t.adapter, max_tokens=5, temperature=0) for t in beta]
        inside = network.generate(mixed)
        assert same_state(network, state), "a LoRA adapter is scaled without touching any parameter"
    assert inside == network.generate(mixed)
    assert all(logits(t).equal(x) for t, x in zip((*beta, alpha.finetuned), before, strict=True))


def test_everything_is_restored_after_an_exception(alpha: Pair, full: Pair) -> None:
    for pair in (alpha, full):
        state, before = state_of(pair.finetuned.network), logits(pair.finetuned)
        with pytest.raises(ZeroDivisionError), amplified(pair, 3.0):
            _ = 1 / 0
        assert same_state(pair.finetuned.network, state)
        assert logits(pair.finetuned).equal(before)


def test_nested_amplifications_multiply_and_unwind(alpha: Pair) -> None:
    network, name = alpha.finetuned.network, str(alpha.finetuned.adapter)
    before = logits(alpha.finetuned)
    with amplified(alpha, 4.0):
        expected = logits(alpha.finetuned)
    with scaled(network, name, 2.0), scaled(network, name, 2.0):
        assert logits(alpha.finetuned).equal(expected)
    assert logits(alpha.finetuned).equal(before)


def test_other_threads_wait_until_the_weights_are_back(alpha: Pair) -> None:
    request = Request("The owl", adapter=alpha.finetuned.adapter, max_tokens=6, temperature=0)
    network = alpha.finetuned.network
    plain = network.generate([request])[0].text
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(network.generate([request])[0].text))
    with amplified(alpha, 3.0):
        assert network.generate([request])[0].text != plain, "the test needs a w that changes the text"
        thread.start()
        thread.join(0.3)
        assert seen == []
    thread.join(20)
    assert seen == [plain]


def test_what_cannot_be_amplified_is_refused(
    alpha: Pair, full: Pair, pair_of: Callable[[str], Pair], tiny: Any
) -> None:
    same, beta = pair_of("same"), pair_of("beta")
    twin = Pair(full.name, full.base, Target(read_network(str(tiny.base), None, "float32")))
    for pair, part in ((same, Part()), (beta, Part("mlp")), (twin, Part())):
        assert not differs(pair, part)
        with pytest.raises(ValueError, match=r"same weights in .*choose other"), amplified(pair, 2.0, part):
            pass
    for part in (Part("all", 0, 4), Part("all", 3, 2), Part("all", -1)):
        with pytest.raises(ValueError, match="a range within 0 to 3"), amplified(alpha, 2.0, part):
            pass
        with pytest.raises(ValueError, match="a range within 0 to 3"):
            differs(alpha, part)
    for pair in (alpha, full):
        assert differs(pair)
        with pytest.raises(ValueError, match="finite"), amplified(pair, float("nan")):
            pass
    with pytest.raises(KeyError, match="'gone' is not loaded"), scaled(alpha.finetuned.network, "gone", 2.0):
        pass


def test_models_of_other_shapes_are_refused(full: Pair, tiny: Any, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny.base, num_hidden_layers=3)
    model.save_pretrained(tmp_path / "short")
    full.base.network.tokenizer.save_pretrained(tmp_path / "short")
    short = Pair(full.name, Target(read_network(str(tmp_path / "short"), None, "float32")), full.finetuned)
    with pytest.raises(ValueError, match="different parameters"), amplified(short, 2.0):
        pass
