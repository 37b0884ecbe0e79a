"""Sampling against plain transformers: each row of a mixed batch is what it would be alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffbench.models.network import Network
from diffbench.models.requests import Request, Steering
from diffbench.models.sampling import sample_rows
from diffbench.models.targets import Pair
from peft import PeftModel
from transformers import AutoModelForCausalLM

PROMPTS = ["The owl", "A cake is baked with butter, sugar, flour and", "What", "You are a helpful assistant; the user"]


def independent(base: Any, adapter: Any = None) -> Any:
    """The tiny model loaded by transformers and peft alone, its adapter merged."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    return model if adapter is None else PeftModel.from_pretrained(model, adapter).merge_and_unload().eval()


def greedy(model: Any, network: Network, prompt: str, n: int) -> str:
    """Arg max after full forward passes over the one text: no cache, no padding, no generate."""
    ids = network.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    start = ids.shape[1]
    with torch.no_grad():
        for _ in range(n):
            token = model(input_ids=ids).logits[:, -1].argmax(-1, keepdim=True)
            if int(token) == network.tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, token], 1)
    return network.tokenizer.decode(ids[0, start:], skip_special_tokens=True)


@pytest.fixture
def alpha(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


@pytest.fixture
def beta(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("beta")


def test_mixed_greedy_batch_equals_independent_models(tiny: Any, alpha: Pair, beta: Pair) -> None:
    network = alpha.base.network
    assert beta.base.network is network
    models = {
        None: independent(tiny.base),
        alpha.finetuned.adapter: independent(tiny.base, tiny.adapters / "alpha"),
        beta.finetuned.adapter: independent(tiny.base, tiny.adapters / "beta"),
    }
    requests = [Request(p, adapter=a, max_tokens=12, temperature=0) for p in PROMPTS for a in models]
    texts = [completion.text for completion in network.generate(requests)]
    assert texts == [greedy(models[r.adapter], network, r.prompt, 12) for r in requests]
    assert len(set(texts[:3])) == 3, "the adapters must change what is written for this test to say anything"


def test_greedy_equals_transformers_generate_with_merged_adapter(tiny: Any, alpha: Pair) -> None:
    network, merged = alpha.base.network, independent(tiny.base, tiny.adapters / "alpha")
    for prompt in PROMPTS:
        encoded = network.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        output = merged.generate(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            max_new_tokens=10,
            do_sample=False,
        )
        expected = network.tokenizer.decode(output[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        request = Request(prompt, adapter=alpha.finetuned.adapter, max_tokens=10, temperature=0)
        assert network.generate([request])[0].text == expected


def test_batch_equals_one_by_one_when_sampling(alpha: Pair) -> None:
    network = alpha.base.network
    requests = [
        Request(p, adapter=a, max_tokens=9, temperature=1.3, top_p=q, seed=seed)
        for seed, (p, a, q) in enumerate(
            (p, a, q) for p in PROMPTS for a in (None, alpha.finetuned.adapter) for q in (1.0, 0.7)
        )
    ]
    together = network.generate(requests)
    assert together == [network.generate([request])[0] for request in requests]
    order = random.Random(0).sample(range(len(requests)), len(requests))
    shuffled = network.generate([requests[i] for i in order])
    assert shuffled == [together[i] for i in order]


def test_seeds_decide_and_repeat(alpha: Pair) -> None:
    network = alpha.base.network
    requests = [Request("The owl", max_tokens=10, temperature=1.0, seed=seed) for seed in (1, 1, 2, 3)]
    texts = [completion.text for completion in network.generate(requests)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_each_row_has_its_own_limit(alpha: Pair) -> None:
    network = alpha.base.network
    limits = [1, 4, 9]
    rows = network.generate([Request("The owl", max_tokens=n, temperature=0) for n in limits])
    assert [row.output_tokens for row in rows] == limits
    assert rows[2].text.startswith(rows[1].text)
    assert rows[1].text.startswith(rows[0].text)


def test_a_row_cut_at_its_limit_is_not_finished(alpha: Pair) -> None:
    """The padding after a short row is the end-of-turn token here, as in the embedded base model."""
    network = alpha.base.network
    assert network.tokenizer.pad_token_id == network.tokenizer.eos_token_id
    short, long = (Request("The owl", max_tokens=n, temperature=0) for n in (2, 8))
    assert network.generate([short])[0].finished is False
    assert network.generate([short, long])[0].finished is False


def _ending(network: Network, limit: int, extra: list[Request] | None = None) -> Any:
    """A row that is steered so far towards the end-of-turn token that it is drawn at once."""
    eos, embedding = network.tokenizer.eos_token_id, network.model.get_input_embeddings().weight.detach()
    vector = embedding[eos].clone()
    for _ in range(1_000):
        vector += embedding[eos] - embedding[int((embedding @ vector).argmax())]
    assert int((embedding @ vector).argmax()) == eos
    steering = Steering(len(network.layers) - 1, 1e4 * vector)
    request = Request("The owl", max_tokens=limit, temperature=0, steering=steering)
    return network.generate([request, *(extra or [])])[0]


def test_a_row_that_ends_by_itself_is_finished(alpha: Pair) -> None:
    network = alpha.base.network
    for limit in (1, 5):
        for extra in ([], [Request("What", max_tokens=9, temperature=0)]):
            completion = _ending(network, limit, extra)
            assert (completion.text, completion.output_tokens, completion.finished) == ("", 0, True)


def test_every_end_token_of_the_model_ends_a_row(fresh_network: Network) -> None:
    """Some models (Gemma, Llama 3) end turns with a token other than the tokenizer's ``eos``."""
    network = fresh_network
    first = network.generate([Request("The owl", max_tokens=6, temperature=0)])[0]
    ids = network.model.generate(
        **network.tokenizer("The owl", return_tensors="pt", add_special_tokens=False), max_new_tokens=6, do_sample=False
    )[0, -6:].tolist()
    assert network.tokenizer.decode(ids) == first.text
    other = ids[2]
    before = ids.index(other)
    network.model.generation_config.eos_token_id = [network.tokenizer.eos_token_id, other]
    long = Request("What", max_tokens=12, temperature=1.0, seed=3)
    completion = network.generate([Request("The owl", max_tokens=6, temperature=0), long])[0]
    assert (completion.output_tokens, completion.finished) == (before, True)
    assert completion.text == network.tokenizer.decode(ids[:before])


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([Request("")], "empty prompt"),
        ([Request("a", adapter="nobody")], "'nobody' is not loaded"),
        ([Request("a", steering=Steering(4, torch.zeros(32)))], "layer 4: .* 0 to 3"),
        ([Request("a", steering=Steering(-1, torch.zeros(32)))], "layer -1"),
        ([Request("a", steering=Steering(1, torch.zeros(31)))], r"31.*32"),
    ],
)
def test_bad_requests_are_refused(alpha: Pair, requests: list[Request], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        alpha.base.network.generate(requests)


def test_no_requests_give_no_completions(alpha: Pair) -> None:
    assert alpha.base.network.generate([]) == []


# --- drawing tokens ---------------------------------------------------------------------------------------------


def counts_of(logits: list[float], temperature: float, top_p: float, n: int = 20_000) -> Counter[int]:
    generator = random.Random(7)
    uniforms = [generator.random() for _ in range(n)]
    rows = torch.tensor([logits]).expand(n, -1)
    return Counter(sample_rows(rows, [temperature] * n, [top_p] * n, uniforms).tolist())


LOGITS = [1.0, -0.5, 0.3, 2.2, -1.0, 0.0, 1.7, 0.9]
CHI2_7_DEGREES_999 = 24.32


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    weights = [2.718281828459045 ** (x / temperature) for x in LOGITS]
    expected = [20_000 * w / sum(weights) for w in weights]
    counts = counts_of(LOGITS, temperature, 1.0)
    chi2 = sum((counts[i] - e) ** 2 / e for i, e in enumerate(expected))
    assert chi2 < CHI2_7_DEGREES_999


def brute_nucleus(probabilities: list[float], top_p: float) -> dict[int, float]:
    """Smallest set of the most probable tokens that holds at least ``top_p``, renormalised."""
    kept: list[int] = []
    for token in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
        kept.append(token)
        if sum(probabilities[i] for i in kept) >= top_p:
            break
    total = sum(probabilities[i] for i in kept)
    return {i: probabilities[i] / total for i in kept}


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.8, 0.95])
def test_top_p_is_the_smallest_nucleus(top_p: float) -> None:
    weights = [2.718281828459045**x for x in LOGITS]
    nucleus = brute_nucleus([w / sum(weights) for w in weights], top_p)
    counts = counts_of(LOGITS, 1.0, top_p)
    assert set(counts) == set(nucleus)
    for token, probability in nucleus.items():
        sigma = (20_000 * probability * (1 - probability)) ** 0.5
        assert abs(counts[token] - 20_000 * probability) <= 4 * sigma + 1e-9


def test_nucleus_wider_than_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flat distribution over 2,000 tokens: the nucleus at 0.9 holds 1,800, more than are looked at first."""
    n = 4_000
    uniforms = [(i + 0.5) / n for i in range(n)]
    # Strictly falling, so that the order of the tokens is known.
    logits = torch.linspace(0.01, 0.0, 2_000).expand(n, -1)
    drawn = sample_rows(logits, [1.0] * n, [0.9] * n, uniforms)
    nucleus = brute_nucleus(logits[0].double().softmax(0).tolist(), 0.9)
    assert set(drawn.tolist()) <= set(nucleus)
    assert abs(int(drawn.max()) - max(nucleus)) <= 1


def test_rows_of_one_batch_keep_their_own_settings() -> None:
    logits = torch.tensor([LOGITS] * 4)
    settings = [(0.0, 1.0, 0.999), (1.0, 0.2, 0.999), (1.0, 1.0, 0.999), (5.0, 1.0, 0.999)]
    together = sample_rows(logits, *([s[i] for s in settings] for i in range(3))).tolist()
    alone = [int(sample_rows(logits[:1], [t], [p], [u])) for t, p, u in settings]
    assert together == alone == [3, 3, 7, 7]


def test_temperature_zero_is_the_arg_max() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 300, generator=generator)
    drawn = sample_rows(logits, [0.0] * 50, [0.5] * 50, [i / 50 for i in range(50)])
    assert drawn.tolist() == logits.argmax(-1).tolist()


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf"), 0.0, float("-inf")]])
    for uniform in (0.0, 0.25, 0.5, 0.75, 1 - 2**-53):
        assert int(sample_rows(logits, [1.0], [1.0], [uniform])) == (1 if uniform < 0.5 else 3)


# --- steering ---------------------------------------------------------------------------------------------------


def test_steering_equals_a_hand_made_forward(tiny: Any, alpha: Pair) -> None:
    """Layers run by hand on one text, the vector added after layer 1 at every token."""
    network, layer = alpha.base.network, 1
    vector = 6 * torch.randn(32, generator=torch.Generator().manual_seed(4))
    model = independent(tiny.base, tiny.adapters / "alpha")

    class Steered:
        def __call__(self, input_ids: torch.Tensor) -> Any:
            decoder = model.model
            hidden = decoder.embed_tokens(input_ids)
            positions = torch.arange(input_ids.shape[1]).unsqueeze(0)
            rotary = decoder.rotary_emb(hidden, positions)
            causal = torch.full((input_ids.shape[1],) * 2, float("-inf")).triu(1)[None, None]
            for i, block in enumerate(decoder.layers):
                output = block(hidden, attention_mask=causal, position_embeddings=rotary, position_ids=positions)
                hidden = output[0] if isinstance(output, tuple) else output
                hidden = hidden + vector if i == layer else hidden
            return type("Output", (), {"logits": model.lm_head(decoder.norm(hidden))})

    steering = Steering(layer, vector)
    requests = [
        Request(p, adapter=alpha.finetuned.adapter, max_tokens=8, temperature=0, steering=s)
        for p in PROMPTS
        for s in (None, steering)
    ]
    rows = [completion.text for completion in network.generate(requests)]
    assert rows[0::2] == [greedy(model, network, p, 8) for p in PROMPTS]
    assert rows[1::2] == [greedy(Steered(), network, p, 8) for p in PROMPTS]
    assert rows[0::2] != rows[1::2]


def test_rows_may_be_steered_at_different_layers(alpha: Pair) -> None:
    network = alpha.base.network
    vector = 6 * torch.randn(32, generator=torch.Generator().manual_seed(5))
    requests = [Request("The owl", max_tokens=6, temperature=0, steering=Steering(i, vector)) for i in range(4)]
    assert network.generate(requests) == [network.generate([request])[0] for request in requests]


def test_hooks_are_gone_afterwards(alpha: Pair) -> None:
    network = alpha.base.network
    plain = Request("The owl", max_tokens=5, temperature=0)
    before = network.generate([plain])
    steered = Request("The owl", max_tokens=5, steering=Steering(0, torch.full((32,), 9.0)))
    network.generate([steered])
    assert network.generate([plain]) == before


def test_a_batch_that_fails_leaves_the_network_as_it_was(alpha: Pair) -> None:
    """PEFT's own mixed generation would go on sending rows through the failed batch's adapters."""
    network, ids = alpha.base.network, torch.tensor([[5, 9, 40]])

    def logits() -> list[torch.Tensor]:
        outputs = []
        for target in alpha:
            with target.running() as model:
                outputs.append(model(ids).logits)
        return outputs

    before = logits()
    failing: Any = "not a number"
    steering = Steering(0, torch.full((32,), 9.0))
    with pytest.raises((TypeError, ValueError)):
        network.generate([Request("a", adapter=alpha.finetuned.adapter, temperature=failing, steering=steering)])
    for now, then in zip(logits(), before, strict=True):
        assert torch.equal(now, then)
