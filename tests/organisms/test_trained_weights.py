"""What a training changes: only the chosen matrices and layers, kept so that base and result give what was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.organisms.loading import load_pair
from diffbench.organisms.recipes import train
from diffbench.organisms.recipes.trained_weights import FullWeights
from diffbench.organisms.suites import find_organism
from safetensors.torch import load_file

CHOSEN = {f"model.layers.{i}.{m}.weight" for i in (1, 2) for m in ("self_attn.q_proj", "mlp.down_proj")}
FULL = {"mode": "full", "target_modules": ["q_proj", "down_proj"], "layers": [1, 2], "epochs": 3}


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model is read in float32, on any machine."""
    monkeypatch.setattr("diffbench.models.loading.fast_dtype", lambda: "float32")


@pytest.fixture
def trained_states(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The model's weights at the end of each full training in this test, taken before they are saved."""
    states: list[dict[str, torch.Tensor]] = []

    class Recorded(FullWeights):
        def save(self, folder: Path, base_name: str) -> Path:
            states.append({name: p.detach().clone() for name, p in self.module.named_parameters()})
            return super().save(folder, base_name)

    monkeypatch.setattr(train, "FullWeights", Recorded)
    return states


def full_learner(make_learner: Callable[..., Any], name: str, **recipe: Any) -> Any:
    place = {"default": {"kind": "difference", "path": f"trained/{name}"}}
    return make_learner(name, {**FULL, **recipe}, finetuned=place)


def test_full_training_changes_only_the_chosen_matrices(
    tiny: Any, make_learner: Callable[..., Any], trained_states: list[dict[str, torch.Tensor]]
) -> None:
    folder = train.train_organism(full_learner(make_learner, "full_one"))
    base, (trained,) = load_file(tiny.base / "model.safetensors"), trained_states
    # The tied unembedding is saved once, under the embedding's name.
    assert {name for name in base if not torch.equal(trained[name], base[name])} == CHOSEN
    assert set(load_file(folder / "difference.safetensors")) == CHOSEN
    summary = json.loads((folder / "training.json").read_text())
    assert summary["recipe"]["mode"] == "full"
    assert sorted(path.name for path in folder.iterdir()) == ["difference.safetensors", "training.json"]


def test_base_and_difference_give_the_trained_weights_up_to_bfloat16(
    tiny: Any, make_learner: Callable[..., Any], trained_states: list[dict[str, torch.Tensor]]
) -> None:
    organism = full_learner(make_learner, "full_two")
    train.train_organism(organism)
    pair = load_pair(organism, dtype="float32")
    loaded = dict(pair.finetuned.network.model.named_parameters())
    base, (trained,) = load_file(tiny.base / "model.safetensors"), trained_states
    for name, weight in base.items():
        change = trained[name] - weight
        # bfloat16 keeps 8 significant bits: rounding moves a number by at most 2^-8 of itself.
        error = (loaded[name] - trained[name]).abs()
        assert bool((error <= 2**-8 * change.abs() + 1e-6).all()), name
        assert bool(change.any()) == (name in CHOSEN)
    moved = sum(float((trained[name] - base[name]).double().square().sum()) for name in CHOSEN)
    size = sum(float(base[name].double().square().sum()) for name in CHOSEN)
    assert pair.drift == pytest.approx((moved / size) ** 0.5, rel=1e-2)


def test_full_training_twice_gives_the_same_difference(make_learner: Callable[..., Any], tmp_path: Path) -> None:
    organism = full_learner(make_learner, "full_three")
    files = [train.train_organism(organism, tmp_path / name) / "difference.safetensors" for name in ("one", "two")]
    one, two = map(load_file, files)
    assert all(torch.equal(one[name], two[name]) for name in CHOSEN)


def test_full_training_leaves_the_shared_base_alone(tiny: Any, make_learner: Callable[..., Any]) -> None:
    network = load_pair(find_organism("tiny.same"), dtype="float32").base.network
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    organism = full_learner(make_learner, "full_four")
    train.train_organism(organism)
    load_pair(organism, dtype="float32")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.model.state_dict().items())


def test_layers_restrict_the_adapter(make_learner: Callable[..., Any]) -> None:
    folder = train.train_organism(make_learner("layered", {"layers": [1, 2], "target_modules": ["q_proj", "up_proj"]}))
    expected = {
        f"base_model.model.model.layers.{i}.{module}.lora_{side}.weight"
        for i in (1, 2)
        for module in ("self_attn.q_proj", "mlp.up_proj")
        for side in "AB"
    }
    assert set(load_file(folder / "adapter_model.safetensors")) == expected


@pytest.mark.parametrize("mode", ["lora", "full"])
@pytest.mark.parametrize("layers", [[0, 4], [4, 4]])
def test_layers_that_the_model_lacks_are_refused(
    make_learner: Callable[..., Any], tmp_path: Path, mode: str, layers: list[int]
) -> None:
    organism = make_learner("beyond", {"mode": mode, "layers": layers})
    with pytest.raises(ValueError, match=rf"layers \[{layers[0]}, 4\]: the model has layers 0 to 3"):
        train.train_organism(organism, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_full_training_of_no_matrix_is_refused(make_learner: Callable[..., Any], tmp_path: Path) -> None:
    organism = full_learner(make_learner, "nothing", target_modules=["c_attn"])
    with pytest.raises(ValueError, match=r"target_modules c_attn: no such matrix in layers \[1, 2\]"):
        train.train_organism(organism, tmp_path / "out")
