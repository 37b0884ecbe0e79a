"""One pass of a corpus through base and finetuned models that all methods share.

A method that reads activations or logits brings *collectors*. The runner encodes the corpus once, runs the base once
for all pairs on it and each finetuned model once, no deeper than the deepest layer any collector asks for, computes
logits only when one asks for them and only for a chunk of tokens at a time, and hands each collector what it asked
for, batch by batch. The corpus is encoded a window at a time; beyond that window memory depends on the batch only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from ...models.interventions import captured
from ...models.targets import Pair, Target
from ...records.errors import MendableError
from ...records.progress import Announced, Track, untracked
from .corpus import Corpus
from .encoding import Encoded, chunks, encode_chats, encode_texts, padded

if TYPE_CHECKING:
    import torch

__all__ = ["BATCH_SIZE", "CHUNK_TOKENS", "Batch", "Collector", "Need", "Work", "check_need", "run_pass", "visible"]

BATCH_SIZE = 16
"""Items run at once, unless told otherwise."""
CHUNK_TOKENS = 512
"""Tokens whose logits are held at once, unless told otherwise."""


@dataclass(frozen=True)
class Need:
    """What a collector wants to see."""

    layers: frozenset[int] = frozenset()
    """Decoder layers after which it reads the residual streams of both models."""
    logits: bool = False
    """Whether it reads the next-token logits of both models."""
    max_texts: int = 10_000
    """Texts, and chats, of the corpus it sees at most, each counted from the first."""
    max_tokens: int = 128
    """Tokens of each it sees at most."""
    after_answer: int | None = None
    """Of chats, see only so many tokens from the header of the answer on; None for all up to ``max_tokens``.
    With a number, ``max_tokens`` does not apply to chats: the header may come later."""

    def width(self, item: Encoded) -> int:
        """Tokens of ``item``, from the first, that it sees; 0 when it does not see the item."""
        if item.index >= self.max_texts:
            return 0
        if item.kind == "chat" and self.after_answer is not None:
            return min(len(item.ids), item.answer_start + self.after_answer)
        return min(len(item.ids), self.max_tokens)


@dataclass(frozen=True)
class Batch:
    """Some items with what was computed on them; tensors hold the widest sight of all collectors, padded right."""

    items: Sequence[Encoded]
    """Row by row what the tensors hold, cut to the widest sight of all; a collector cuts with ``Need.width``."""
    base: dict[int, torch.Tensor] = field(default_factory=dict)
    """Layer -> residual stream of the base, [rows, tokens, d_model], float32."""
    finetuned: dict[int, torch.Tensor] = field(default_factory=dict)
    """The same of the finetuned model."""


class Collector:
    """What a method gathers during a pass over one pair; what it does not ask for, it need not take in.

    Items come sorted by length, not in corpus order.
    """

    need: Need
    """What it wants to see; the same throughout the pass."""

    def residuals(self, batch: Batch) -> None:
        """Take in the residual streams of a batch; called only when ``need.layers`` is not empty."""

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        """Take in next-token logits of a stretch of one item; called only when ``need.logits`` is set.

        Args:
            item: The item, cut to what this collector sees.
            start: Its first token in this stretch; stretches of an item come in order and without gaps.
            base: Logits after tokens start, start + 1, ..., [tokens, vocabulary], float32.
            finetuned: The same of the finetuned model.
        """


@dataclass(frozen=True)
class Work:
    """One pair with the collectors that watch it."""

    pair: Pair
    collectors: Sequence[Collector]


def run_pass(
    works: Sequence[Work],
    corpus: Corpus,
    track: Track = untracked,
    batch_size: int = BATCH_SIZE,
    chunk_tokens: int = CHUNK_TOKENS,
    label: str = "corpus",
) -> None:
    """Run the corpus through the base once and through each pair's finetuned model once.

    Args:
        works: Pairs that share one base (the same network and adapter).
        corpus: Texts and chats.
        track: Wraps the batches for a progress display.
        batch_size: Items run at once.
        chunk_tokens: Tokens whose logits are held at once.
        label: What the progress display shows.

    Raises:
        ValueError: For pairs on different bases.
        MendableError: For a layer that the model does not have, or collectors that see nothing.
    """
    needs = [collector.need for work in works for collector in work.collectors]
    if not needs:
        return
    base = works[0].pair.base
    if any(work.pair.base != base for work in works):
        raise ValueError("one pass serves pairs on one base; run the others in a pass of their own")
    for need in needs:
        check_need(need, base)
    most = max(need.max_texts for need in needs)
    items = min(most, len(corpus.texts)) + min(most, len(corpus.chats))
    seen = 0
    for chunk in track(Announced(chunks(visible(corpus, base, needs), batch_size), -(-items // batch_size)), label):
        _run_batch(works, chunk, *padded(chunk, base.network), chunk_tokens)
        seen += len(chunk)
    if not seen:
        raise MendableError(
            f"corpus {corpus.name!r}: the methods' settings leave no token of it to be seen; raise max_tokens"
        )


def check_need(need: Need, base: Target) -> None:
    """Refuse a need that the model cannot meet.

    Raises:
        MendableError: For a layer that the model does not have.
    """
    count = len(base.network.layers)
    for layer in sorted(need.layers):
        if not 0 <= layer < count:
            raise MendableError(
                f"layer {layer} is out of range; the model has layers 0 to {count - 1}. "
                "Lower it in the method's settings, or in its code"
            )


def visible(corpus: Corpus, base: Target, needs: Sequence[Need]) -> Iterator[Encoded]:
    """The corpus' items, each cut to the widest sight of all ``needs``; unseen ones left out."""
    most = max(need.max_texts for need in needs)
    longest = max(need.max_tokens for need in needs)
    for item in chain(encode_texts(base.network, corpus, longest, most), encode_chats(base.network, corpus, most=most)):
        width = max(need.width(item) for need in needs)
        if width > 0:
            yield _cut(item, width)


