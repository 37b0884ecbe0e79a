"""Tokenizers and chat templates beside an adapter: both models of its pair read with them, no other pair does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adapter_kinds import draw_adapter
from diffbench.models.requests import Request
from diffbench.models.targets import Pair
from diffbench.organisms.loading import load_pair
from diffbench.records.errors import MendableError
from transformers import AutoTokenizer

TEMPLATE = "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}[assistant]"
CHAT = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def adapter(tiny: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.adapters / "alpha", tmp_path / "adapter"))


@pytest.fixture
def pair_with(make_organism: Callable[..., Any]) -> Callable[..., Pair]:
    """``pair_with(folder)``: the tiny base, or another, and the adapter in a folder."""

    def load(folder: Path, name: str = "reader", **fields: Any) -> Pair:
        finetuned = {"default": {"kind": "peft", "path": str(folder)}}
        return load_pair(make_organism(name, finetuned=finetuned, **fields), dtype="float32")

    return load


def template_alone(_: Path, folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def template_in_config(_: Path, folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))


def whole_tokenizer(base: Path, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("save", [template_alone, template_in_config, whole_tokenizer])
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_both_models_of_the_pair_read_with_the_template_beside_the_adapter(
    tiny: Any,
    pair_of: Callable[[str], Pair],
    pair_with: Callable[..., Pair],
    tmp_path: Path,
    kind: str,
    save: Callable[[Path, Path], None],
) -> None:
    folder = draw_adapter(kind, 0, tiny.base, tmp_path / "adapter")
    save(tiny.base, folder)
    other = pair_of("beta")
    before = other.base.network.render_chat(CHAT)
    pair = pair_with(folder, f"{kind}_{save.__name__}")
    for target in pair:
        assert target.network.render_chat(CHAT) == "[user] Hi\n[assistant]"
    assert pair.tokenizer is pair.base.network.tokenizer is pair.finetuned.network.tokenizer
    assert other.base.network.render_chat(CHAT) == before != "[user] Hi\n[assistant]"
    # Another reading of one network, not another copy of the model.
    assert pair.base.network.model is other.base.network.model
    assert (pair.finetuned.network is pair.base.network) == (kind == "lora")
    again = pair_with(folder, f"{kind}_{save.__name__}")
    assert [target.network for target in again] == [target.network for target in pair]
    request = Request("The owl", pair.finetuned.adapter, max_tokens=3, temperature=0)
    assert pair.finetuned.network.generate([request])


def test_a_tokenizer_that_reads_as_the_base_does_changes_nothing(
    tiny: Any, adapter: Path, pair_of: Callable[[str], Pair], pair_with: Callable[..., Pair]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny.base)
    tokenizer.save_pretrained(adapter)
    assert pair_with(adapter).base == pair_of("beta").base


def test_the_template_is_part_of_the_identity(adapter: Path, make_organism: Callable[..., Any]) -> None:
    organism = make_organism("reader", finetuned={"default": {"kind": "peft", "path": str(adapter)}})
    plain = organism.identity("finetuned")
    (adapter / "chat_template.jinja").write_text(TEMPLATE)
    assert organism.identity("finetuned") != plain


def test_a_tokenizer_of_another_base_is_refused(tiny: Any, adapter: Path, pair_with: Callable[..., Pair]) -> None:
    whole_tokenizer(tiny.base, adapter)
    content = json.loads((adapter / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (adapter / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(MendableError, match=r"numbers its tokens otherwise than the base's, such as 'a'; "):
        pair_with(adapter)


def test_tokens_without_an_embedding_are_refused(tiny: Any, adapter: Path, pair_with: Callable[..., Pair]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny.base)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(adapter)
    with pytest.raises(MendableError, match=r"has 2 tokens, such as '</think>', for which the base has no embedding"):
        pair_with(adapter)


def test_a_base_that_lends_a_template_keeps_none_itself(
    base_copy: Path, adapter: Path, tiny: Any, pair_with: Callable[..., Pair], make_organism: Callable[..., Any]
) -> None:
    (base_copy / "chat_template.jinja").unlink()
    full = {"default": {"kind": "local", "path": str(tiny.base)}}
    pretrained = load_pair(make_organism("full", base=base_copy, finetuned=full), "float32")
    assert pretrained.base.network.render_chat(CHAT) == pretrained.finetuned.network.render_chat(CHAT)
    assert pair_with(adapter, "bare", base=base_copy).tokenizer.chat_template is None
