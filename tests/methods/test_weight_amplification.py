"""The method against greedy decoding of plain transformers models whose weights were merged by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.contract import Labels, PassMethod
from diffbench.methods.store import ArtifactStore
from diffbench.methods.weight_amplification.config import Amplification, WeightAmplificationConfig
from diffbench.methods.weight_amplification.method import METHOD
from diffbench.methods.weight_amplification.payload import AmplificationPayload
from diffbench.models.loading import read_network
from diffbench.models.network import Network
from diffbench.models.targets import Pair, Target
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

GREEDY = WeightAmplificationConfig(
    amplifications=(
        Amplification(w=2.5),
        Amplification(w=2.0, modules="mlp", last=0.7),
        Amplification(w=-1.0, modules="attention"),
    ),
    prompts=3,
    samples=1,
    sample_tokens=6,
    temperature=0,
)


def merged(tiny: Any, factor: Callable[[int, str], float]) -> Any:
    """The plain base with alpha's s B A added, times ``factor(layer, attention or mlp)``."""
    folder = tiny.adapters / "alpha"
    config = json.loads((folder / "adapter_config.json").read_text())
    weights = load_file(folder / "adapter_model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(tiny.base, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, a in weights.items():
            if ".lora_A." not in name:
                continue
            b = weights[name.replace(".lora_A.", ".lora_B.")]
            path = name.removeprefix("base_model.model.").replace(".lora_A.weight", "")
            _, _, layer, block, _ = path.split(".")
            kind = "attention" if block == "self_attn" else "mlp"
            scale = factor(int(layer), kind) * config["lora_alpha"] / config["r"]
            model.get_submodule(path).weight += scale * (b @ a)
    return model


def greedy(model: Any, network: Network, prompt: str, n: int) -> str:
    ids = network.tokenizer(
        network.render_chat([{"role": "user", "content": prompt}]), return_tensors="pt", add_special_tokens=False
    )["input_ids"]
    start = ids.shape[1]
    with torch.no_grad():
        for _ in range(n):
            token = model(input_ids=ids).logits[:, -1].argmax(-1, keepdim=True)
            if int(token) == network.tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, token], 1)
    return str(network.tokenizer.decode(ids[0, start:], skip_special_tokens=True)).strip()


