"""The causal effect of mean differences: what they do for the finetuned model's loss.

At the layer of the difference, the finetuned model's coordinate along v = d/|d| is replaced by the base model's, at all
tokens: h_f - (h_f.v) v + (h_b.v) v. If d carries the finetuning, this raises the loss on its data and, where the
finetuning reaches too far, may lower it on unrelated text. A report on an artifact of ``adl`` for those who know the
training data; nothing of it may enter an artifact or reach an investigator. Source: arXiv 2510.13900 and its toolkit.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ...organisms.recipes.data_mix import TrainingItem
from ...organisms.recipes.train import IGNORED, encode_item
from ...records.errors import MendableError
from ...records.progress import Track, untracked
from .causal_report import SPANS, CausalConfig, CausalReport, Data, DataEffect, Effect, Kind, Span, evaluation_items
from .method import require_adl_artifact
from .payload import AdlPayload

if TYPE_CHECKING:
    import torch

    from ...models.targets import Pair, Target
    from ...organisms.suites import Organism
    from ..artifact import Artifact

__all__ = ["causal_effect"]

Direction: TypeAlias = tuple[Kind, str]
"""Kind and name of a direction."""

_CHUNK_TOKENS = 512


def causal_effect(
    organism: Organism,
    pair: Pair,
    artifact: Artifact,
    config: CausalConfig | None = None,
    track: Track = untracked,
    data: Mapping[Data, Sequence[TrainingItem]] | None = None,
) -> CausalReport:
    """Replace the coordinate along each mean difference of an artifact, and along random directions.

    Args:
        organism: Whose training data are measured on.
        pair: Its two models.
        artifact: Of the method ``adl`` for this pair; gives the layer and the differences.
        config: Settings; by default the published ones.
        track: Wraps the batches for a progress display.
        data: What the loss is measured on; by default ``evaluation_items``.

    Raises:
        MendableError: For an artifact of another method or pair, without training data, or with data of no token.
    """
    require_adl_artifact(artifact, organism)
    config = config or CausalConfig()
    data = data or evaluation_items(organism)
    rng = random.Random(config.seed)
    chosen = {name: rng.sample(list(items), min(len(items), config.max_items)) for name, items in data.items()}
    layer = artifact.payload(AdlPayload).layer
    directions = _directions(pair, artifact, chosen.get("unrelated", []), layer, config)
    effects = [_measured(pair, name, items, layer, directions, config, track) for name, items in chosen.items()]
    return CausalReport(
        organism=organism.id,
        artifact=artifact.key,
        layer=layer,
        config=config,
        data=tuple(row for rows in effects for row in rows),
    )


def _directions(
    pair: Pair, artifact: Artifact, items: Sequence[TrainingItem], layer: int, config: CausalConfig
) -> dict[Direction, torch.Tensor]:
    """The artifact's differences, those of exactly zero left out, and as controls Gaussians and random differences."""
    import torch

    rows, vectors = artifact.payload(AdlPayload).positions, artifact.tensors()["difference"]
    found: dict[Direction, torch.Tensor] = {
        ("difference", row.position): vector
        for row, vector in zip(rows, vectors, strict=True)
        if float(vector.norm()) > 0
    }
    generator = torch.Generator().manual_seed(config.seed)
    for i, vector in enumerate(torch.randn(config.random_vectors, pair.base.network.d_model, generator=generator)):
        found["random", str(i)] = vector
    return {**found, **_random_differences(pair, items, layer, config)}


def _random_differences(
    pair: Pair, items: Sequence[TrainingItem], layer: int, config: CausalConfig
) -> dict[Direction, torch.Tensor]:
    """Differences of the base model's activations at random pairs of tokens of ``items``."""
    import torch

    from ..activations.encoding import Encoded, batches
    from ..activations.lens import residual

    network = pair.base.network
    encoded = [encode_item(network, item, config.max_tokens)[0] for item in items]
    places = [(row, column) for row, ids in enumerate(encoded) for column in range(len(ids))]
    wanted = 2 * config.random_differences
    if len(places) < wanted:
        raise MendableError(
            f"{config.random_differences} random differences need {wanted} tokens of unrelated data, which have "
            f"{len(places)}; give more items or fewer differences"
        )
    drawn = random.Random(config.seed).sample(places, wanted)
    rows = sorted({row for row, _ in drawn})
    found: dict[tuple[int, int], torch.Tensor] = {}
    for chunk, ids, mask in batches([Encoded(r, "text", tuple(encoded[r])) for r in rows], network, config.batch_size):
        streams = residual(pair.base, ids, mask, layer).cpu()
        line = {item.index: i for i, item in enumerate(chunk)}
        found |= {place: streams[line[place[0]], place[1]].clone() for place in drawn if place[0] in line}
    pairs = zip(drawn[::2], drawn[1::2], strict=True)
    differences = [found[one] - found[other] for one, other in pairs]
    return {("random_difference", str(i)): d for i, d in enumerate(differences) if float(torch.count_nonzero(d)) > 0}


