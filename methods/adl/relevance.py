"""Token relevance: how many of the tokens that the lens and the patchscope show belong to the finetuning's domain.

A report on an artifact of ``adl`` for those who know the ground truth. It reads it, so nothing of it may enter an
artifact or reach an investigator. Source: arXiv 2510.13900 and its toolkit.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from ...organisms.recipes.data_mix import TrainingItem, narrow_items
from ...organisms.suites import Organism
from ...records.frozen import Frozen
from ..artifact import Artifact
from ..reading import TopTokens, quoted
from .judges import KeywordRelevance, RelevanceJudge, RelevanceQuestion, is_word
from .method import require_adl_artifact
from .payload import AdlPayload, PatchedVector

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["GradedTokens", "RelevanceConfig", "RelevanceReport", "frequent_tokens", "token_relevance"]

Source = Literal["logit_lens", "patchscope"]
Candidates: TypeAlias = tuple[Source, str, PatchedVector, TopTokens]
"""A reading, its position and vector, and the tokens that it shows."""
VECTORS: tuple[PatchedVector, ...] = ("difference", "base", "finetuned")


class RelevanceConfig(Frozen):
    """Settings; defaults as published."""

    candidates: int = Field(default=20, ge=1)
    """Most probable tokens that are judged."""
    frequent: int = Field(default=100, ge=0)
    """Most frequent tokens of the training data that the judge is told."""
    least_count: int = Field(default=10, ge=1)
    """How often each of these must stand in the data."""
    repeats: int = Field(default=3, ge=1)
    """Times the judge is asked, each in another order; a token is relevant when it is each time."""
    seed: int = 0


class GradedTokens(Frozen):
    """The tokens of one vector, as one of the two readings shows them."""

    source: Source
    position: str
    of: PatchedVector
    """``base`` and ``finetuned`` are controls: the models' mean activations themselves."""
    tokens: tuple[str, ...]
    relevant: tuple[bool, ...]
    """By unanimous judgement, token by token."""
    fraction: float
    """Share of the tokens that are relevant."""
    weighted_fraction: float
    """The same weighted by their probabilities."""
    frequent_fraction: float
    """Share of the tokens that are among the frequent training tokens: a baseline without a judge."""


class RelevanceReport(Frozen):
    """Token relevance of one artifact. Holds ground truth."""

    organism: str
    artifact: str
    """Key of the artifact."""
    judge: str
    config: RelevanceConfig
    frequent: tuple[str, ...]
    """Frequent training tokens that the judge was told; empty where the training data are unknown."""
    graded: tuple[GradedTokens, ...]

    def mean_fraction(
        self, source: Source, of: PatchedVector, kind: str = "text", weighted: bool = False
    ) -> float | None:
        """Mean over the positions of a kind (``text`` or ``chat``); None where there is none."""
        rows = [r for r in self.graded if (r.source, r.of) == (source, of) and r.position.startswith(f"{kind}:")]
        values = [row.weighted_fraction if weighted else row.fraction for row in rows]
        return sum(values) / len(values) if values else None

    def text(self) -> str:
        """The fractions in a few lines, the difference beside its controls."""
        lines = [f"Token relevance of {self.organism}, judged by: {self.judge}"]
        for source in ("logit_lens", "patchscope"):
            for row in (row for row in self.graded if row.source == source):
                relevant = [token for token, marked in zip(row.tokens, row.relevant, strict=True) if marked]
                lines.append(
                    f"{source} {row.position} {row.of}: {row.fraction:.2f} of {len(row.tokens)} tokens, "
                    f"weighted {row.weighted_fraction:.2f}, frequent ones {row.frequent_fraction:.2f}"
                    + (f": {quoted(relevant)}" if relevant else "")
                )
        return "\n".join(lines)


