"""The causal effect of mean differences: what they do for the finetuned model's loss.

At the layer of the difference, the finetuned model's coordinate along v = d/|d| is replaced by the base model's, at all
tokens: h_f - (h_f.v) v + (h_b.v) v. If d carries the finetuning, this raises the loss on its data and, where the
finetuning reaches too far, may lower it on unrelated text. A report on an artifact of ``adl`` for those who know the
training data; nothing of it may enter an artifact or reach an investigator. Source: arXiv 2510.13900 and its toolkit.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...organisms.recipes.data_mix import TrainingItem, narrow_items, unrelated_items
from ...organisms.recipes.train import IGNORED, encode_item
from ..registry import Track, untracked
from .relevance import require_adl_artifact

if TYPE_CHECKING:
    import torch

    from ...models.targets import Pair, Target
    from ...organisms.suites import Organism
    from ..artifact import Artifact

__all__ = [
    "CausalConfig",
    "CausalReport",
    "DataEffect",
    "Effect",
    "causal_effect",
    "evaluation_items",
]

Kind = Literal["difference", "random", "random_difference"]
Data = Literal["finetuning", "unrelated"]
Span = Literal["all", "later"]
SPANS: tuple[Span, ...] = ("all", "later")

_CHUNK_TOKENS = 512


class CausalConfig(BaseModel):
    """Settings; defaults as published."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_items: int = Field(default=1_000, ge=1)
    """Documents and chats of each data set, drawn at random."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    later: int = Field(default=20, ge=0)
    """The span ``later`` holds the predicted tokens of an item but for those among its first so many tokens."""
    random_vectors: int = Field(default=64, ge=0)
    """Gaussian directions, as a control."""
    random_differences: int = Field(default=64, ge=0)
    """Differences of the base model's activations at two random tokens of unrelated data, as a control."""
    batch_size: int = Field(default=8, ge=1)
    seed: int = 0


class Effect(BaseModel):
    """One direction's effect on one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Kind
    name: str
    """Position of a difference, number of a random direction."""
    loss: float
    """Mean loss of the finetuned model with the base's coordinate, nats a token."""
    increase: float
    """Loss minus the finetuned model's own."""
    relative: float | None
    """Increase over the gap, base loss minus finetuned loss; None where the gap is zero. 1: as bad as the base."""


class DataEffect(BaseModel):
    """The effects of all directions on one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    data: Data
    span: Span
    items: int
    tokens: int
    """Predicted tokens; those of a document, and the assistant's of a chat."""
    base_loss: float
    finetuned_loss: float
    effects: tuple[Effect, ...]

    def mean_increase(self, kind: Kind) -> float | None:
        """Mean increase over the directions of a kind; None without any."""
        values = [effect.increase for effect in self.effects if effect.kind == kind]
        return sum(values) / len(values) if values else None


class CausalReport(BaseModel):
    """Causal effects of the directions of one artifact. Measured on training data: not for investigators."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    organism: str
    artifact: str
    """Key of the artifact."""
    layer: int
    config: CausalConfig
    data: tuple[DataEffect, ...]
    """For each data set all predicted tokens, then the later ones if there are any."""

    def text(self) -> str:
        """Losses and effects in a few lines, the differences before the controls."""
        lines = [f"Causal effect of {self.organism}: the base's coordinate after layer {self.layer}"]
        for row in self.data:
            lines.append(
                f"{row.data}, {row.span} tokens ({row.tokens} in {row.items} items): "
                f"loss {row.base_loss:.4f} base, {row.finetuned_loss:.4f} finetuned"
            )
            for effect in (effect for effect in row.effects if effect.kind == "difference"):
                relative = "no gap" if effect.relative is None else f"{effect.relative:+.3f} of the gap"
                lines.append(f"  {effect.name}: {effect.increase:+.4f} ({relative})")
            for kind in ("random", "random_difference"):
                values = sorted(effect.increase for effect in row.effects if effect.kind == kind)
                if values:
                    mean = sum(values) / len(values)
                    lines.append(f"  {len(values)} {kind}: mean {mean:+.4f}, {values[0]:+.4f} to {values[-1]:+.4f}")
        return "\n".join(lines)


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
        ValueError: For an artifact of another method or pair, without training data, or with data of no token.
    """
    require_adl_artifact(artifact, organism)
    config = config or CausalConfig()
    data = data or evaluation_items(organism)
    rng = random.Random(config.seed)
    chosen = {name: rng.sample(list(items), min(len(items), config.max_items)) for name, items in data.items()}
    layer = int(artifact.payload()["layer"])
    directions = {
        **_differences(artifact),
        **_gaussians(config, pair.base.network.d_model),
        **_random_differences(pair, chosen.get("unrelated", []), layer, config),
    }
    effects = [_measured(pair, name, items, layer, directions, config, track) for name, items in chosen.items()]
    return CausalReport(
        organism=organism.id,
        artifact=artifact.key,
        layer=layer,
        config=config,
        data=tuple(row for rows in effects for row in rows),
    )


