"""Judges of the activation difference lens: language models as published (arXiv 2510.13900), deterministic stand-ins.

Judged are the scale at which a patchscope's tokens make most sense together, and which tokens belong to the finetuning.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    import torch
    from inspect_ai.model import Model

__all__ = [
    "GROUP",
    "EmbeddingCoherence",
    "KeywordRelevance",
    "LlmJudge",
    "RelevanceJudge",
    "RelevanceQuestion",
    "ScaleChoice",
    "ScaleJudge",
    "ScaleTokens",
    "is_word",
]

GROUP = 10
"""Scales that a language model compares at once; the winners of the groups meet in further rounds."""

_NEIGHBOURS = 2
_OWN_SHARE = 0.6
"""Share of a norm that must lie outside the leading components."""
_RELATED_Z, _BACKGROUND_PAIRS, _LEAST_PREFIX = 2.0, 4_096, 4

_COMMON = frozenset(
    """a about above after again all also am among an and any are as at be because been before being below between both
    but by can could did do does doing done down during each even ever every few for from get go had has have having he
    her here him his how i if in into is it its just like made make many may me might more most much must my no nor not
    now of off on once one only or other our out over own said same say see she should so some such than that the their
    them then there these they this those through to too under until up upon us use used using very was way we well were
    what when where which while who why will with within without would yes you your ing ion ism ity""".split()
)

T = TypeVar("T")


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


class ScaleJudge(Protocol):
    """Chooses among scales."""

    @property
    def name(self) -> str:
        """What it is called in payloads and notes."""
        ...

    def choose(self, rows: Sequence[ScaleTokens]) -> ScaleChoice:
        """The best of at least one scale."""
        ...


class RelevanceJudge(Protocol):
    """Marks tokens of the finetuning's domain."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        """For each question, whether each of its candidates is relevant."""
        ...


def is_word(token: str) -> bool:
    """Whether a token is at least three letters and no very common English word or ending."""
    word = token.strip().lower()
    return len(word) >= 3 and word.isalpha() and word not in _COMMON


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
        row, best = max(found, key=lambda item: (len(item[1]), _mean(item[1].values()), -item[0].scale))
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


class _ScaleReply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reasoning: str = ""
    scale: float
    tokens: tuple[str, ...] = ()


class _RelevanceReply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reasoning: str = ""
    relevant: tuple[int, ...]


@dataclass(frozen=True)
class LlmJudge:
    """A language model as the judge of both, through Inspect.

    Scales meet in groups of ten and the winners in further rounds, as published; prompts are our own.
    """

    model: str | Model
    """Inspect name of the model, or the model."""
    name: str = field(init=False)

    def __post_init__(self) -> None:
        """Name the judge after its model."""
        object.__setattr__(self, "name", f"model {self.model}")

    def choose(self, rows: Sequence[ScaleTokens]) -> ScaleChoice:
        """The scale that wins the rounds; the smallest when no scale shows a token that could be read.

        Raises:
            ValueError: When the model's reply cannot be read twice.
        """
        shown = {row.scale: tokens for row in rows if (tokens := _readable(row.tokens))}
        if not shown:
            return ScaleChoice(min(row.scale for row in rows), ())
        return _finished(self._with_model(lambda model: self._rounds(model, shown)))

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        """For each question, whether each of its candidates is relevant; the questions are asked at once.

        Raises:
            ValueError: When the model's reply cannot be read twice.
        """

        async def ask_all(model: Model) -> list[tuple[bool, ...]]:
            return list(await asyncio.gather(*(self._marks(model, question) for question in questions)))

        return _finished(self._with_model(ask_all))

    async def _with_model(self, work: Callable[[Model], Coroutine[Any, Any, T]]) -> T:
        from inspect_ai.model import get_model

        if not isinstance(self.model, str):
            return await work(self.model)
        # A remembered model would keep connections of an event loop that is closed by now.
        async with get_model(self.model, memoize=False) as model:
            return await work(model)

    async def _rounds(self, model: Model, shown: dict[float, list[str]]) -> ScaleChoice:
        left = sorted(shown)
        while True:
            groups = [left[start : start + GROUP] for start in range(0, len(left), GROUP)]
            asked = (self._best(model, {scale: shown[scale] for scale in group}) for group in groups)
            winners = await asyncio.gather(*asked)
            if len(winners) == 1:
                return winners[0]
            left = [winner.scale for winner in winners]

    async def _best(self, model: Model, group: dict[float, list[str]]) -> ScaleChoice:
        def read(reply: str) -> ScaleChoice:
            answer = _last_object(reply, _ScaleReply)
            scale = min(group, key=lambda known: abs(known - answer.scale))
            if abs(scale - answer.scale) > 1e-6:
                raise ValueError(f"{answer.scale} is none of the scales {', '.join(f'{s:g}' for s in group)}")
            named = {token.strip() for token in answer.tokens}
            return ScaleChoice(scale, tuple(token for token in group[scale] if token.strip() in named))

        table = "\n".join(f"{scale:g}: {json.dumps(group[scale], ensure_ascii=False)}" for scale in group)
        return await self._asked(model, f"{_SCALE_PROMPT}\n\nScales and their tokens:\n{table}", read)

    async def _marks(self, model: Model, question: RelevanceQuestion) -> tuple[bool, ...]:
        count = len(question.candidates)

        def read(reply: str) -> tuple[bool, ...]:
            chosen = set(_last_object(reply, _RelevanceReply).relevant)
            if wrong := chosen - set(range(1, count + 1)):
                raise ValueError(f"there is no token {min(wrong)}; they are numbered 1 to {count}")
            return tuple(i in chosen for i in range(1, count + 1))

        tokens = "\n".join(f"{i}. {json.dumps(t, ensure_ascii=False)}" for i, t in enumerate(question.candidates, 1))
        frequent = json.dumps(question.frequent, ensure_ascii=False) if question.frequent else "unknown"
        prompt = (
            f"{_RELEVANCE_PROMPT}\n\nWhat the finetuning taught:\n{question.description}\n\n"
            f"Most frequent tokens of its training data:\n{frequent}\n\nTokens to be judged:\n{tokens}"
        )
        return await self._asked(model, prompt, read)

    async def _asked(self, model: Model, prompt: str, read: Callable[[str], T]) -> T:
        """What ``read`` makes of the reply; a reply that it refuses is sent back once with the reason."""
        from inspect_ai.model import ChatMessageAssistant, ChatMessageUser

        messages: list[Any] = [ChatMessageUser(content=prompt)]
        problem = ""
        for _ in range(2):
            reply = (await model.generate(messages)).completion
            try:
                return read(reply)
            except ValueError as error:
                problem = str(error)
                messages += [
                    ChatMessageAssistant(content=reply or "(nothing)"),
                    ChatMessageUser(content=f"This cannot be read: {problem}. Answer again, ending with the JSON."),
                ]
        raise ValueError(f"judge {self.name}: its reply could not be read twice ({problem}); choose another model")