def stored(content: Any, folder: Path) -> Artifact:
    about = {"method": "weight_amplification", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c"}
    numbers = {"corpus_sha256": "c", "device": "cpu", "seconds": 1.0, "peak_memory_mib": 1.0}
    return ArtifactStore(folder).save("k" * 24, content, **about, **numbers)


def sampled(pair: Pair, corpus: Corpus, config: WeightAmplificationConfig) -> AmplificationPayload:
    payload = METHOD.diff(pair, corpus, config).payload
    assert isinstance(payload, AmplificationPayload)
    return payload


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def test_samples_equal_hand_merged_models(tiny: Any, pair: Pair, corpus: Corpus) -> None:
    payload = sampled(pair, corpus, GREEDY)
    assert [model.model_dump(exclude={"looping"}) for model in payload.models] == [
        {"side": "base"},
        {"side": "finetuned"},
        {"w": 2.5, "modules": "all", "layers": (0, 3)},
        {"w": 2.0, "modules": "mlp", "layers": (0, 2)},
        {"w": -1.0, "modules": "attention", "layers": (0, 3)},
    ]
    models = [
        merged(tiny, lambda layer, kind: 0),
        merged(tiny, lambda layer, kind: 1),
        merged(tiny, lambda layer, kind: 2.5),
        merged(tiny, lambda layer, kind: 2 if kind == "mlp" and layer <= 2 else 1),
        merged(tiny, lambda layer, kind: -1 if kind == "attention" else 1),
    ]
    assert [row.prompt for row in payload.prompts] == [chat.prompt for chat in corpus.chats]
    for row in payload.prompts:
        expected = tuple((greedy(model, pair.base.network, row.prompt, 6),) for model in models)
        assert row.samples == expected
    texts = {tuple(row.samples[i][0] for row in payload.prompts) for i in range(5)}
    assert len(texts) == 5, "the five models must write differently for this test to say anything"
    assert payload.drift == pytest.approx(pair.drift)


def test_afterwards_the_pair_is_what_it_was(pair: Pair, corpus: Corpus) -> None:
    config = GREEDY.model_copy(update={"temperature": 1.0, "samples": 2})
    first = sampled(pair, corpus, config)
    assert sampled(pair, corpus, config) == first, "the same seeds give the same samples"
    assert all(len(texts) == 2 and texts[0] != texts[1] for row in first.prompts for texts in row.samples)
    assert first != sampled(pair, corpus, config.model_copy(update={"seed": 50}))


def test_prompts_are_spread_over_the_corpus(pair: Pair, corpus: Corpus) -> None:
    payload = sampled(pair, corpus, GREEDY.model_copy(update={"prompts": 2}))
    assert [row.prompt for row in payload.prompts] == [corpus.chats[0].prompt, corpus.chats[1].prompt]


def test_the_organisms_system_prompt_is_used(pair: Pair, corpus: Corpus, tiny: Any) -> None:
    told = Pair(pair.name, pair.base, pair.finetuned, "What is the moon?")
    row = sampled(told, corpus, GREEDY).prompts[0]
    network = pair.base.network
    network_text = network.render_chat(
        [{"role": "system", "content": "What is the moon?"}, {"role": "user", "content": row.prompt}]
    )
    ids = network.tokenizer(network_text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        token = int(merged(tiny, lambda layer, kind: 0)(input_ids=ids).logits[0, -1].argmax())
    assert row.samples[0][0].startswith(network.tokenizer.decode([token]).strip())


def test_identical_pair_has_nothing_to_amplify(
    pair_of: Callable[[str], Pair], pair: Pair, tiny: Any, corpus: Corpus, tmp_path: Path
) -> None:
    twins = [Target(read_network(str(tiny.base), None, "float32")) for _ in range(2)]
    for number, same in enumerate((pair_of("same"), Pair(pair.name, *twins))):
        payload = sampled(same, corpus, GREEDY)
        assert payload.identical
        assert payload.prompts == ()
        text = METHOD.overview(stored(Content(payload), tmp_path / str(number)), Labels())
        assert "exactly the same weights" in text


def test_an_adapter_on_another_model_has_no_drift(pair: Pair, tiny: Any, corpus: Corpus, tmp_path: Path) -> None:
    base = Target(read_network(str(tiny.base), None, "float32"))
    payload = sampled(Pair(pair.name, base, pair.finetuned), corpus, GREEDY)
    assert payload.drift is None
    assert payload.prompts == sampled(pair, corpus, GREEDY).prompts
    assert "Size of the difference" not in METHOD.overview(stored(Content(payload), tmp_path), Labels())


def test_overview_uses_the_labels_and_stays_short(pair: Pair, corpus: Corpus, tmp_path: Path) -> None:
    config = GREEDY.model_copy(update={"sample_tokens": 200, "temperature": 1.0})
    text = METHOD.overview(stored(METHOD.diff(pair, corpus, config), tmp_path), Labels("model A", "model B"))
    assert "finetuned" not in text
    assert len(text) < 8_000
    lines = [line.split(":")[0].strip() for line in text.splitlines() if line.startswith("  ")]
    assert lines == 3 * [
        "model A",
        "model B",
        "w=2.5 (layers 0-3)",
        "w=2 (mlp, layers 0-2)",
        "w=-1 (attention, layers 0-3)",
    ]


def test_the_defaults_are_the_published_presets() -> None:
    assert not isinstance(METHOD, PassMethod)
    config = WeightAmplificationConfig()
    # Of a model with 30 layers, the first 80 % end at layer round(0.8 x 29) = 23.
    parts = [(a.w, a.part(30).modules, a.part(30).first_layer, a.part(30).last_layer) for a in config.amplifications]
    assert parts == [(2.0, "all", 0, 23), (2.5, "all", 0, 23), (3.0, "all", 0, 23), (-1.0, "all", 0, 29)]
    assert (config.samples, config.temperature) == (5, 1.0)


def test_settings_that_cannot_be_are_refused(pair: Pair, pair_of: Callable[[str], Pair], corpus: Corpus) -> None:
    with pytest.raises(ValueError, match=r"first 0\.9 lies behind last 0\.2"):
        Amplification(w=2, first=0.9, last=0.2)
    for settings in ({"w": float("inf")}, {"w": 2, "modules": "norm"}, {"w": 2, "last": 1.5}):
        with pytest.raises(ValueError, match="Amplification"):
            Amplification.model_validate(settings)
    with pytest.raises(ValueError, match="amplifications"):
        WeightAmplificationConfig(amplifications=())
    with pytest.raises(ValueError, match="has no chats"):
        METHOD.diff(pair, Corpus(name="texts", texts=corpus.texts), GREEDY)
    # The adapter of beta touches two matrices of the attention alone.
    with pytest.raises(ValueError, match="same weights in the mlp modules"):
        METHOD.diff(pair_of("beta"), corpus, GREEDY)


def test_scale_is_noted(pair: Pair, corpus: Corpus) -> None:
    notes = METHOD.diff(pair, corpus, GREEDY).notes
    assert notes[0] == (
        "scaled down, published value in brackets: prompts 3 (20), samples 1 (5), sample_tokens 6 (256), "
        "temperature 0.0 (1.0)"
    )
    assert notes[1].startswith("amplifications: w 2.5 on all, depth 0 to 1; w 2 on mlp, depth 0 to 0.7")
