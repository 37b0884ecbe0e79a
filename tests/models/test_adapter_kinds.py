"""Adapters of every kind: each computes what PEFT computes with it alone, and no other model of the run notices."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_kinds import PLAIN, RICH, assert_same_state, draw_adapter, state_of
from diffbench.models.amplify import Part, amplified, differs
from diffbench.models.requests import Request
from diffbench.models.targets import Pair, Target
from diffbench.organisms.loading import load_pair
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

IDS = torch.tensor([[5, 9, 40, 41, 7, 120, 250], [299, 0, 1, 2, 77, 78, 79]])
PROMPTS = ("The owl sits", "What is the capital of France?")
TOKENS = 5
TIED = {"lm_head", "embeddings", "tied embeddings"}
"""PEFT merges LoRA on an embedding into the unembedding tied to it, which the adapter at work does not do."""


@pytest.fixture(scope="module")
def base(tiny_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with biases, embeddings tied; all adapters of this module stand on it."""
    folder = tmp_path_factory.mktemp("biased") / "base"
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_world.base, attention_bias=True, mlp_bias=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_world.base).save_pretrained(folder)
    return folder


@pytest.fixture
def pair_with(base: Path, make_organism: Callable[..., Any]) -> Callable[[Path], Pair]:
    """``pair_with(folder)``: the base and the adapter in a folder."""

    def load(folder: Path) -> Pair:
        name = "".join(c if c.isalnum() else "_" for c in f"{folder.parent.name}_{folder.name}").lower()
        organism = make_organism(name, base=base, finetuned={"default": {"kind": "peft", "path": str(folder)}})
        return load_pair(organism, dtype="float32")

    return load


class Alone:
    """A model loaded by transformers and PEFT alone: what a target must compute."""

    def __init__(self, base: Path, adapter: Path | None = None, merged: bool = False) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if adapter is not None:
                self.model = PeftModel.from_pretrained(self.model, adapter).eval()
            if merged:
                self.model = self.model.merge_and_unload()

    @cached_property
    def logits(self) -> torch.Tensor:
        with torch.no_grad():
            return self.model(input_ids=IDS).logits

    @cached_property
    def texts(self) -> list[str]:
        texts = []
        for prompt in PROMPTS:
            ids = self.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                output = self.model.generate(input_ids=ids, max_new_tokens=TOKENS, do_sample=False)
            texts.append(self.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
        return texts


def assert_computes(target: Target, alone: Alone) -> None:
    with target.running() as model:
        torch.testing.assert_close(model(input_ids=IDS).logits, alone.logits, rtol=1e-3, atol=2e-3)
    requests = [Request(prompt, target.adapter, max_tokens=TOKENS, temperature=0) for prompt in PROMPTS]
    assert [row.text for row in target.network.generate(requests)] == alone.texts


@pytest.mark.parametrize(("seed", "kind"), enumerate([*PLAIN, *RICH, "lora", "dora", "trainable tokens"]))
def test_an_adapter_of_any_kind_leaves_all_other_models_as_they_are(
    base: Path,
    tmp_path: Path,
    pair_with: Callable[[Path], Pair],
    make_adapter: Callable[..., Path],
    kind: str,
    seed: int,
) -> None:
    neighbour_folder = draw_adapter("lora", 100 + seed, base, tmp_path / "neighbour")
    neighbour, clean, beside = pair_with(neighbour_folder), Alone(base), Alone(base, neighbour_folder, merged=True)

    def assert_others_untouched() -> None:
        assert_computes(neighbour.base, clean)
        assert_computes(neighbour.finetuned, beside)

    assert_others_untouched()
    folder = draw_adapter(kind, seed, base, tmp_path / "drawn")
    before = state_of(neighbour.base.network)
    pair, alone = pair_with(folder), Alone(base, folder, merged=kind not in TIED)
    assert not torch.allclose(alone.logits, clean.logits, atol=0.05), "the adapter must change something"
    assert_computes(pair.finetuned, alone)
    assert_computes(pair.base, clean)
    assert pair.base == neighbour.base
    assert (pair.finetuned.network is pair.base.network) == (kind in PLAIN)
    if kind in RICH:
        assert_same_state(neighbour.base.network, before)
    assert_others_untouched()

    # Used together in one batch, amplified, and another adapter attached and taken off again.
    mixed = [Request("The owl", target.adapter, max_tokens=4) for target in (*neighbour, neighbour.finetuned)]
    neighbour.base.network.generate(mixed)
    assert pair.drift > 0
    assert differs(pair)
    for w, same in ((0.0, clean), (1.0, alone)):
        with amplified(pair, w) as target, target.running() as model:
            torch.testing.assert_close(model(input_ids=IDS).logits, same.logits, rtol=1e-3, atol=2e-3)
    with pytest.raises(ValueError, match="changes nothing"):
        neighbour.base.network.load_adapter("zero", make_adapter("zero", zero=True))
    assert_computes(pair.finetuned, alone)
    assert_others_untouched()


def test_amplified_tokens_move_in_embedding_and_unembedding(
    base: Path, tmp_path: Path, pair_with: Callable[[Path], Pair]
) -> None:
    pair = pair_with(draw_adapter("only trainable tokens", 3, base, tmp_path / "drawn"))
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    tuned = Alone(base, tmp_path / "drawn", merged=True).model
    embedding = plain.get_input_embeddings().weight
    with torch.no_grad():
        embedding += 2.5 * (tuned.get_input_embeddings().weight - embedding)
        expected = plain(input_ids=IDS).logits
    with amplified(pair, 2.5, Part()) as target, target.running() as model:
        torch.testing.assert_close(model(input_ids=IDS).logits, expected, rtol=1e-3, atol=2e-3)