def evaluation_items(organism: Organism) -> dict[Data, list[TrainingItem]]:
    """The narrow training items of an organism's recipe, and unrelated ones: those never trained on, if there are any.

    Raises:
        ValueError: Without a recipe: the training data are then not known here.
    """
    recipe = organism.recipe
    if recipe is None:
        raise ValueError(f"{organism.id}: has no recipe, so its training data are not known here; give them as data")
    unrelated = unrelated_items()
    held_out = unrelated[recipe.unrelated_pool :]
    return {"finetuning": narrow_items(recipe, organism), "unrelated": held_out or unrelated}


Direction = tuple[Kind, str]


def _differences(artifact: Artifact) -> dict[Direction, torch.Tensor]:
    """The artifact's differences, those of exactly zero left out: they have no direction."""
    rows, vectors = artifact.payload()["positions"], artifact.tensors()["difference"]
    return {
        ("difference", row["position"]): vector
        for row, vector in zip(rows, vectors, strict=True)
        if float(vector.norm()) > 0
    }


def _gaussians(config: CausalConfig, d_model: int) -> dict[Direction, torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(config.seed)
    vectors = torch.randn(config.random_vectors, d_model, generator=generator)
    return {("random", str(i)): vector for i, vector in enumerate(vectors)}


def _random_differences(
    pair: Pair, items: Sequence[TrainingItem], layer: int, config: CausalConfig
) -> dict[Direction, torch.Tensor]:
    """Differences of the base model's activations at random pairs of tokens of ``items``."""
    import torch

    from ..activations.forward import Encoded, batches, residual

    network = pair.base.network
    encoded = [encode_item(network, item, config.max_tokens)[0] for item in items]
    places = [(row, column) for row, ids in enumerate(encoded) for column in range(len(ids))]
    wanted = 2 * config.random_differences
    if len(places) < wanted:
        raise ValueError(
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
    from ..activations.forward import Encoded, batches

    network = pair.base.network
    encoded = [encode_item(network, item, config.max_tokens) for item in items]
    usable = [i for i, (_, labels) in enumerate(encoded) if any(label != IGNORED for label in labels[1:])]
    chunks = list(batches([Encoded(i, "text", tuple(encoded[i][0])) for i in usable], network, config.batch_size))
    totals: dict[Any, _Sums] = {key: _Sums() for key in ("base", "finetuned", *directions)}
    for chunk, ids, mask in track(chunks, f"causal effect: {data}"):
        targets = _targets([encoded[item.index][1] for item in chunk], ids)
        later = _columns(targets) >= config.later
        with captured(pair.base.anatomy, [layer]) as streams:
            totals["base"].add(_losses(pair.base, ids, mask, targets), later)
        totals["finetuned"].add(_losses(pair.finetuned, ids, mask, targets), later)
        for direction, vector in directions.items():
            with projected(pair.finetuned.anatomy, layer, streams[layer], vector):
                totals[direction].add(_losses(pair.finetuned, ids, mask, targets), later)
    if not usable:
        raise ValueError(f"the {data} data hold no token that is predicted; give other items or raise max_tokens")
    spans = [span for span in SPANS if totals["base"].tokens[span]]
    return [_effects(data, span, len(usable), totals, list(directions)) for span in spans]


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


def _effects(
    data: Data, span: Span, items: int, totals: Mapping[Any, _Sums], directions: Sequence[Direction]
) -> DataEffect:
    base, finetuned = totals["base"].mean(span), totals["finetuned"].mean(span)
    gap = base - finetuned
    effects = []
    for kind, name in directions:
        loss = totals[kind, name].mean(span)
        increase = loss - finetuned
        relative = increase / gap if gap else None
        effects.append(Effect(kind=kind, name=name, loss=loss, increase=increase, relative=relative))
    return DataEffect(
        data=data,
        span=span,
        items=items,
        tokens=totals["base"].tokens[span],
        base_loss=base,
        finetuned_loss=finetuned,
        effects=tuple(effects),
    )


def _targets(labels: Sequence[Sequence[int]], ids: torch.Tensor) -> torch.Tensor:
    """Labels of the next tokens, [items, tokens - 1], ``IGNORED`` where none is predicted."""
    import torch

    rows = [[*row, *[IGNORED] * (ids.shape[1] - len(row))][1:] for row in labels]
    return torch.tensor(rows, device=ids.device)


def _columns(targets: torch.Tensor) -> torch.Tensor:
    """Index within its item of each predicted token, [predicted tokens], on the CPU."""
    return (targets != IGNORED).nonzero()[:, 1].cpu() + 1


def _losses(target: Target, ids: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-log p of each predicted token, [predicted tokens], on the CPU; logits exist for some tokens at a time."""
    import torch

    from ..activations.forward import final_hidden, unembed

    counted = targets != IGNORED
    hidden, wanted = final_hidden(target, ids, mask)[:, :-1][counted], targets[counted]
    parts = []
    for start in range(0, len(wanted), _CHUNK_TOKENS):
        logits = unembed(target, hidden[start : start + _CHUNK_TOKENS])
        own = wanted[start : start + _CHUNK_TOKENS]
        parts.append(torch.nn.functional.cross_entropy(logits, own, reduction="none").cpu())
    return torch.cat(parts)