def _cut(item: Encoded, width: int) -> Encoded:
    return replace(item, ids=item.ids[:width])


def _run_batch(
    works: Sequence[Work], items: Sequence[Encoded], ids: torch.Tensor, mask: torch.Tensor, chunk_tokens: int
) -> None:
    # Collectors that see none of these items ask for nothing here: neither depth nor logits.
    works = [Work(work.pair, [c for c in work.collectors if any(map(c.need.width, items))]) for work in works]
    works = [work for work in works if work.collectors]
    base_streams, base_hidden = _run_model(works[0].pair.base, ids, mask, *_wanted(works))
    hidden: list[torch.Tensor | None] = []
    for work in works:
        same = work.pair.finetuned == work.pair.base
        streams, states = (
            (base_streams, base_hidden) if same else _run_model(work.pair.finetuned, ids, mask, *_wanted([work]))
        )
        hidden.append(states)
        for collector in work.collectors:
            if collector.need.layers:
                collector.residuals(Batch(items, base_streams, streams))
    if base_hidden is not None:
        _hand_out_logits(works, items, base_hidden, hidden, chunk_tokens)


def _wanted(works: Sequence[Work]) -> tuple[frozenset[int], bool]:
    """The layers that any collector reads, and whether one reads logits."""
    needs = [collector.need for work in works for collector in work.collectors]
    return frozenset(layer for need in needs for layer in need.layers), any(need.logits for need in needs)


def _hand_out_logits(
    works: Sequence[Work],
    items: Sequence[Encoded],
    base_hidden: torch.Tensor,
    hidden: Sequence[torch.Tensor | None],
    chunk_tokens: int,
) -> None:
    from .lens import unembed

    for row, item in enumerate(items):
        widths = [[c.need.width(item) if c.need.logits else 0 for c in work.collectors] for work in works]
        widest = max(max(row_widths, default=0) for row_widths in widths)
        for start in range(0, widest, chunk_tokens):
            stop = min(start + chunk_tokens, widest)
            base = unembed(works[0].pair.base, base_hidden[row, start:stop])
            for work, states, own in zip(works, hidden, widths, strict=True):
                if states is None or max(own, default=0) <= start:
                    continue
                same = work.pair.finetuned == work.pair.base
                finetuned = base if same else unembed(work.pair.finetuned, states[row, start:stop])
                for collector, width in zip(work.collectors, own, strict=True):
                    if width > start:
                        end = min(stop, width) - start
                        collector.logits(_cut(item, width), start, base[:end], finetuned[:end])


def _run_model(
    target: Target, ids: torch.Tensor, mask: torch.Tensor, layers: frozenset[int], hidden: bool
) -> tuple[dict[int, torch.Tensor], torch.Tensor | None]:
    """Residual streams after ``layers`` in float32 and, with ``hidden``, the states after the final norm."""
    if not layers and not hidden:
        return {}, None
    states = None
    with target.running(), captured(target.anatomy, layers, stop=not hidden) as streams:
        states = target.anatomy.hidden(ids, mask)
    return {layer: stream.float() for layer, stream in streams.items()}, states
