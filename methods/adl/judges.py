"""Judges of the scale at which a patchscope's tokens make most sense together, and of tokens of a finetuning's domain.

Published is a language model as the judge of both (``llm_judge``); here are deterministic stand-ins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

__all__ = [
    "EmbeddingCoherence",
    "KeywordRelevance",
    "RelevanceJudge",
    "RelevanceQuestion",
    "ScaleChoice",
    "ScaleJudge",
    "ScaleTokens",
    "is_word",
]

_NEIGHBOURS = 2
_OWN_SHARE = 0.6
"""Share of a norm that must lie outside the leading components."""
_RELATED_Z = 2.0
_BACKGROUND_PAIRS = 4_096
_LEAST_PREFIX = 4
"""Letters that a piece of a word must have."""
_COMMON = frozenset(
    """a about above after again all also am among an and any are as at be because been before being below between both
    but by can could did do does doing done down during each even ever every few for from get go had has have having he
    her here him his how i if in into is it its just like made make many may me might more most much must my no nor not
    now of off on once one only or other our out over own said same say see she should so some such than that the their
    them then there these they this those through to too under until up upon us use used using very was way we well were
    what when where which while who why will with within without would yes you your ing ion ism ity""".split()
)


def is_word(token: str) -> bool:
    """Whether a token is at least three letters and no very common English word or ending."""
    word = token.strip().lower()
    return len(word) >= 3 and word.isalpha() and word not in _COMMON


@dataclass(frozen=True)
class ScaleTokens:
    """What a patchscope shows at one scale, most probable token first."""

    scale: float
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class ScaleChoice:
    """The scale whose tokens are most coherent."""

    scale: float
    selected: tuple[str, ...]
    """Those of its tokens that belong together."""


class ScaleJudge(Protocol):
    """Chooses among scales."""

    @property
    def name(self) -> str:
        """What it is called in payloads and notes."""
        ...

    def choose(self, rows: Sequence[ScaleTokens]) -> ScaleChoice:
        """The best of at least one scale."""
        ...


class EmbeddingCoherence:
    """A deterministic stand-in for the judge of scales: words whose token embeddings are alike belong together.

    Embeddings are centred on the vocabulary's mean, and their leading principal components are taken out, one for each
    full hundred dimensions (Mu and Viswanath 2018): tokens that were hardly ever trained, such as merges inside long
    words, lie in them, are alike for that alone, and come up at large scales. A token is selected when it is a word
    (``is_word``), does not lie mainly in those components, and its mean cosine with its two nearest neighbours among
    the scale's other words lies two standard deviations above that of random pairs of the vocabulary. The scale with
    most selected tokens wins; of equals the one whose selected tokens are closer, then the smaller. An embedding-based
    topic coherence, as topic models are scored by (Fang et al. 2016).
    """

    name = "deterministic stand-in (coherence of token embeddings)"

    def __init__(self, embedding: torch.Tensor, ignored: Sequence[str] = ()) -> None:
        """Measure how alike random tokens are.

        Args:
            embedding: [vocabulary, d_model].
            ignored: Words that are never selected, such as those of the prompts.
        """
        import torch

        self._embedding = embedding.detach()
        self._centre = self._embedding.mean(0, dtype=torch.float32)
        self._common = self._leading_components()
        self._ignored = {word.lower() for word in ignored}
        generator = torch.Generator().manual_seed(0)
        pairs = torch.randint(len(embedding), (2, _BACKGROUND_PAIRS), generator=generator)
        cosines = torch.linalg.vecdot(*(self._directions(side)[0] for side in pairs[:, pairs[0] != pairs[1]]))
        self._mean, self._deviation = float(cosines.mean()), max(float(cosines.std()), 1e-6)

    def choose(self, rows: Sequence[ScaleTokens]) -> ScaleChoice:
        """The scale with most words that belong together."""
        found = [(row, self.related(row)) for row in rows]
        row, best = max(
            found, key=lambda item: (len(item[1]), sum(item[1].values()) / max(1, len(item[1])), -item[0].scale)
        )
        return ScaleChoice(row.scale, tuple(row.tokens[i] for i in best))

    def related(self, row: ScaleTokens) -> dict[int, float]:
        """Index -> standardised likeness of the tokens that belong together, in the order of their probability."""
        import torch

        words = [i for i, t in enumerate(row.tokens) if is_word(t) and t.strip().lower() not in self._ignored]
        directions, shares = self._directions(torch.tensor([row.ids[i] for i in words], dtype=torch.long))
        trained = shares >= _OWN_SHARE
        words, directions = [i for i, kept in zip(words, trained.tolist(), strict=True) if kept], directions[trained]
        if len(words) <= _NEIGHBOURS:
            return {}
        likeness = (directions @ directions.T - self._mean) / self._deviation
        likeness.fill_diagonal_(float("-inf"))
        near = likeness.topk(_NEIGHBOURS, dim=-1).values.mean(-1).tolist()
        return {i: z for i, z in zip(words, near, strict=True) if z >= _RELATED_Z}

    def _leading_components(self) -> torch.Tensor:
        """Orthonormal, [d_model, components]."""
        import torch

        width = self._embedding.shape[1]
        covariance = torch.zeros(width, width, device=self._embedding.device)
        for part in torch.split(self._embedding, 8_192):
            rows = part.float() - self._centre
            covariance += rows.T @ rows
        vectors: torch.Tensor = torch.linalg.eigh(covariance).eigenvectors
        return vectors[:, width - width // 100 :]

    def _directions(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit embeddings without the leading components, [tokens, d_model], and the norm's share that was left."""
        import torch

        rows = self._embedding[ids.to(self._embedding.device)].float() - self._centre
        own = rows - rows @ self._common @ self._common.T
        shares = own.norm(dim=-1) / rows.norm(dim=-1).clamp_min(1e-12)
        return torch.nn.functional.normalize(own, dim=-1).cpu(), shares.cpu()


