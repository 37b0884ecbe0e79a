"""Lenses against transformers' own outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.encoding import batches, encode_texts
from diffbench.methods.activations.lens import final_hidden, logit_lens, residual, unembed
from diffbench.models.targets import Pair


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def padded(pair: Pair, corpus: Corpus) -> tuple[Any, torch.Tensor, torch.Tensor]:
    network = pair.base.network
    (batch,) = batches(encode_texts(network, corpus, 100), network, 100)
    return batch


@pytest.mark.parametrize("layer", range(4))
def test_early_exit_equals_the_full_pass(pair: Pair, corpus: Corpus, layer: int) -> None:
    chunk, ids, mask = padded(pair, corpus)
    for target in pair:
        hooks = [len(module._forward_hooks) for module in pair.base.network.layers]
        early = residual(target, ids, mask, layer)
        assert [len(module._forward_hooks) for module in pair.base.network.layers] == hooks
        with target.running() as model:
            # The last entry of hidden_states is normed, so the last layer is read by a hook of our own.
            kept: list[Any] = []
            last = model.get_decoder().layers[layer]
            handle = last.register_forward_hook(lambda _m, _a, output, kept=kept: kept.append(output))
            states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
            handle.remove()
            full = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
            if layer < 3:
                assert torch.equal(full, states[layer + 1])
        for row, item in enumerate(chunk):
            n = len(item.ids)
            torch.testing.assert_close(early[row, :n], full[row, :n], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [-1, 4, 99])
def test_layer_out_of_range_is_refused(pair: Pair, corpus: Corpus, layer: int) -> None:
    _, ids, mask = padded(pair, corpus)
    with pytest.raises(ValueError, match=rf"layer {layer} is out of range; the model has layers 0 to 3"):
        residual(pair.base, ids, mask, layer)


def test_final_hidden_and_unembed_give_the_models_logits(pair: Pair, corpus: Corpus) -> None:
    chunk, ids, mask = padded(pair, corpus)
    for target in pair:
        logits = unembed(target, final_hidden(target, ids, mask))
        for row, item in enumerate(chunk):
            with target.running() as model:
                expected = model(torch.tensor([item.ids])).logits[0]
            torch.testing.assert_close(logits[row, : len(item.ids)], expected, rtol=1e-4, atol=1e-4)


def test_logit_lens_is_norm_then_head(pair: Pair) -> None:
    network = pair.base.network
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    weight = network.model.get_decoder().norm.weight.detach()
    epsilon = network.model.config.rms_norm_eps
    # RMSNorm(v) = w * v / sqrt(mean(v^2) + eps), then the tied embedding.
    normed = weight * vectors / (vectors.square().mean(-1, keepdim=True) + epsilon).sqrt()
    expected = torch.softmax(normed @ network.model.get_input_embeddings().weight.detach().T, -1)
    torch.testing.assert_close(logit_lens(pair.finetuned, vectors), expected, rtol=1e-4, atol=1e-6)