_SCALE_PROMPT = """\
A direction in a language model was read at several scales. Each scale gave a list of tokens, most probable first. Most
scales show noise; some may show what the direction is about. Choose the one scale whose tokens are most coherent in
meaning. Of scales that are alike in this, choose the one with more coherent tokens. If none is coherent, choose the
one with the most telling content word.

Judge meaning alone: casing, spaces, language and words cut into pieces do not matter. Spaces, punctuation, very common
words and mere endings of words never count. The tokens may stem from one sentence. Think first, comparing the best
few scales. Then end your reply with one JSON object and nothing after it:
{"reasoning": "one sentence", "scale": 1.5, "tokens": ["those of that scale's tokens that belong together"]}"""

_RELEVANCE_PROMPT = """\
Decide which tokens of a list clearly belong to the subject of a finetuning. You get what the finetuning taught and the
most frequent tokens of its training data. A token need not stand in either: being clearly related in meaning is
enough, also as a recognisable piece of a word or in another language. Never relevant are spaces, punctuation, plain
numbers, common words, endings of words, ordinary verbs and words of any chat, even where they are frequent in the
data. In doubt a token is not relevant, and maybe none is. Think first. Then end your reply with one JSON object and
nothing after it, naming the numbers of the relevant tokens:
{"reasoning": "one sentence", "relevant": [1, 4]}"""

R = TypeVar("R", bound=BaseModel)


def _last_object(reply: str, kind: type[R]) -> R:
    """The last JSON object of a reply that is of a kind.

    Raises:
        ValueError: When there is none.
    """
    problem = "it holds no JSON object"
    decoder = json.JSONDecoder(strict=False)
    for start in (i for i in range(len(reply) - 1, -1, -1) if reply[i] == "{"):
        try:
            return kind.model_validate(decoder.raw_decode(reply, start)[0])
        except json.JSONDecodeError:
            continue
        except ValidationError as error:
            problem = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    raise ValueError(problem)


def _finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, also where an event loop is running already."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


def _readable(tokens: Sequence[str]) -> list[str]:
    """Tokens with a letter or a digit in them: the prompts' arrows and punctuation say nothing of a direction."""
    return [token for token in tokens if any(map(str.isalnum, token))]


def _stem(token: str) -> str:
    word = token.strip().lower()
    return word.removesuffix("s") if len(word) > 3 else word


def _mean(values: Any) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0
