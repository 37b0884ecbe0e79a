"""Adapter files that are not whole, or not of this base: refused by name, leaving no trace on the shared base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_kinds import assert_same_state, draw_adapter, state_of
from diffbench.models.adapter_files import read_adapter
from diffbench.models.loading import load_adapted, read_network
from diffbench.models.network import Network
from diffbench.organisms.loading import load_pair
from diffbench.records.errors import MendableError
from safetensors.torch import load_file, save_file

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture
def adapter(tiny: Any, tmp_path: Path) -> Path:
    """A copy of a plain LoRA adapter that a test may spoil."""
    return Path(shutil.copytree(tiny.adapters / "alpha", tmp_path / "adapter"))


def configure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def point(folder: Path) -> None:
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")


def poison(value: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        def change(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            next(iter(weights.values()))[0, 0] = value
            return weights

        rewrite(folder, change)

    return spoil


def halve(folder: Path) -> None:
    rewrite(folder, lambda weights: {k: v for k, v in weights.items() if ".layers.2." not in k and ".3." not in k})


def extend(folder: Path) -> None:
    rewrite(
        folder, lambda weights: weights | {k.replace("layers.3", "layers.9"): v.clone() for k, v in weights.items()}
    )


def garble(folder: Path) -> None:
    (folder / CONFIG).write_text('{"peft_type": "LORA"')


def no_type(folder: Path) -> None:
    (folder / CONFIG).write_text('{"r": 4}')


SPOILED = {
    "truncated": (cut, rf"{WEIGHTS}: cut off or no safetensors file.*download it"),
    "pointer": (point, rf"{WEIGHTS} is a git-lfs pointer.*git lfs pull"),
    "nan": (poison(float("nan")), rf"{WEIGHTS}: base_model.*not finite; .*earlier checkpoint"),
    "infinity": (poison(float("inf")), rf"{WEIGHTS}: base_model.*not finite"),
    "half of the layers": (halve, rf"{WEIGHTS}: 28 weights are missing: .*and 25 more; .*download or save it again"),
    "other layers": (extend, rf"{WEIGHTS}: 14 weights have no place in the base model: .*layers\.9"),
    "no JSON": (garble, rf"{CONFIG}: no valid JSON"),
    "no adapter": (no_type, rf"{CONFIG}: names no peft_type"),
    "other modules": (lambda f: configure(f, target_modules=["c_attn"]), "does not fit the base model: .*c_attn"),
    "other rank": (lambda f: configure(f, r=5), "does not fit the base model: .*size mismatch"),
}


@pytest.mark.parametrize("beside_another", [False, True])
@pytest.mark.parametrize("fault", SPOILED)
def test_a_spoiled_adapter_is_refused_and_leaves_no_trace(
    tiny: Any, fresh_network: Network, adapter: Path, fault: str, beside_another: bool
) -> None:
    spoil, message = SPOILED[fault]
    if beside_another:
        fresh_network.load_adapter("beta", tiny.adapters / "beta")
    before = state_of(fresh_network)
    spoil(adapter)
    with pytest.raises(MendableError, match=message):
        fresh_network.load_adapter("spoiled", adapter)
    assert_same_state(fresh_network, before)


@pytest.mark.parametrize("fault", ["nan", "half of the layers", "other modules"])
def test_spoiled_adapters_that_are_more_than_lora_are_refused_as_well(tiny: Any, tmp_path: Path, fault: str) -> None:
    spoil, message = SPOILED[fault]
    folder = draw_adapter("dora", 0, tiny.base, tmp_path / "dora", target_modules=["q_proj"])
    spoil(folder)
    with pytest.raises(MendableError, match=message.replace("28", "6").replace("25", "3")):
        load_adapted(str(tiny.base), folder, None, "float32")


def test_a_missing_file_is_named(adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match=rf"{WEIGHTS} is missing; save the adapter .*safe_serialization"):
        read_adapter(adapter)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"layer_replication": [[0, 2], [1, 4]]},
            "layer_replication is set, and it repeats layers of the base; name",
        ),
        ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens is set, and it works only behind"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights pissa_niter_4 changes the base in a way"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights loftq .*as plain LoRA .*or name a full finetuned model"),
        ({"peft_type": "XLORA", "adapters": {"a": "b"}}, "peft_type XLORA|does not fit"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(
    tiny: Any, fresh_network: Network, adapter: Path, changes: dict[str, Any], message: str
) -> None:
    configure(adapter, **changes)
    with pytest.raises(MendableError, match=message):
        load_adapted(str(tiny.base), adapter, None, "float32")
    with pytest.raises(MendableError, match="is more than LoRA matrices, and the base is shared"):
        fresh_network.load_adapter("rich", adapter)


def test_prompt_tuning_is_refused_by_name(tiny: Any, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny.base)
    get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)).save_pretrained(
        tmp_path / "prompt"
    )
    with pytest.raises(MendableError, match=r"peft_type PROMPT_TUNING\): it adds to the prompt and changes no weight"):
        load_adapted(str(tiny.base), tmp_path / "prompt", None, "float32")


def test_embeddings_of_another_vocabulary_are_refused(tiny: Any, tmp_path: Path) -> None:
    folder = draw_adapter("saved embeddings and lm_head", 0, tiny.base, tmp_path / "drawn")

    def grow(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: torch.cat([v, v[:2]]) if v.shape[0] == 300 else v for k, v in weights.items()}

    rewrite(folder, grow)
    with pytest.raises(MendableError, match=r"has 302 rows and the base 300: .*tokens added to the vocabulary"):
        load_adapted(str(tiny.base), folder, None, "float32")


def test_a_zero_adapter_of_another_kind_changes_nothing(tiny: Any, tmp_path: Path) -> None:
    folder = draw_adapter("ia3", 0, tiny.base, tmp_path / "drawn", moved=0.0)
    with pytest.raises(MendableError, match=r"changes nothing \(drift 0\)"):
        load_adapted(str(tiny.base), folder, None, "float32")


def test_an_adapter_of_another_base_of_the_same_shape_is_refused(
    tiny: Any, base_copy: Path, adapter: Path, make_organism: Callable[..., Any]
) -> None:
    weights = load_file(base_copy / "model.safetensors")
    save_file({k: 2 * v for k, v in weights.items()}, base_copy / "model.safetensors", metadata={"format": "pt"})
    finetuned = {"default": {"kind": "peft", "path": str(adapter)}}
    with pytest.raises(MendableError, match=rf"trained on {tiny.base}, whose weights are not those of {base_copy}"):
        load_pair(make_organism("stranger", base=base_copy, finetuned=finetuned), "float32")


@pytest.mark.parametrize(
    ("named", "warned"),
    [("meta/Other-7B", True), ("mirror/Base-unsloth-bnb-4bit", False), ("maker/base", False), (None, False)],
)
def test_a_base_under_another_name_is_noted(
    tiny: Any, adapter: Path, recwarn: pytest.WarningsRecorder, named: str | None, warned: bool
) -> None:
    configure(adapter, base_model_name_or_path=named)
    assert tiny.base.name == "base"
    read_adapter(adapter).require_base(str(tiny.base), None)
    assert any("names meta/Other-7B as its base" in str(warning.message) for warning in recwarn) == warned


def test_a_merged_adapter_is_rounded_once_and_the_rest_is_the_base_to_the_last_bit(tiny: Any, tmp_path: Path) -> None:
    folder = draw_adapter("dora", 0, tiny.base, tmp_path / "dora", target_modules=["q_proj"])
    exact, rounded = (load_adapted(str(tiny.base), folder, None, dtype).model for dtype in ("float32", "bfloat16"))
    base = dict(read_network(str(tiny.base), None, "bfloat16").model.named_parameters())
    merged = dict(exact.named_parameters())
    for name, parameter in rounded.named_parameters():
        assert parameter.equal(merged[name].bfloat16())
        assert parameter.equal(base[name]) == ("q_proj" not in name)