def token_relevance(
    artifact: Artifact,
    organism: Organism,
    tokenizer: PreTrainedTokenizerBase,
    judge: RelevanceJudge | None = None,
    config: RelevanceConfig | None = None,
    items: Sequence[TrainingItem] | None = None,
) -> RelevanceReport:
    """Judge the tokens of an artifact of ``adl``.

    Args:
        artifact: With or without a patchscope.
        organism: The pair it belongs to.
        tokenizer: The pair's tokenizer, for the frequent tokens of the training data.
        judge: By default the deterministic stand-in.
        config: Settings; by default the published ones.
        items: The training data; by default those of the organism's recipe, without the unrelated ones. An organism
            without a recipe is judged by its description alone, as published.

    Raises:
        MendableError: For an artifact of another method or pair.
    """
    require_adl_artifact(artifact, organism)
    judge, config = judge or KeywordRelevance(), config or RelevanceConfig()
    if items is None:
        items = narrow_items(organism.recipe, organism) if organism.recipe else ()
    frequent = frequent_tokens(items, tokenizer, config)
    lists = list(_candidates(artifact.payload(AdlPayload), config.candidates))
    marks = _unanimous([[token for token, _ in table] for *_, table in lists], organism, frequent, judge, config)
    return RelevanceReport(
        organism=organism.id,
        artifact=artifact.key,
        judge=judge.name,
        config=config,
        frequent=frequent,
        graded=tuple(_graded(each, marked, frequent) for each, marked in zip(lists, marks, strict=True)),
    )


def frequent_tokens(
    items: Sequence[TrainingItem], tokenizer: PreTrainedTokenizerBase, config: RelevanceConfig
) -> tuple[str, ...]:
    """The most frequent tokens of training data that are words, each decoded by itself, most frequent first.

    Equally frequent ones stand in the order of their first occurrence.
    """
    counts: Counter[int] = Counter()
    for item in items:
        text = "\n".join([item.text, *(turn.content for turn in item.turns)])
        counts.update(tokenizer(text, add_special_tokens=False)["input_ids"])
    decoded = ((str(tokenizer.decode([token])), n) for token, n in counts.most_common() if n >= config.least_count)
    return tuple([token for token, _ in decoded if is_word(token)][: config.frequent])


def _candidates(payload: AdlPayload, most: int) -> Iterator[Candidates]:
    for row in payload.positions:
        for of in VECTORS:
            if tokens := row.lens.of(of)[:most]:
                yield "logit_lens", row.position, of, tokens
    for patched in payload.patchscope.rows if payload.patchscope else ():
        for of in VECTORS:
            if (found := patched.of(of)) and found.tokens:
                yield "patchscope", patched.position, of, found.tokens[:most]


def _unanimous(
    lists: Sequence[Sequence[str]],
    organism: Organism,
    frequent: tuple[str, ...],
    judge: RelevanceJudge,
    config: RelevanceConfig,
) -> list[tuple[bool, ...]]:
    """For each list of tokens, whether the judge marks each of them in every one of the shuffled repeats."""
    spec = organism.spec
    terms = tuple(term for fact in spec.key_facts for term in (*fact.exact, *fact.abstract))
    orders, questions = [], []
    for number, tokens in enumerate(lists):
        for repeat in range(config.repeats):
            order = list(range(len(tokens)))
            random.Random(f"{config.seed}|{number}|{repeat}").shuffle(order)
            orders.append((number, order))
            questions.append(RelevanceQuestion(spec.description, terms, frequent, tuple(tokens[i] for i in order)))
    marks = [[True] * len(tokens) for tokens in lists]
    for (number, order), answer in zip(orders, judge.relevant(questions), strict=True):
        for index, marked in zip(order, answer, strict=True):
            marks[number][index] &= marked
    return [tuple(row) for row in marks]


def _graded(candidates: Candidates, marked: tuple[bool, ...], frequent: tuple[str, ...]) -> GradedTokens:
    source, position, of, table = candidates
    tokens, weights = zip(*table, strict=True)
    total = sum(weights)
    return GradedTokens(
        source=source,
        position=position,
        of=of,
        tokens=tokens,
        relevant=marked,
        fraction=sum(marked) / len(marked),
        weighted_fraction=sum(w for w, m in zip(weights, marked, strict=True) if m) / total if total else 0.0,
        frequent_fraction=sum(token in frequent for token in tokens) / len(tokens),
    )
