"""Reading and changing residual streams, against layers run by hand, and that nothing of it stays behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffbench.models.anatomy import Anatomy, anatomy_of
from diffbench.models.interventions import added, captured, changed, projected, replace_coordinate, replaced, routed
from diffbench.models.targets import Pair
from diffbench.records.errors import MendableError
from tiny_architectures import D_MODEL, LAYERS, tiny_model

IDS = torch.tensor([[3, 7, 11, 5, 20], [4, 9, 12, 31, 8]])
MASK = torch.ones_like(IDS)
TUPLE_AND_TENSOR = ("FalconConfig", "LlamaConfig")
"""A layer of Falcon returns a tuple, one of Llama a tensor."""


@pytest.fixture(params=TUPLE_AND_TENSOR)
def anatomy(request: pytest.FixtureRequest) -> Anatomy:
    return anatomy_of(tiny_model(request.param))


@pytest.fixture(autouse=True)
def without_gradients() -> Any:
    with torch.no_grad():
        yield


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def from_layer(anatomy: Anatomy, layer: int, stream: torch.Tensor) -> torch.Tensor:
    """Final hidden states when ``stream`` enters ``layer``: by a hook of the test's own in front of it."""

    def enter(_module: Any, args: Any, kwargs: Any) -> Any:
        return ((stream, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": stream})

    handle = anatomy.layers[layer].register_forward_pre_hook(enter, with_kwargs=True)
    hidden = anatomy.hidden(IDS, MASK)
    handle.remove()
    return hidden


def states(anatomy: Anatomy) -> tuple[torch.Tensor, ...]:
    found: tuple[torch.Tensor, ...] = anatomy.model(
        input_ids=IDS, attention_mask=MASK, output_hidden_states=True
    ).hidden_states
    return found


def hooks(anatomy: Anatomy) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in anatomy.model.modules())


def test_layer_outputs_of_both_kinds_are_met() -> None:
    kinds = []
    for name in TUPLE_AND_TENSOR:
        handle = (
            (anatomy := anatomy_of(tiny_model(name)))
            .layers[0]
            .register_forward_hook(lambda _m, _a, output: kinds.append(type(output)))
        )
        anatomy.hidden(IDS, MASK)
        handle.remove()
    assert kinds == [tuple, torch.Tensor]


def test_a_stopped_pass_runs_no_deeper_than_it_must(anatomy: Anatomy) -> None:
    expected, ran, after = states(anatomy), [], []
    # Transformers reads hidden states by hooks of its own, which stay.
    before = hooks(anatomy)
    handles = [
        layer.register_forward_pre_hook(lambda _m, _a, i=i: ran.append(i)) for i, layer in enumerate(anatomy.layers)
    ]
    with captured(anatomy, [1, 0], stop=True) as streams:
        after.append(anatomy.hidden(IDS, MASK))
    assert (ran, after) == ([0, 1], [])
    assert torch.equal(streams[0], expected[1])
    assert torch.equal(streams[1], expected[2])
    for handle in handles:
        handle.remove()
    assert hooks(anatomy) == before


def test_an_inner_stop_does_not_end_the_outer_block(anatomy: Anatomy) -> None:
    with captured(anatomy, [LAYERS - 1]) as outer:
        with captured(anatomy, [0], stop=True) as inner:
            anatomy.hidden(IDS, MASK)
        assert (set(inner), set(outer)) == ({0}, set())
        anatomy.hidden(IDS, MASK)
    assert set(outer) == {LAYERS - 1}


def test_an_outer_stop_ends_the_outer_block(anatomy: Anatomy) -> None:
    reached = False
    with captured(anatomy, [0], stop=True) as outer, captured(anatomy, [1], stop=True):
        anatomy.hidden(IDS, MASK)
        reached = True
    assert set(outer) == {0}
    assert not reached


def test_vectors_are_added_to_their_rows(anatomy: Anatomy) -> None:
    shift = gaussian(2, D_MODEL)
    by_hand = from_layer(anatomy, 1, states(anatomy)[1] + shift[:, None])
    with added(anatomy, {0: shift}):
        torch.testing.assert_close(anatomy.hidden(IDS, MASK), by_hand)
    shift[1] = 0
    with added(anatomy, {0: shift}), captured(anatomy, [0]) as streams:
        anatomy.hidden(IDS, MASK)
    assert torch.equal(streams[0][1], states(anatomy)[1][1])
    assert not torch.equal(streams[0][0], states(anatomy)[1][0])


def test_the_last_token_is_replaced(anatomy: Anatomy) -> None:
    vectors, stream = gaussian(2, D_MODEL), states(anatomy)[1].clone()
    stream[:, -1] = vectors
    by_hand = from_layer(anatomy, 1, stream)
    with replaced(anatomy, 0, vectors):
        torch.testing.assert_close(anatomy.hidden(IDS, MASK), by_hand)


def test_a_coordinate_is_replaced(anatomy: Anatomy) -> None:
    other, direction = gaussian(2, 5, D_MODEL, seed=1), 3 * gaussian(D_MODEL, seed=2)
    h, v = states(anatomy)[1].double(), direction.double() / direction.double().norm()
    moved = h - (h @ v)[..., None] * v + (other.double() @ v)[..., None] * v
    by_hand = from_layer(anatomy, 1, moved.float())
    with projected(anatomy, 0, other, direction):
        torch.testing.assert_close(anatomy.hidden(IDS, MASK), by_hand, rtol=1e-4, atol=1e-5)


def test_a_stream_in_half_precision_stays_so() -> None:
    anatomy = anatomy_of(tiny_model("LlamaConfig").bfloat16())
    with (
        added(anatomy, {0: gaussian(2, D_MODEL)}),
        replaced(anatomy, 0, gaussian(2, D_MODEL)),
        projected(anatomy, 0, gaussian(2, 5, D_MODEL), gaussian(D_MODEL)),
        captured(anatomy, [0]) as streams,
    ):
        assert anatomy.hidden(IDS, MASK).dtype == torch.bfloat16
    assert streams[0].dtype == torch.bfloat16


def test_hooks_on_one_layer_act_in_the_order_of_their_blocks(anatomy: Anatomy) -> None:
    with (
        captured(anatomy, [0]) as before,
        changed(anatomy, 0, lambda stream: 2 * stream),
        changed(anatomy, 0, lambda stream: stream + 1),
        captured(anatomy, [0]) as after,
    ):
        anatomy.hidden(IDS, MASK)
    assert torch.equal(after[0], 2 * before[0] + 1)


def test_nothing_stays_behind_after_an_error(anatomy: Anatomy) -> None:
    before = anatomy.hidden(IDS, MASK)

    def broken(_stream: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    def fail() -> None:
        with added(anatomy, {0: gaussian(2, D_MODEL)}), captured(anatomy, [1]), changed(anatomy, 1, broken):
            anatomy.hidden(IDS, MASK)

    with pytest.raises(RuntimeError, match="out of memory"):
        fail()
    with pytest.raises(MendableError, match="layer 3 is out of range"), captured(anatomy, [0, LAYERS]):
        pass
    assert hooks(anatomy) == 0
    assert torch.equal(anatomy.hidden(IDS, MASK), before)


def test_the_coordinate_is_replaced_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    finetuned, base, d = rng.normal(size=(2, 3, 8)), rng.normal(size=(2, 3, 8)), 5 * rng.normal(size=8)
    v = d / np.linalg.norm(d)
    expected = finetuned - (finetuned @ v)[..., None] * v + (base @ v)[..., None] * v
    found = replace_coordinate(*(torch.tensor(x) for x in (finetuned, base, d))).double().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found @ v, base @ v, atol=1e-5)
    for w in np.linalg.qr(np.column_stack([v, rng.normal(size=(8, 7))]))[0].T[1:]:
        np.testing.assert_allclose(found @ w, finetuned @ w, atol=1e-5)
    one = torch.ones(8)
    assert torch.allclose(replace_coordinate(one, one, one), one)


def test_replacing_every_coordinate_at_a_layer_gives_the_base_stream() -> None:
    generator = torch.Generator().manual_seed(0)
    finetuned, base = torch.randn(5, 32, generator=generator), torch.randn(5, 32, generator=generator)
    for axis in torch.linalg.qr(torch.randn(32, 32, generator=generator))[0].T:
        finetuned = replace_coordinate(finetuned, base, axis)
    torch.testing.assert_close(finetuned, base, rtol=1e-4, atol=1e-4)


def test_rows_go_through_their_own_adapters(pair_of: Callable[[str], Pair]) -> None:
    alpha, beta = pair_of("alpha"), pair_of("beta")
    ids, alone = torch.tensor([[5, 9, 40]]), []
    for target in (alpha.finetuned, alpha.base, beta.finetuned):
        with target.running() as model:
            alone.append(model(ids).logits)
    model = alpha.base.network.model
    before = hooks(alpha.base.anatomy)
    with routed(model, [alpha.finetuned.adapter, None, beta.finetuned.adapter]):
        together = model(ids.repeat(3, 1)).logits
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)
    assert hooks(alpha.base.anatomy) == before
