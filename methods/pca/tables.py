"""What is read of each component: variance, texts at its two ends, logit lens and steering in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from transformers import PreTrainedTokenizerBase

from ...models.ask import Sampling, sample_steered
from ...models.requests import Steering
from ...models.targets import Pair
from ...records.progress import Track
from ..activations.corpus import Corpus
from ..activations.lens import top_tokens
from ..activations.top_texts import TopTexts, shown_tokens, significant
from .config import PcaConfig
from .differences import Fit, Kept
from .payload import SIGNS, Component, ProjectedText, SteeredTable, SteeringTables, TextProjections

__all__ = ["component_tables", "steered_samples"]


def component_tables(
    pair: Pair, fit: Fit, sample: Sequence[Kept], config: PcaConfig
) -> tuple[list[Component], list[ProjectedText]]:
    """A table for each component, counted from 1, and the texts that the tables name by their place.

    Texts are ranked by their largest and by their smallest projection at content tokens.
    """
    projections = [fit.project(kept.differences) for kept in sample]
    plus, minus = (top_tokens(pair.finetuned, sign * fit.components, config.lens_top) for sign in (1.0, -1.0))
    ends = [_ends(sample, projections, i, config.top_texts) for i in range(len(fit.components))]
    shown = sorted({number for top, bottom in ends for number in (*top, *bottom)})
    tokenizer = pair.finetuned.network.tokenizer
    tables = []
    for i, (top, bottom) in enumerate(ends):
        numbers = sorted({*top, *bottom})
        tables.append(
            Component(
                component=i + 1,
                explained_variance=float(fit.variance[i]),
                explained_variance_ratio=float(fit.ratio[i]),
                maximum=max(float(values[:, i].max()) for values in projections),
                minimum=min(float(values[:, i].min()) for values in projections),
                lens={"+": plus[i], "-": minus[i]},
                rows=tuple(_row(projections[number][:, i], shown.index(number)) for number in numbers),
                top=tuple(numbers.index(number) for number in top),
                bottom=tuple(numbers.index(number) for number in bottom),
            )
        )
    return tables, [_text(sample[number], tokenizer) for number in shown]


def steered_samples(
    pair: Pair, corpus: Corpus, layer: int, fit: Fit, components: Sequence[Component], config: PcaConfig, track: Track
) -> SteeringTables:
    """Samples for the corpus' prompts, unsteered and along +c and -c of the first components c.

    The vector +-factor * max|projection| * c is added at all tokens, after the layer of the PCA. A steered sample and
    the unsteered one beside it share their seed.
    """
    steered = components[: config.steered_components]
    prompts = corpus.prompts(config.prompts) if steered else []
    if not prompts:
        return SteeringTables(prompts=(), unsteered=(), tables=())
    conditions = [(c, sign, factor) for c in steered for sign in SIGNS for factor in config.factors]
    steerings = [
        Steering(layer, (1 if sign == "+" else -1) * factor * c.largest * fit.components[c.component - 1])
        for c, sign, factor in conditions
    ]
    sampling = Sampling(config.sample_tokens, config.temperature, config.samples, config.seed)
    every = [None, *steerings]
    unsteered, *groups = sample_steered(pair.finetuned, prompts, sampling, pair.system_prompt, every, track)
    return SteeringTables(
        prompts=tuple(prompts),
        unsteered=_frozen(unsteered),
        tables=tuple(
            SteeredTable(
                component=c.component, sign=sign, factor=factor, strength=factor * c.largest, samples=_frozen(samples)
            )
            for (c, sign, factor), samples in zip(conditions, groups, strict=True)
        ),
    )


def _ends(
    sample: Sequence[Kept], projections: Sequence[torch.Tensor], component: int, most: int
) -> tuple[list[int], list[int]]:
    """Numbers of the texts with the largest and with the smallest projections."""
    top, bottom = TopTexts[int](most), TopTexts[int](most)
    for number, (kept, values) in enumerate(zip(sample, projections, strict=True)):
        this = partial(int, number)
        top.offer(float(values[:, component].max()), kept.item, this)
        bottom.offer(-float(values[:, component].min()), kept.item, this)
    return top.ranked(), bottom.ranked()


def _row(values: torch.Tensor, text: int) -> TextProjections:
    return TextProjections(
        text=text,
        max=float(values.max()),
        min=float(values.min()),
        projections=tuple(significant(value, 4) for value in values.tolist()),
    )


def _text(kept: Kept, tokenizer: PreTrainedTokenizerBase) -> ProjectedText:
    first = kept.item.content_start
    return ProjectedText(
        kind=kept.item.kind,
        index=kept.item.index,
        tokens=shown_tokens(kept.item, tokenizer),
        # Of the projections, counted from the first token that is shown.
        positions=tuple(column - first for column in kept.columns),
    )


def _frozen(samples: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, samples))
