"""A language model as the judge of scales and of relevance, as published (arXiv 2510.13900); the prompts are our own.

What its provider raises propagates.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from ...records.errors import MendableError
from ...records.frozen import Frozen
from ...tools.json_objects import json_objects
from .judges import RelevanceQuestion, ScaleChoice, ScaleTokens

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, Model

__all__ = ["GROUP", "LlmJudge"]

GROUP = 10
"""Scales that a language model compares at once; the winners of the groups meet in further rounds."""

_PROMPTS = Path(__file__).parent / "prompts"

T = TypeVar("T")
R = TypeVar("R", bound=Frozen)


class _ScaleReply(Frozen):
    reasoning: str = ""
    scale: float
    tokens: tuple[str, ...] = ()


class _RelevanceReply(Frozen):
    reasoning: str = ""
    relevant: tuple[int, ...]


@dataclass(frozen=True)
class LlmJudge:
    """A language model as the judge of both, through Inspect.

    Scales meet in groups of ten and the winners in further rounds, as published.
    """

    model: str | Model
    """Inspect name of the model, or the model."""

    @property
    def name(self) -> str:
        """What it is called in payloads, notes and reports."""
        return f"model {self.model}"

    def choose(self, rows: Sequence[ScaleTokens]) -> ScaleChoice:
        """The scale that wins the rounds; the smallest when no scale shows a token that could be read.

        Raises:
            MendableError: When the model's reply cannot be read twice.
        """
        # The prompts' arrows and punctuation say nothing of a direction.
        readable = {row.scale: [token for token in row.tokens if any(map(str.isalnum, token))] for row in rows}
        shown = {scale: tokens for scale, tokens in readable.items() if tokens}
        if not shown:
            return ScaleChoice(min(row.scale for row in rows), ())
        return self._finished(lambda model: self._rounds(model, shown))

    def relevant(self, questions: Sequence[RelevanceQuestion]) -> list[tuple[bool, ...]]:
        """For each question, whether each of its candidates is relevant; the questions are asked at once.

        Raises:
            MendableError: When the model's reply cannot be read twice.
        """

        async def ask_all(model: Model) -> list[tuple[bool, ...]]:
            return list(await asyncio.gather(*(self._marks(model, question) for question in questions)))

        return self._finished(ask_all)

    def _finished(self, work: Callable[[Model], Awaitable[T]]) -> T:
        """The result of work with the model, also where an event loop is running already."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(asyncio.run, self._with_model(work)).result()

    async def _with_model(self, work: Callable[[Model], Awaitable[T]]) -> T:
        from inspect_ai.model import get_model

        if not isinstance(self.model, str):
            return await work(self.model)
        # A remembered model would keep connections of an event loop that is closed by now.
        async with get_model(self.model, memoize=False) as model:
            return await work(model)

    async def _rounds(self, model: Model, shown: Mapping[float, Sequence[str]]) -> ScaleChoice:
        left = sorted(shown)
        while True:
            groups = [left[start : start + GROUP] for start in range(0, len(left), GROUP)]
            asked = (self._best(model, {scale: shown[scale] for scale in group}) for group in groups)
            winners = await asyncio.gather(*asked)
            if len(winners) == 1:
                return winners[0]
            left = [winner.scale for winner in winners]

    async def _best(self, model: Model, group: Mapping[float, Sequence[str]]) -> ScaleChoice:
        def read(reply: str) -> ScaleChoice:
            answer = _last_object(reply, _ScaleReply)
            scale = min(group, key=lambda known: abs(known - answer.scale))
            if abs(scale - answer.scale) > 1e-6:
                raise ValueError(f"{answer.scale} is none of the scales {', '.join(f'{s:g}' for s in group)}")
            named = {token.strip() for token in answer.tokens}
            return ScaleChoice(scale, tuple(token for token in group[scale] if token.strip() in named))

        table = "\n".join(f"{scale:g}: {json.dumps(tokens, ensure_ascii=False)}" for scale, tokens in group.items())
        return await self._asked(model, f"{_prompt('scale')}\n\nScales and their tokens:\n{table}", read)

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
            f"{_prompt('relevance')}\n\nWhat the finetuning taught:\n{question.description}\n\n"
            f"Most frequent tokens of its training data:\n{frequent}\n\nTokens to be judged:\n{tokens}"
        )
        return await self._asked(model, prompt, read)

    async def _asked(self, model: Model, prompt: str, read: Callable[[str], T]) -> T:
        """What ``read`` makes of the reply; a reply that it refuses is sent back once with the reason."""
        from inspect_ai.model import ChatMessageAssistant, ChatMessageUser

        messages: list[ChatMessage] = [ChatMessageUser(content=prompt)]
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
        raise MendableError(f"judge {self.name}: its reply could not be read twice ({problem}); choose another model")


def _prompt(name: str) -> str:
    return (_PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()


def _last_object(reply: str, kind: type[R]) -> R:
    """The last JSON object of a reply that is of a kind.

    Raises:
        ValueError: When there is none.
    """
    problem = "it holds no JSON object"
    for found, _ in reversed(list(json_objects(reply))):
        try:
            return kind.model_validate(found)
        except ValidationError as error:
            problem = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    raise ValueError(problem)
