"""The shared pass against transformers' own outputs, one unpadded text at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.encoding import Encoded
from diffbench.methods.activations.passes import Batch, Need, Work, run_pass
from diffbench.models.targets import Pair, Target

HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"
EVERYTHING = Need(layers=frozenset({0, 2, 3}), logits=True, max_tokens=1_000)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


class Recorder:
    """Keeps all it is handed, cut to what it asked for: (kind, index) -> what was seen."""

    def __init__(self, need: Need) -> None:
        self.need = need
        self.items: dict[tuple[str, int], Encoded] = {}
        self.streams: dict[tuple[str, int], dict[int, tuple[torch.Tensor, torch.Tensor]]] = {}
        self.stretches: dict[tuple[str, int], list[tuple[int, torch.Tensor, torch.Tensor]]] = {}

    def residuals(self, batch: Batch) -> None:
        for row, item in enumerate(batch.items):
            width = self.need.width(item)
            if width:
                self.streams[item.kind, item.index] = {
                    layer: (batch.base[layer][row, :width], batch.finetuned[layer][row, :width])
                    for layer in self.need.layers
                }

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        self.items[item.kind, item.index] = item
        self.stretches.setdefault((item.kind, item.index), []).append((start, base, finetuned))

    def whole_logits(self, key: tuple[str, int]) -> tuple[torch.Tensor, torch.Tensor]:
        stretches = self.stretches[key]
        place = 0
        for start, base, finetuned in stretches:
            assert start == place
            assert len(base) == len(finetuned)
            place += len(base)
        base, finetuned = (torch.cat([stretch[side] for stretch in stretches]) for side in (1, 2))
        return base, finetuned


@pytest.fixture
def pair(pair_of: Callable[[str], Pair]) -> Pair:
    return pair_of("alpha")


def ids_by_hand(pair: Pair, corpus: Corpus) -> dict[tuple[str, int], list[int]]:
    tokenizer = pair.base.network.tokenizer
    written = {("text", i): text for i, text in enumerate(corpus.texts)}
    for i, chat in enumerate(corpus.chats):
        written["chat", i] = f"{HEAD}{chat.prompt}<|im_end|>\n<|im_start|>assistant\n{chat.response}"
    return {key: tokenizer(text, add_special_tokens=False)["input_ids"] for key, text in written.items()}


def plain(target: Target, ids: list[int]) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
    """Output of each decoder layer, and the logits, of one text by itself."""
    with target.running() as model:
        output = model(torch.tensor([ids]), output_hidden_states=True)
        streams = {layer: output.hidden_states[layer + 1][0] for layer in range(3)}
        # The last of hidden_states is normed; the last layer is computed from the one before.
        kept: list[Any] = []
        handle = model.get_decoder().layers[3].register_forward_hook(lambda _m, _a, out: kept.append(out))
        model(torch.tensor([ids]))
        handle.remove()
        streams[3] = (kept[0][0] if isinstance(kept[0], tuple) else kept[0]).reshape(len(ids), -1)
    return streams, output.logits[0]


def hooks_of(pair: Pair) -> list[list[int]]:
    """Ids of the hooks after each layer; transformers leaves some of its own."""
    return [list(module._forward_hooks) for module in pair.base.network.layers]


@contextmanager
def layer_calls(pair: Pair) -> Iterator[list[int]]:
    """How often each decoder layer ran."""
    calls = [0] * len(pair.base.network.layers)

    def counter(layer: int) -> Any:
        def count(*_: Any) -> None:
            calls[layer] += 1

        return count

    handles = [m.register_forward_pre_hook(counter(i)) for i, m in enumerate(pair.base.network.layers)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_pass_sees_what_the_plain_models_compute(pair: Pair, corpus: Corpus, batch_size: int) -> None:
    seen, hooks = Recorder(EVERYTHING), hooks_of(pair)
    run_pass([Work(pair, [seen])], corpus, batch_size=batch_size)
    assert hooks_of(pair) == hooks
    expected = ids_by_hand(pair, corpus)
    assert seen.streams.keys() == seen.stretches.keys() == expected.keys()
    for key, ids in expected.items():
        assert list(seen.items[key].ids) == ids
        for side, target in enumerate(pair):
            streams, logits = plain(target, ids)
            for layer in EVERYTHING.layers:
                torch.testing.assert_close(seen.streams[key][layer][side], streams[layer], **CLOSE)
            torch.testing.assert_close(seen.whole_logits(key)[side], logits, **CLOSE)


def test_right_padding_gives_what_left_padding_gives(pair: Pair, corpus: Corpus) -> None:
    seen = Recorder(EVERYTHING)
    run_pass([Work(pair, [seen])], corpus, batch_size=100)
    expected = ids_by_hand(pair, corpus)
    width = max(map(len, expected.values()))
    pad = pair.base.network.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in expected.values()])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in expected.values()])
    for side, target in enumerate(pair):
        with target.running() as model:
            places = (mask.cumsum(-1) - 1).clamp_min(0)
            output = model(ids, attention_mask=mask, position_ids=places, output_hidden_states=True)
        for row, (key, own) in enumerate(expected.items()):
            left = output.logits[row, width - len(own) :]
            torch.testing.assert_close(seen.whole_logits(key)[side], left, **CLOSE)
            left = output.hidden_states[3][row, width - len(own) :]
            torch.testing.assert_close(seen.streams[key][2][side], left, **CLOSE)


@pytest.mark.parametrize("chunk_tokens", [1, 7, 10_000])
def test_stretches_come_in_order_without_gaps_and_do_not_matter(pair: Pair, corpus: Corpus, chunk_tokens: int) -> None:
    whole, cut = Recorder(EVERYTHING), Recorder(EVERYTHING)
    run_pass([Work(pair, [whole])], corpus)
    run_pass([Work(pair, [cut])], corpus, chunk_tokens=chunk_tokens)
    for key in whole.stretches:
        assert all(len(base) <= chunk_tokens for _, base, _ in cut.stretches[key])
        for expected, found in zip(whole.whole_logits(key), cut.whole_logits(key), strict=True):
            torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("deepest", range(4))
def test_layers_after_the_deepest_needed_do_not_run(pair: Pair, corpus: Corpus, deepest: int) -> None:
    needs = [Need(layers=frozenset({deepest})), Need(layers=frozenset({0}))]
    with layer_calls(pair) as calls:
        run_pass([Work(pair, [Recorder(need) for need in needs])], corpus, batch_size=100)
    assert calls == [2] * (deepest + 1) + [0] * (3 - deepest)


def test_depth_follows_the_collectors_that_see_the_batch(pair: Pair, corpus: Corpus) -> None:
    """Logits are asked for of the first text alone: the other batches end at layer 1."""
    shallow = Need(layers=frozenset({1}))
    with layer_calls(pair) as calls:
        run_pass([Work(pair, [Recorder(shallow), Recorder(Need(logits=True, max_texts=1))])], corpus, batch_size=1)
    assert calls == [16, 16, 4, 4]


def test_the_base_runs_once_for_all_pairs(pair_of: Callable[[str], Pair], corpus: Corpus) -> None:
    pairs = [pair_of(name) for name in ("alpha", "beta", "same")]
    alone = [Recorder(EVERYTHING) for _ in pairs]
    for pair, recorder in zip(pairs, alone, strict=True):
        run_pass([Work(pair, [recorder])], corpus)
    together = [Recorder(EVERYTHING) for _ in pairs]
    with layer_calls(pairs[0]) as calls:
        works = [Work(pair, [recorder]) for pair, recorder in zip(pairs, together, strict=True)]
        run_pass(works, corpus, batch_size=100)
    # The base, alpha and beta; the null organism is the base.
    assert calls == [3] * 4
    for one, other in zip(alone, together, strict=True):
        assert one.stretches.keys() == other.stretches.keys()
        for key in one.stretches:
            for expected, found in zip(one.whole_logits(key), other.whole_logits(key), strict=True):
                torch.testing.assert_close(found, expected, **CLOSE)
            for layer in EVERYTHING.layers:
                torch.testing.assert_close(other.streams[key][layer], one.streams[key][layer], **CLOSE)


def test_a_pair_of_the_base_with_itself_differs_nowhere(pair_of: Callable[[str], Pair], corpus: Corpus) -> None:
    seen = Recorder(EVERYTHING)
    run_pass([Work(pair_of("same"), [seen])], corpus)
    for key in seen.stretches:
        assert torch.equal(*seen.whole_logits(key))
        assert all(torch.equal(*seen.streams[key][layer]) for layer in EVERYTHING.layers)


@pytest.mark.parametrize("also", [None, Need(layers=frozenset({1}), logits=True, max_tokens=1_000)])
def test_each_collector_sees_its_own_cut(pair: Pair, corpus: Corpus, also: Need | None) -> None:
    """Whatever another collector of the same pass sees."""
    needs = {
        "narrow": Need(layers=frozenset({1}), logits=True, max_tokens=7),
        "few": Need(layers=frozenset({1}), logits=True, max_texts=2, max_tokens=1_000),
        "answers": Need(layers=frozenset({1}), logits=True, max_tokens=9, after_answer=3),
        "heads": Need(layers=frozenset({1}), logits=True, max_tokens=9, after_answer=0),
    }
    recorders = {name: Recorder(need) for name, need in needs.items()}
    others = [Recorder(also)] if also else []
    run_pass([Work(pair, [*recorders.values(), *others])], corpus, batch_size=4, chunk_tokens=5)
    tokenizer = pair.base.network.tokenizer
    for (kind, index), ids in ids_by_hand(pair, corpus).items():
        head = f"{HEAD}{corpus.chats[index].prompt}<|im_end|>\n" if kind == "chat" else ""
        answer = len(tokenizer(head, add_special_tokens=False)["input_ids"]) if head else 0
        widths = {
            "narrow": min(7, len(ids)),
            "few": len(ids) if index < 2 else 0,
            "answers": min(len(ids), answer + 3 if kind == "chat" else 9),
            "heads": min(len(ids), answer if kind == "chat" else 9),
        }
        for name, width in widths.items():
            seen = recorders[name]
            if width == 0:
                assert (kind, index) not in seen.stretches
                assert (kind, index) not in seen.streams
                continue
            assert list(seen.items[kind, index].ids) == ids[:width]
            for side, target in enumerate(pair):
                streams, logits = plain(target, ids)
                torch.testing.assert_close(seen.whole_logits((kind, index))[side], logits[:width], **CLOSE)
                torch.testing.assert_close(seen.streams[kind, index][1][side], streams[1][:width], **CLOSE)


def test_what_is_not_asked_for_is_not_handed_out(pair: Pair, corpus: Corpus) -> None:
    streams, logits = Recorder(Need(layers=frozenset({1}))), Recorder(Need(logits=True))
    run_pass([Work(pair, [streams, logits])], corpus)
    assert streams.streams
    assert not streams.stretches
    assert logits.stretches
    assert not logits.streams


def test_what_cannot_be_run_is_refused(pair: Pair, corpus: Corpus, fresh_network: Any) -> None:
    run_pass([], corpus)
    with pytest.raises(ValueError, match="layer 4 is out of range; the model has layers 0 to 3"):
        run_pass([Work(pair, [Recorder(Need(layers=frozenset({4})))])], corpus)
    with pytest.raises(ValueError, match=r"'small': the methods' settings leave no token.*max_tokens"):
        run_pass([Work(pair, [Recorder(Need(logits=True, max_tokens=0))])], corpus)
    other = Pair(pair.name, Target(fresh_network), Target(fresh_network))
    with pytest.raises(ValueError, match="one base"):
        run_pass([Work(p, [Recorder(EVERYTHING)]) for p in (pair, other)], corpus)


def test_hooks_are_removed_when_a_model_fails(pair: Pair, corpus: Corpus) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("out of memory")

    hooks = hooks_of(pair)
    handle = pair.base.network.layers[2].register_forward_pre_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            run_pass([Work(pair, [Recorder(EVERYTHING)])], corpus)
    finally:
        handle.remove()
    assert hooks_of(pair) == hooks