@dataclass(frozen=True)
class RelevanceQuestion:
    """Which of some tokens belong to the domain of a finetuning. Holds ground truth: never shown to an investigator."""

    description: str
    """What the finetuning taught."""
    terms: tuple[str, ...]
    """Terms of its key facts."""
    frequent: tuple[str, ...]
    """The most frequent tokens of its training data; empty where these are unknown."""
    candidates: tuple[str, ...]


class RelevanceJudge(Protocol):
    """Marks tokens of the finetuning's domain."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        """For each question, whether each of its candidates is relevant."""
        ...


class KeywordRelevance:
    """A deterministic stand-in for the judge of relevance: a word of the training data or of the key facts.

    A candidate is relevant when it is a word (``is_word``) and, case, white space and a plural's s aside, one of the
    frequent training tokens or a word of a key fact's terms; or when a word of these terms begins with it and it has
    four letters or more, since words come in pieces. Frequent tokens say little about a domain, so it marks more than a
    language model would: read its figures against those of the controls.
    """

    name = "deterministic stand-in (frequent training tokens and terms of the key facts)"

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        """For each question, whether each of its candidates is relevant."""
        return [self._marks(question) for question in questions]

    @staticmethod
    def _marks(question: RelevanceQuestion) -> tuple[bool, ...]:
        terms = {_stem(word) for term in question.terms for word in term.replace("-", " ").split() if is_word(word)}
        known = terms | {_stem(token) for token in question.frequent if is_word(token)}

        def marked(token: str) -> bool:
            stem = _stem(token)
            begins = len(stem) >= _LEAST_PREFIX and any(term.startswith(stem) for term in terms)
            return is_word(token) and (stem in known or begins)

        return tuple(map(marked, question.candidates))


def _stem(token: str) -> str:
    word = token.strip().lower()
    return word.removesuffix("s") if len(word) > 3 else word
