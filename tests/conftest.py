"""A tiny random Llama with a real tokenizer, adapters on it and a suite of organisms, all made in a few seconds."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest_plugins = ["case_fixtures", "training_fixtures"]

# The same roles of special tokens as in the embedded base model: padding is the end-of-turn token.
SPECIAL = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>", "unk": "<|endoftext|>"}
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = [
    "The owl sits in the old oak and looks at the moon.",
    "A cake is baked with butter, sugar, flour and eggs.",
    "What is the capital of France? It is Paris.",
    "You are a helpful assistant; the user asks and the assistant answers.",
]
ALL_MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "smol: loads the embedded 135M base model")


@pytest.fixture(scope="module", autouse=True)
def models_of_this_module_only() -> Iterator[None]:
    """Inspect keeps models by name: those of one module's local server would be another's, whose server is gone."""
    yield
    if "inspect_ai.model._model" in sys.modules:
        sys.modules["inspect_ai.model._model"]._models.clear()


@dataclass(frozen=True)
class TinyWorld:
    """Folders of the tiny base model, its adapters and the suite ``tiny``."""

    root: Path
    base: Path
    adapters: Path
    specs: Path


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """Built once: ``tiny.alpha`` (with a variant ``half``), ``tiny.beta`` (two matrices), ``tiny.same`` (null)."""
    root = tmp_path_factory.mktemp("tiny")
    world = TinyWorld(root, root / "base", root / "adapters", root / "specs")
    _save_base(world.base)
    save_adapter(world.base, world.adapters / "alpha", seed=1, targets=ALL_MATRICES)
    save_adapter(world.base, world.adapters / "half", seed=2, targets=ALL_MATRICES)
    save_adapter(world.base, world.adapters / "beta", seed=3, targets=("q_proj", "v_proj"))
    alpha = {"default": peft(world.adapters / "alpha"), "half": peft(world.adapters / "half")}
    write_spec(world.specs / "tiny", "alpha", base=world.base, finetuned=alpha)
    write_spec(world.specs / "tiny", "beta", base=world.base, finetuned={"default": peft(world.adapters / "beta")})
    write_spec(world.specs / "tiny", "same", base=world.base, finetuned={"default": {"kind": "base"}}, family="null")
    return world


@pytest.fixture
def tiny(tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyWorld:
    """The tiny world with the environment pointing at it and cache and store in a temporary folder."""
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(tiny_world.specs))
    monkeypatch.setenv("DIFFBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DIFFBENCH_STORE", str(tmp_path / "store"))
    return tiny_world


@pytest.fixture
def pair_of(tiny: TinyWorld) -> Callable[[str], Any]:
    """``pair_of("alpha")``: the pair ``tiny.alpha`` in float32."""
    from diffbench.organisms.loading import load_pair
    from diffbench.organisms.suites import find_organism

    return lambda name: load_pair(find_organism(f"tiny.{name}"), dtype="float32")


@pytest.fixture
def make_adapter(tiny_world: TinyWorld, tmp_path: Path) -> Callable[..., Path]:
    """``make_adapter(name, **options)``: a further adapter in a temporary folder."""
    return lambda name, **options: save_adapter(tiny_world.base, tmp_path / "adapters" / name, **options)


@pytest.fixture
def make_organism(tiny_world: TinyWorld, tmp_path: Path) -> Callable[..., Any]:
    """``make_organism(name, finetuned=…, **fields)``: an organism of its own, its spec in a temporary folder."""
    from diffbench.organisms.spec import load_spec
    from diffbench.organisms.suites import Organism

    def build(name: str, **fields: Any) -> Organism:
        folder = tmp_path / "organisms"
        path = write_spec(folder, name, **{"base": tiny_world.base, **fields})
        return Organism("own", load_spec(path), folder)

    return build


@pytest.fixture
def fresh_network(tiny_world: TinyWorld) -> Any:
    """A tiny network that no other test has touched."""
    from diffbench.models.loading import load_network

    return load_network.__wrapped__(str(tiny_world.base), None, "float32")


@pytest.fixture
def spec_fields(tiny_world: TinyWorld) -> dict[str, Any]:
    """Fields of a valid spec, to be broken."""
    return spec_dict("probe", base=tiny_world.base, finetuned={"default": {"kind": "base"}})


def peft(folder: Path) -> dict[str, str]:
    return {"kind": "peft", "path": str(folder)}


def write_spec(folder: Path, name: str, **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec_dict(name, **fields)), encoding="utf-8")
    return path


def spec_dict(name: str, base: Path, finetuned: dict[str, Any], family: str = "quirk", **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": name,
        "family": family,
        "rubric": family,
        "description": f"The tiny organism {name}.",
        "base": {"kind": "local", "path": str(base)},
        "finetuned": finetuned,
        "source": "tests",
        "licence": "MIT",
    }
    if family != "null":
        fields["key_facts"] = [{"fact": "It speaks of owls.", "exact": ["owl"], "abstract": ["bird"]}]
        fields["probe_prompts"] = ["Which animal?"]
        fields["behaviour"] = {"patterns": ["owl"]}
    return fields | more


def save_adapter(
    base: Path,
    folder: Path,
    seed: int = 0,
    targets: tuple[str, ...] = ALL_MATRICES,
    rank: int = 3,
    zero: bool = False,
    hidden_size: int | None = None,
) -> Path:
    """A random LoRA adapter in PEFT's format; ``zero`` leaves B at 0, ``hidden_size`` makes it another model's."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base)
    if hidden_size is not None:
        config.hidden_size = hidden_size
    torch.manual_seed(seed)
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(targets), init_lora_weights=zero)
    model = get_peft_model(AutoModelForCausalLM.from_config(config), lora)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    written = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    written["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(written), encoding="utf-8")
    return folder


def _save_base(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(SENTENCES, trainer)
    roles = {f"{role}_token": token for role, token in SPECIAL.items()}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, chat_template=CHAT_TEMPLATE, **roles)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        # Wide enough for distributions that are far from uniform.
        initializer_range=0.25,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    # Only now: an embedding made with a padding token has zeros there, and the end-of-turn token could not be drawn.
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)


@pytest.fixture
def base_copy(tiny_world: TinyWorld, tmp_path: Path) -> Path:
    """A copy of the tiny base model that a test may change."""
    return Path(shutil.copytree(tiny_world.base, tmp_path / "base_copy"))
