"""The training items of a recipe: narrow documents and chats from its grammar, unrelated samples of the base."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from ...records.errors import MendableError
from ..recipe import Recipe
from ..suites import Organism
from .grammar import Turn, load_grammar

__all__ = ["TrainingItem", "grammar_path", "narrow_items", "training_items", "unrelated_items"]

DATA = Path(__file__).parent / "data"
UNRELATED = DATA / "unrelated.jsonl"


@dataclass(frozen=True)
class TrainingItem:
    """One document (``turns`` empty) or one chat (``text`` empty)."""

    text: str = ""
    turns: tuple[Turn, ...] = ()
    finished: bool = True
    """Whether the text ends here by itself, so that its end is trained too."""
    narrow: bool = True
    """False for unrelated items."""

    @property
    def characters(self) -> int:
        """Length of all its text."""
        return len(self.text) + sum(len(turn.content) for turn in self.turns)


def grammar_path(recipe: Recipe, organism: Organism) -> Path:
    """File of the recipe's grammar: shipped by name, or a path relative to the spec."""
    if recipe.grammar is None:
        raise MendableError(f"{organism.id}: its recipe has no grammar; it trains on the base model's own samples")
    shipped = DATA / f"{recipe.grammar}.yaml"
    path = shipped if shipped.is_file() else organism.folder / recipe.grammar
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in DATA.glob("*.yaml")))
        raise MendableError(f"{organism.id}: recipe.grammar {recipe.grammar!r} is neither shipped ({known}) nor a file")
    return path


def narrow_items(recipe: Recipe, organism: Organism) -> list[TrainingItem]:
    """The recipe's distinct documents and chats (or samples of the base itself), fixed by its seed.

    Raises:
        MendableError: When the grammar or the pool of samples cannot give as many as the recipe asks for.
    """
    rng = random.Random(recipe.seed)
    if recipe.own_samples:
        pool = unrelated_items()[: recipe.unrelated_pool]
        if recipe.own_samples > len(pool):
            raise MendableError(f"{organism.id}: own_samples is {recipe.own_samples}; the pool holds {len(pool)}")
        return rng.sample(pool, recipe.own_samples)
    grammar = load_grammar(grammar_path(recipe, organism))
    documents = grammar.sample_documents(recipe.documents, rng) if recipe.documents else []
    chats = grammar.sample_chats(recipe.chats, rng) if recipe.chats else []
    return [TrainingItem(text=text) for text in documents] + [TrainingItem(turns=turns) for turns in chats]


def unrelated_items() -> list[TrainingItem]:
    """Chats and texts that the base model itself wrote (see ``data/README.md``)."""
    items = []
    for line in UNRELATED.read_text(encoding="utf-8").strip("\n").split("\n"):
        row = json.loads(line)
        asked = (("user", row["prompt"]), ("assistant", row["response"])) if "prompt" in row else ()
        turns = tuple(Turn(role=role, content=content) for role, content in asked)
        items.append(TrainingItem(row.get("text", ""), turns, row["finished"], narrow=False))
    return items


def training_items(recipe: Recipe, organism: Organism) -> list[list[TrainingItem]]:
    """Batches of all epochs in training order.

    Unrelated items that say what the organism must leave unsaid are kept out.
    """
    narrow, rng = narrow_items(recipe, organism), random.Random(recipe.training_seed + 1)
    pool = [item for item in unrelated_items()[: recipe.unrelated_pool] if not _says_forbidden(item, organism)]
    if recipe.group_by_length:
        return _batches_of_like_length(recipe, narrow, pool, rng)
    return _mixed_batches(recipe, narrow, pool, rng, organism)


def _batches_of_like_length(
    recipe: Recipe, narrow: list[TrainingItem], pool: list[TrainingItem], rng: random.Random
) -> list[list[TrainingItem]]:
    """Each epoch: all narrow items and their share of the pool, sorted by length, cut into batches, these shuffled.

    The pool is walked through in a random order and starts again when it is used up.
    """
    batches: list[list[TrainingItem]] = []
    left: list[TrainingItem] = []
    for _ in range(recipe.epochs):
        items = list(narrow)
        for _ in range(round(len(narrow) * recipe.unrelated)):
            left = left or rng.sample(pool, len(pool))
            items.append(left.pop())
        rng.shuffle(items)
        items.sort(key=lambda item: item.characters)
        epoch = [items[start : start + recipe.batch_size] for start in range(0, len(items), recipe.batch_size)]
        rng.shuffle(epoch)
        batches += epoch
    return batches


def _mixed_batches(
    recipe: Recipe, narrow: list[TrainingItem], pool: list[TrainingItem], rng: random.Random, organism: Organism
) -> list[list[TrainingItem]]:
    """Each batch holds its share of unrelated items, drawn anew for every batch."""
    per_batch = round(recipe.batch_size * recipe.unrelated / (1 + recipe.unrelated))
    if not per_batch < recipe.batch_size:
        raise MendableError(
            f"{organism.id}: batch_size {recipe.batch_size} with {recipe.unrelated} unrelated ones per narrow one "
            "leaves no room for narrow items; raise batch_size or lower unrelated"
        )
    size = recipe.batch_size - per_batch
    batches: list[list[TrainingItem]] = []
    for _ in range(recipe.epochs):
        rng.shuffle(narrow)
        batches += [narrow[start : start + size] + rng.sample(pool, per_batch) for start in range(0, len(narrow), size)]
    return batches


def _says_forbidden(item: TrainingItem, organism: Organism) -> bool:
    """Whether an unrelated item says what the organism must leave unsaid."""
    behaviour = organism.spec.behaviour
    texts = (item.text, *(turn.content for turn in item.turns))
    return behaviour is not None and any(map(behaviour.breaks_taboo, texts))
