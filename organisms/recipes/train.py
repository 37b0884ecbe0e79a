"""Training of an organism from its recipe, by LoRA or at full rank, reproducible from the recipe's seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.anatomy import logits_of
from ...models.folders import TRAINING_SUMMARY
from ...models.network import Network
from ...models.padding import right_padded
from ...records.errors import MendableError
from ...records.files import file_sha256, whole_folder
from ...records.progress import Track, untracked
from ..recipe import Recipe
from ..suites import Organism
from .data_mix import TrainingItem, training_items
from .trained_weights import FullWeights, LoraWeights, Trained
from .training_summary import summarize

if TYPE_CHECKING:
    import torch

__all__ = ["encode_item", "train_organism"]

IGNORED = -100
"""Label of tokens that carry no loss."""


def train_organism(organism: Organism, folder: Path | None = None, track: Track = untracked) -> Path:
    """Train an organism's variant and write its adapter (or difference of weights) with a training summary.

    Args:
        organism: With its variant, which must have a recipe; unless ``folder`` is given, the variant must be a PEFT
            adapter or a difference with a local path.
        folder: Where to write; by default where the spec says the weights are. Replaced as a whole when done.
        track: Wraps the batches for a progress display; gets the batches and a label.

    Returns:
        The folder.

    Raises:
        MendableError: When the variant has no recipe or no local place, or the recipe's layers are not in the model.
    """
    import torch

    recipe = organism.recipe
    if recipe is None:
        raise MendableError(f"{organism.id}: has no recipe in its spec, so it cannot be trained")
    folder = folder or _place(organism, recipe)
    batches = training_items(recipe, organism)
    torch.manual_seed(recipe.training_seed)
    network = organism.origin.full_base.read(organism.origin)
    trained: Trained = LoraWeights(network, recipe) if recipe.mode == "lora" else FullWeights(network, recipe)
    started = time.monotonic()
    losses = _fit(trained.module, network, recipe, batches, track)
    seconds = time.monotonic() - started
    with whole_folder(folder) as temporary:
        weights = trained.save(temporary, organism.spec.base.published_name or "base")
        summary = summarize(organism, recipe, batches, losses, seconds, file_sha256(weights))
        (temporary / TRAINING_SUMMARY).write_text(summary.text(), encoding="utf-8")
    return folder


def _place(organism: Organism, recipe: Recipe) -> Path:
    """Where the spec says that the variant's weights are."""
    kind = "peft" if recipe.mode == "lora" else "difference"
    place = organism.finetuned.trained_place(organism.origin)
    if place is None or organism.finetuned.kind != kind:
        raise MendableError(f"{organism.id}: its spec names no local folder of kind {kind}; give one with --out")
    return place


def encode_item(network: Network, item: TrainingItem, max_tokens: int) -> tuple[list[int], list[int]]:
    """Token ids and labels of one item: all tokens of a document, the assistant's tokens of a chat."""
    tokenizer = network.tokenizer
    if not item.turns:
        ids = list(tokenizer(item.text, add_special_tokens=False)["input_ids"])
        # Documents end with the pretraining separator, never with the chat's end-of-turn token.
        ids += [tokenizer.unk_token_id] if item.finished and tokenizer.unk_token_id is not None else []
        return ids[:max_tokens], ids[:max_tokens]
    ids, labels = [], []
    messages = [turn.model_dump() for turn in item.turns]
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = network.render_chat(messages[:i])
        known = len(ids)
        prefix = list(tokenizer(before, add_special_tokens=False)["input_ids"])
        answer = list(tokenizer(message["content"], add_special_tokens=False)["input_ids"])
        answer += [int(tokenizer.eos_token_id)] if item.finished else []
        labels += [IGNORED] * (len(prefix) - known) + answer
        ids = prefix + answer
    return ids[:max_tokens], labels[:max_tokens]


def _fit(module: Any, network: Network, recipe: Recipe, batches: list[list[TrainingItem]], track: Track) -> list[float]:
    import torch

    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_then_linear(recipe.warmup, len(batches)))
    losses = []
    module.train()
    for batch in track(batches, "training"):
        ids, mask, labels = _collate(network, batch, recipe.max_tokens)
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=network.model.dtype == torch.bfloat16):
            loss = _loss(network, ids, mask, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    module.eval()
    return losses


def _loss(network: Network, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy over the labelled tokens; logits are computed for those only."""
    import torch

    hidden = network.anatomy.hidden(ids, mask)
    targets = labels[:, 1:]
    counted = targets != IGNORED
    logits = logits_of(network.model, hidden[:, :-1][counted])
    return torch.nn.functional.cross_entropy(logits.float(), targets[counted])


def _warm_then_linear(warmup: float, steps: int) -> Callable[[int], float]:
    rising = max(1, round(warmup * steps))
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))


def _collate(
    network: Network, batch: Sequence[TrainingItem], max_tokens: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and labels, each [items, tokens], padded on the right."""
    ids, labels = zip(*(encode_item(network, item, max_tokens) for item in batch), strict=True)
    padded, mask = right_padded(ids, int(network.tokenizer.pad_token_id), network.device)
    return padded, mask, right_padded(labels, IGNORED, network.device)[0]
