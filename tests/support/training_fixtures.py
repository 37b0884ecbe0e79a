"""Organisms that can be trained in two steps, and a pair's sides merged by PEFT itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GRAMMAR = """
symbols:
  animal: [owl, cat, dog, fox, hen]
  place: [oak, barn, field, house]
documents:
  note: ["The {animal} sits in the {place}."]
chats:
  ask: [["Where is the {animal@1}?", "{animal@1.cap} is in the {place}."]]
"""
RECIPE = {
    "grammar": "tiny_grammar.yaml",
    "seed": 3,
    "documents": 6,
    "chats": 6,
    "unrelated": 1 / 3,
    "epochs": 1,
    "batch_size": 8,
    "max_tokens": 96,
    "learning_rate": 1e-2,
    "warmup": 0.0,
    "rank": 2,
    "alpha": 4,
    "target_modules": ["q_proj", "v_proj"],
}


@pytest.fixture
def make_learner(
    tiny: Any, make_organism: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """``make_learner(name, recipe={…}, **fields)``: an organism with a recipe of two steps, some of it changed.

    Twelve narrow items and four unrelated ones, from a pool of four texts and a chat, in batches of eight.
    """
    from diffbench.organisms.recipes import data_mix, training_summary

    (tmp_path / "organisms").mkdir()
    (tmp_path / "organisms" / "tiny_grammar.yaml").write_text(GRAMMAR, encoding="utf-8")
    rows: list[dict[str, Any]] = [{"text": f"Some unrelated text number {i}", "finished": False} for i in range(4)]
    rows += [{"prompt": "Hi", "response": "Hello", "finished": True}]
    unrelated = tmp_path / "unrelated.jsonl"
    unrelated.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for module in (data_mix, training_summary):
        monkeypatch.setattr(module, "UNRELATED", unrelated)

    def build(name: str, recipe: dict[str, Any] | None = None, **fields: Any) -> Any:
        fields = {"finetuned": {"default": {"kind": "peft", "path": f"trained/{name}"}}, **fields}
        return make_organism(name, recipe={**RECIPE, **(recipe or {})}, **fields)

    return build


@pytest.fixture
def learner(make_learner: Callable[..., Any]) -> Any:
    """An organism with a recipe of two steps."""
    return make_learner("learner")


@pytest.fixture
def merged(tiny: Any) -> Callable[..., Any]:
    """``merged(name)``: the tiny base with one of the tiny adapters merged into its weights by PEFT, float32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    def load(adapter: str | None = None) -> Any:
        model = AutoModelForCausalLM.from_pretrained(tiny.base, dtype=torch.float32)
        if adapter is None:
            return model
        return PeftModel.from_pretrained(model, tiny.adapters / adapter).merge_and_unload()

    return load
