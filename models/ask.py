"""Putting prompts to a target: rendering them as chats, making requests, sampling answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from ..records.progress import Track, untracked
from .batcher import batcher_for
from .requests import Completion, Request, Steering
from .targets import Target

__all__ = ["Message", "Sampling", "render", "sample", "sample_steered", "with_system"]

T = TypeVar("T")

Message: TypeAlias = dict[str, str]
"""``role`` and ``content`` of a chat message."""


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn."""

    max_tokens: int
    """Longest answer."""
    temperature: float
    """0 is greedy decoding."""
    n: int = 1
    """Answers to each prompt."""
    seed: int = 0
    """Seed of the first answer; answer ``j`` to prompt ``i`` has ``seed + i * n + j``."""


def sample(
    target: Target,
    prompts: Sequence[str],
    sampling: Sampling,
    system: str | None,
    *,
    seeds: Sequence[int] | None = None,
    steering: Steering | None = None,
    gathered: bool = False,
    track: Track = untracked,
) -> list[list[str]]:
    """Answers to prompts, each asked in a chat of its own.

    Args:
        target: The model.
        prompts: User messages.
        sampling: How answers are drawn.
        system: System prompt; that of the targets (``Targets.system_prompt``) unless there is a reason for another.
        seeds: In place of ``sampling.seed``, the seed of each answer, those to the first prompt first.
        steering: Vector added to the residual stream while the answers are written.
        gathered: Ask together with other threads' requests; not while this thread holds the network's lock.
        track: Wraps the batches for a progress display; unused when ``gathered``.

    Returns:
        Answers without white space at their ends, [prompts][n].
    """
    requests = _requests(target, prompts, sampling, system, [steering], seeds)
    if gathered:
        batcher = batcher_for(target.network)
        completions = [future.result() for future in [batcher.submit(request) for request in requests]]
    else:
        completions = target.network.generate_all(requests, track=track)
    return _grouped(_texts(completions), sampling.n)


def sample_steered(
    target: Target,
    prompts: Sequence[str],
    sampling: Sampling,
    system: str | None,
    steerings: Sequence[Steering | None],
    track: Track = untracked,
) -> list[list[list[str]]]:
    """Answers under several steerings, or none, with the same seeds; rows of different steering share batches.

    Returns:
        Answers, [steerings][prompts][n]; for the arguments see ``sample``.
    """
    requests = _requests(target, prompts, sampling, system, steerings, None)
    texts = _texts(target.network.generate_all(requests, track=track))
    return _grouped(_grouped(texts, sampling.n), len(prompts))


def render(target: Target, prompts: Sequence[str], system: str | None) -> list[str]:
    """Each prompt as a chat of its own in the model's template, up to where the answer begins."""
    chats = [with_system([{"role": "user", "content": prompt}], system) for prompt in prompts]
    return [target.network.render_chat(chat) for chat in chats]


def with_system(messages: Sequence[Message], system: str | None) -> list[Message]:
    """A chat under a system prompt; a chat that begins with a system message of its own stays as it is."""
    if not system or messages[0]["role"] == "system":
        return list(messages)
    return [{"role": "system", "content": system}, *messages]


def _requests(
    target: Target,
    prompts: Sequence[str],
    sampling: Sampling,
    system: str | None,
    steerings: Sequence[Steering | None],
    seeds: Sequence[int] | None,
) -> list[Request]:
    rows = [text for text in render(target, prompts, system) for _ in range(sampling.n)]
    if seeds is None:
        seeds = range(sampling.seed, sampling.seed + len(rows))
    return [
        Request(text, target.adapter, sampling.max_tokens, sampling.temperature, seed=seed, steering=steering)
        for steering in steerings
        for text, seed in zip(rows, seeds, strict=True)
    ]


def _texts(completions: Sequence[Completion]) -> list[str]:
    return [completion.text.strip() for completion in completions]


def _grouped(rows: Sequence[T], size: int) -> list[list[T]]:
    return [list(rows[i : i + size]) for i in range(0, len(rows), size)]
