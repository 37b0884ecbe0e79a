"""One vocabulary for every architecture, against what the models themselves compute and return."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffbench.models.anatomy import Anatomy, anatomy_of, child_kind, logits_of
from diffbench.models.interventions import added, captured, changed
from diffbench.records.errors import MendableError
from tiny_architectures import ARCHITECTURES, D_MODEL, LAYERS, VOCABULARY, tiny_model

IDS = torch.tensor([[3, 7, 11, 5, 20], [4, 9, 12, 31, 8]])
MASK = torch.ones_like(IDS)
KINDS = {
    "GPT2Config": {"attn": "attention", "mlp": "mlp"},
    "GPTNeoXConfig": {"attention": "attention", "mlp": "mlp"},
    "FalconConfig": {"self_attention": "attention", "mlp": "mlp"},
    "OPTConfig": {"self_attn": "attention", "fc1": "mlp", "fc2": "mlp"},
}


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def anatomy(architecture: str) -> Anatomy:
    return anatomy_of(tiny_model(architecture))


def outputs(anatomy: Anatomy) -> Any:
    with torch.no_grad():
        return anatomy.model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)


def test_sizes_are_those_of_the_configuration(anatomy: Anatomy) -> None:
    assert (len(anatomy.layers), anatomy.d_model) == (LAYERS, D_MODEL)
    assert anatomy.embed.weight.shape == (VOCABULARY, D_MODEL)
    assert anatomy.unembed.weight.shape == (VOCABULARY, D_MODEL)


def test_streams_after_layers_are_the_models_hidden_states(anatomy: Anatomy) -> None:
    states = outputs(anatomy).hidden_states
    with torch.no_grad(), captured(anatomy, range(LAYERS)) as streams:
        hidden = anatomy.hidden(IDS, MASK)
    assert list(streams) == list(range(LAYERS))
    for layer in range(LAYERS - 1):
        assert torch.equal(streams[layer], states[layer + 1])
    # What the model reports after the last layer is normed already.
    assert torch.equal(hidden, states[-1])
    with torch.no_grad():
        assert torch.equal(anatomy.final_norm(streams[LAYERS - 1]), states[-1])


def test_attention_and_mlp_are_children_of_the_layers(anatomy: Anatomy, architecture: str) -> None:
    assert anatomy.children == KINDS.get(architecture, {"self_attn": "attention", "mlp": "mlp"})


def test_every_parameter_of_a_layer_is_placed_there(anatomy: Anatomy) -> None:
    placed = {
        id(p): (i, name.partition(".")[0]) for i, m in enumerate(anatomy.layers) for name, p in m.named_parameters()
    }
    outside = [name for name, p in anatomy.model.named_parameters() if id(p) not in placed]
    assert outside
    for name, parameter in anatomy.model.named_parameters():
        assert anatomy.place_of(name) == placed.get(id(parameter))


@pytest.mark.parametrize("name", ["LlamaConfig", "GPT2Config", "GPTNeoXConfig", "OPTConfig", "FalconConfig"])
def test_logits_of_final_states_are_the_models_own(name: str) -> None:
    anatomy = anatomy_of(tiny_model(name))
    with torch.no_grad():
        logits = logits_of(anatomy.model, anatomy.hidden(IDS, MASK))
    assert torch.equal(logits, outputs(anatomy).logits)


def test_a_changed_stream_is_what_the_next_layer_takes_in(anatomy: Anatomy) -> None:
    """The layers' outputs are tuples in some architectures and tensors in others; both are passed on."""
    before = outputs(anatomy).hidden_states
    shift = torch.randn(2, D_MODEL, generator=torch.Generator().manual_seed(1))
    taken: list[torch.Tensor] = []
    handle = anatomy.layers[1].register_forward_pre_hook(
        lambda _m, args, kwargs: taken.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with added(anatomy, {0: shift}):
        after = outputs(anatomy)
    handle.remove()
    torch.testing.assert_close(taken[0], before[1] + shift[:, None])
    assert not torch.allclose(after.logits, outputs(anatomy).logits)


@pytest.mark.parametrize("name", ["MambaConfig", "T5Config"])
def test_an_architecture_that_is_not_known_is_named(name: str) -> None:
    import transformers

    sizes = {"hidden_size": 16} if name == "MambaConfig" else {"d_model": 16, "d_kv": 4, "num_heads": 4, "d_ff": 16}
    layers = {"num_hidden_layers": 1} if name == "MambaConfig" else {"num_layers": 1}
    config = getattr(transformers, name)(vocab_size=20, **sizes, **layers)
    auto = transformers.AutoModelForCausalLM if name == "MambaConfig" else transformers.AutoModelForSeq2SeqLM
    with pytest.raises(MendableError, match=rf"architecture {name.removesuffix('Config')}For.*known are Llama"):
        anatomy_of(auto.from_config(config))


def test_a_decoder_without_final_norm_is_not_known() -> None:
    with pytest.raises(MendableError, match="architecture OPTForCausalLM"):
        anatomy_of(tiny_model("OPTConfig", do_layer_norm_before=False))


def test_a_layer_that_returns_something_else_is_not_known() -> None:
    anatomy = anatomy_of(tiny_model("LlamaConfig"))
    handle = anatomy.layers[0].register_forward_hook(lambda _m, _a, output: output[None])
    with pytest.raises(MendableError, match=r"shape \[1, 2, 5, 32\]"), changed(anatomy, 0, lambda stream: stream):
        anatomy.hidden(IDS, MASK)
    handle.remove()


@pytest.mark.parametrize("index", [-1, LAYERS])
def test_layers_out_of_range_are_refused(index: int) -> None:
    with pytest.raises(MendableError, match=rf"layer {index} is out of range; the model has layers 0 to 2"):
        anatomy_of(tiny_model("LlamaConfig")).layer(index)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("self_attn", "attention"),
        ("cross_attention", "attention"),
        ("mlp", "mlp"),
        ("block_sparse_moe", "mlp"),
        ("feed_forward", "mlp"),
        ("post_attention_layernorm", None),
        ("pre_feedforward_layernorm", None),
        ("self_attn_layer_norm", None),
        ("post_mlp_dropout", None),
    ],
)
def test_kinds_of_children(name: str, kind: str | None) -> None:
    assert child_kind(name) == kind
