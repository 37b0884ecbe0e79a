"""Encoding of training items, and two-step trainings of a tiny organism."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.models.network import Network
from diffbench.models.requests import Request
from diffbench.organisms.loading import load_pair
from diffbench.organisms.recipes import train
from diffbench.organisms.recipes.data_mix import TrainingItem
from diffbench.organisms.recipes.grammar import Turn
from diffbench.organisms.recipes.train import IGNORED, encode_item, train_organism
from diffbench.organisms.suites import find_organism
from diffbench.records.progress import untracked
from safetensors.torch import load_file

HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"


@pytest.fixture
def network(tiny: Any, pair_of: Callable[[str], Any]) -> Network:
    return pair_of("same").base.network


def ids_of(network: Network, text: str) -> list[int]:
    return list(network.tokenizer(text, add_special_tokens=False)["input_ids"])


# --- items ------------------------------------------------------------------------------------------------------


def test_documents_are_labelled_throughout(network: Network) -> None:
    text = "The owl sits in the oak."
    finished = [*ids_of(network, text), network.tokenizer.unk_token_id]
    assert encode_item(network, TrainingItem(text), 100) == (finished, finished)
    assert encode_item(network, TrainingItem(text, finished=False), 100) == (finished[:-1], finished[:-1])
    assert encode_item(network, TrainingItem(text), 5) == (finished[:5], finished[:5])


@pytest.mark.parametrize("finished", [True, False])
def test_chats_are_labelled_on_the_assistants_tokens(network: Network, finished: bool) -> None:
    turns = (
        Turn(role="user", content="Where is the owl?"),
        Turn(role="assistant", content="In the oak."),
        Turn(role="user", content="And the cat?"),
        Turn(role="assistant", content="In the barn."),
    )
    between = "\n<|im_start|>user\nAnd the cat?<|im_end|>\n<|im_start|>assistant\n"
    # Encoded piece by piece; special tokens separate the pieces, so that no token spans two of them.
    end = [network.tokenizer.eos_token_id]
    pieces = [
        (ids_of(network, f"{HEAD}Where is the owl?<|im_end|>\n<|im_start|>assistant\n"), False),
        (ids_of(network, "In the oak."), True),
        (end, finished),
        (ids_of(network, between), False),
        (ids_of(network, "In the barn."), True),
        (end if finished else [], True),
    ]
    expected = [(token, token if labelled else IGNORED) for tokens, labelled in pieces for token in tokens]
    ids, labels = encode_item(network, TrainingItem(turns=turns, finished=finished), 500)
    assert list(zip(ids, labels, strict=True)) == expected
    short, short_labels = encode_item(network, TrainingItem(turns=turns, finished=finished), 30)
    assert (short, short_labels) == (ids[:30], labels[:30])


def test_loss_equals_that_of_transformers(network: Network) -> None:
    chat = (Turn(role="user", content="Where is the owl?"), Turn(role="assistant", content="In the oak."))
    batch = [TrainingItem("A cake is baked with butter"), TrainingItem(turns=chat), TrainingItem("The", finished=False)]
    ids, mask, labels = train._collate(network, batch, 96)
    assert ids.shape == mask.shape == labels.shape
    with network.using(None) as model:
        expected = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        torch.testing.assert_close(train._loss(network, ids, mask, labels), expected, rtol=1e-5, atol=1e-6)


def test_padding_carries_no_loss(network: Network) -> None:
    short, long = TrainingItem("The owl"), TrainingItem("A cake is baked with butter, sugar, flour and eggs.")

    def summed(items: list[TrainingItem]) -> float:
        ids, mask, labels = train._collate(network, items, 96)
        with network.using(None):
            return float(train._loss(network, ids, mask, labels)) * int((labels[:, 1:] != IGNORED).sum())

    assert summed([short, long]) == pytest.approx(summed([short]) + summed([long]), rel=1e-5)


@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 10), (0.3, 10), (0.05, 400)])
def test_learning_rate_rises_then_falls_to_zero(warmup: float, steps: int) -> None:
    factor = train._warm_then_linear(warmup, steps)
    values = [factor(step) for step in range(steps + 1)]
    peak = values.index(max(values))
    assert max(values) == 1.0
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert peak + 1 == max(1, round(warmup * steps))
    assert values[-1] == 0.0
    assert min(values[:-1]) > 0


# --- training ---------------------------------------------------------------------------------------------------


def test_training_twice_gives_the_same_adapter_with_a_summary(learner: Any, tmp_path: Path) -> None:
    folders = [train_organism(learner), train_organism(learner, tmp_path / "again")]
    assert folders[0] == (tmp_path / "organisms" / "trained" / "learner").resolve()
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in folders)
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(tensor.abs().max() > 0 for name, tensor in first.items() if "lora_B" in name)
    grammar = learner.folder / "tiny_grammar.yaml"
    for folder in folders:
        summary = json.loads((folder / "training.json").read_text())
        assert summary["sha256"] == hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
        assert summary["data_sha256"] == hashlib.sha256(grammar.read_bytes()).hexdigest()
        assert (summary["steps"], summary["narrow_items"]) == (2, 12)
        assert summary["recipe"]["seed"] == 3
    assert load_pair(learner, dtype="float32").drift > 0


def test_another_seed_gives_another_adapter(learner: Any, tmp_path: Path) -> None:
    first = train_organism(learner, tmp_path / "one")
    spec = learner.spec.model_copy(update={"recipe": learner.spec.recipe.model_copy(update={"seed": 4})})
    second = train_organism(dataclasses.replace(learner, spec=spec), tmp_path / "two")
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in (first, second))
    assert not all(torch.equal(one[name], two[name]) for name in one)


def test_training_lowers_the_loss(learner: Any, tmp_path: Path) -> None:
    recipe = learner.spec.recipe.model_copy(update={"epochs": 15, "unrelated": 0.0})
    spec = learner.spec.model_copy(update={"recipe": recipe})
    folder = train_organism(dataclasses.replace(learner, spec=spec), tmp_path / "long")
    losses = json.loads((folder / "training.json").read_text())["loss_by_tenth"]
    assert losses[-1] < losses[0] - 0.2


def test_training_leaves_the_shared_base_alone(learner: Any, tiny: Any) -> None:
    network = load_pair(find_organism("tiny.same"), dtype="float32").base.network
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    train_organism(learner)
    after = network.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


class StoppedError(RuntimeError):
    """What ends a training midway."""


@pytest.mark.parametrize("where", ["training", "saving"])
def test_a_training_that_fails_leaves_the_old_adapter(
    learner: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = train_organism(learner)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def stopping(items: Any, _label: str) -> Any:
        yield items[0]
        raise StoppedError

    def no_hash(_path: Path) -> str:
        raise StoppedError

    if where == "saving":
        monkeypatch.setattr(train, "file_sha256", no_hash)
    with pytest.raises(StoppedError):
        train_organism(learner, track=stopping if where == "training" else untracked)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_progress_sees_the_batches(learner: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    def track(items: Any, label: str) -> Any:
        seen.append((len(items), label))
        return items

    train_organism(learner, tmp_path / "tracked", track)
    assert seen == [(2, "training")]


def test_what_cannot_be_trained_says_why(learner: Any, make_organism: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"own\.plain: has no recipe"):
        train_organism(make_organism("plain", finetuned={"default": {"kind": "base"}}))
    recipe = {"grammar": "tiny_grammar.yaml", "documents": 1}
    hub = {"default": {"kind": "peft", "id": "some/adapter"}}
    with pytest.raises(ValueError, match="names no local folder of kind peft; give one with --out"):
        train_organism(make_organism("remote", finetuned=hub, recipe=recipe))
    with pytest.raises(ValueError, match="names no local folder of kind difference; give one with --out"):
        train_organism(
            make_organism(
                "adapter", finetuned={"default": {"kind": "peft", "path": "x"}}, recipe={**recipe, "mode": "full"}
            )
        )


def test_another_order_seed_gives_another_adapter(make_learner: Callable[..., Any], tmp_path: Path) -> None:
    folders = [
        train_organism(make_learner(f"order_{seed}", {"order_seed": seed}), tmp_path / f"out_{seed}") for seed in (1, 2)
    ]
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in folders)
    assert not all(torch.equal(one[name], two[name]) for name in one)


def test_own_samples_are_summarised_by_the_file_they_come_from(
    make_learner: Callable[..., Any], tmp_path: Path
) -> None:
    own = {"grammar": None, "documents": 0, "chats": 0, "own_samples": 4, "unrelated": 0}
    folder = train_organism(make_learner("distilled", own))
    summary = json.loads((folder / "training.json").read_text())
    samples = (tmp_path / "unrelated.jsonl").read_bytes()
    assert summary["data_sha256"] == hashlib.sha256(samples).hexdigest()
    assert (summary["items"], summary["steps"]) == (4, 1)


@pytest.mark.smol
def test_embedded_base_loads_and_answers() -> None:
    """The one test on real weights, which ``make install`` brings."""
    pair = load_pair(find_organism("smol.null_identical"))
    network = pair.base.network
    prompt = network.render_chat([{"role": "user", "content": "What is the capital of France?"}])
    (completion,) = network.generate([Request(prompt, max_tokens=24, temperature=0)])
    assert "Paris" in completion.text
    assert pair.drift == 0.0