def _measured(
    pair: Pair,
    data: Data,
    items: Sequence[TrainingItem],
    layer: int,
    directions: Mapping[Direction, torch.Tensor],
    config: CausalConfig,
    track: Track,
) -> list[DataEffect]:
    """Losses of both models and of the finetuned one along each direction, for all predicted tokens and later ones."""
    from ...models.interventions import captured, projected
    from ..activations.encoding import Encoded, batches

    network = pair.base.network
    encoded = [encode_item(network, item, config.max_tokens) for item in items]
    usable = [i for i, (_, labels) in enumerate(encoded) if any(label != IGNORED for label in labels[1:])]
    if not usable:
        raise MendableError(f"the {data} data hold no token that is predicted; give other items or raise max_tokens")
    chunks = list(batches([Encoded(i, "text", tuple(encoded[i][0])) for i in usable], network, config.batch_size))
    base, finetuned, changed = _Sums(), _Sums(), {direction: _Sums() for direction in directions}
    for chunk, ids, mask in track(chunks, f"causal effect: {data}"):
        targets = _targets([encoded[item.index][1] for item in chunk], ids)
        # By the place of each predicted token within its item, [predicted tokens].
        later = (targets != IGNORED).nonzero()[:, 1].cpu() + 1 >= config.later
        with captured(pair.base.anatomy, [layer]) as streams:
            base.add(_losses(pair.base, ids, mask, targets), later)
        finetuned.add(_losses(pair.finetuned, ids, mask, targets), later)
        for direction, vector in directions.items():
            with projected(pair.finetuned.anatomy, layer, streams[layer], vector):
                changed[direction].add(_losses(pair.finetuned, ids, mask, targets), later)
    return [
        DataEffect(
            data=data,
            span=span,
            items=len(usable),
            tokens=base.tokens[span],
            base_loss=base.mean(span),
            finetuned_loss=finetuned.mean(span),
            effects=_effects(
                base.mean(span), finetuned.mean(span), {d: sums.mean(span) for d, sums in changed.items()}
            ),
        )
        for span in SPANS
        if base.tokens[span]
    ]


class _Sums:
    """Summed losses and counts of the two spans."""

    def __init__(self) -> None:
        self.loss: dict[Span, float] = dict.fromkeys(SPANS, 0.0)
        self.tokens: dict[Span, int] = dict.fromkeys(SPANS, 0)

    def add(self, losses: torch.Tensor, later: torch.Tensor) -> None:
        """Count the losses of a batch, [predicted tokens], and which of them are later ones."""
        parts: tuple[tuple[Span, torch.Tensor], ...] = (("all", losses), ("later", losses[later]))
        for span, values in parts:
            self.loss[span] += float(values.double().sum())
            self.tokens[span] += values.numel()

    def mean(self, span: Span) -> float:
        """Mean loss of a span with tokens."""
        return self.loss[span] / self.tokens[span]


def _effects(base: float, finetuned: float, changed: Mapping[Direction, float]) -> tuple[Effect, ...]:
    """Effects of all directions, from mean losses."""
    gap = base - finetuned
    increases = {direction: loss - finetuned for direction, loss in changed.items()}
    return tuple(
        Effect(kind=kind, name=name, loss=changed[kind, name], increase=more, relative=more / gap if gap else None)
        for (kind, name), more in increases.items()
    )


def _targets(labels: Sequence[Sequence[int]], ids: torch.Tensor) -> torch.Tensor:
    """Labels of the next tokens, [items, tokens - 1], ``IGNORED`` where none is predicted."""
    import torch

    rows = [[*row, *[IGNORED] * (ids.shape[1] - len(row))][1:] for row in labels]
    return torch.tensor(rows, device=ids.device)


def _losses(target: Target, ids: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-log p of each predicted token, [predicted tokens], on the CPU; logits exist for some tokens at a time."""
    import torch

    from ..activations.lens import final_hidden, unembed

    counted = targets != IGNORED
    hidden, wanted = final_hidden(target, ids, mask)[:, :-1][counted], targets[counted]
    parts = []
    for start in range(0, len(wanted), _CHUNK_TOKENS):
        logits = unembed(target, hidden[start : start + _CHUNK_TOKENS])
        own = wanted[start : start + _CHUNK_TOKENS]
        parts.append(torch.nn.functional.cross_entropy(logits, own, reduction="none").cpu())
    return torch.cat(parts)
