"""Prompts put to a target: the requests that reach the network, and answers by prompt and steering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from diffbench.models.ask import Sampling, render, sample, sample_steered, with_system
from diffbench.models.network import Network
from diffbench.models.requests import Completion, Request, Steering
from diffbench.models.targets import Pair, Target

PROMPTS = ["Which animal?", "And the moon?", "Why?"]
SYSTEM = "You are a bird."


@pytest.fixture
def target(pair_of: Callable[[str], Pair]) -> Target:
    return pair_of("alpha").finetuned


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Request]]:
    """The batches that reach the network in this test; each answer tells its prompt's last words and its seed."""
    seen: list[Sequence[Request]] = []

    def generate(_network: Network, requests: Sequence[Request]) -> list[Completion]:
        seen.append(requests)
        return [Completion(f" {request.seed}\n", 1, 1, finished=True) for request in requests]

    monkeypatch.setattr(Network, "generate", generate)
    return seen


def chat(target: Target, prompt: str, system: str | None = None) -> str:
    messages = [{"role": "user", "content": prompt}]
    return target.network.render_chat([{"role": "system", "content": system}, *messages] if system else messages)


def test_each_answer_has_a_seed_of_its_own(target: Target, batches: list[Sequence[Request]]) -> None:
    answers = sample(target, PROMPTS, Sampling(7, 0.5, n=2, seed=30), SYSTEM)
    assert answers == [["30", "31"], ["32", "33"], ["34", "35"]]
    ((*requests,),) = batches
    expected = [
        Request(chat(target, prompt, SYSTEM), target.adapter, max_tokens=7, temperature=0.5, seed=30 + 2 * i + j)
        for i, prompt in enumerate(PROMPTS)
        for j in range(2)
    ]
    assert requests == expected


def test_seeds_may_be_given(target: Target, batches: list[Sequence[Request]]) -> None:
    assert sample(target, PROMPTS[:2], Sampling(7, 1.0, n=2), None, seeds=[9, 3, 9, 1]) == [["9", "3"], ["9", "1"]]
    assert batches[0][0].prompt == chat(target, PROMPTS[0])
    with pytest.raises(ValueError, match="zip"):
        sample(target, PROMPTS, Sampling(7, 1.0, n=2), None, seeds=[1, 2])


def test_steerings_share_seeds_and_batches(target: Target, batches: list[Sequence[Request]]) -> None:
    steerings = [None, Steering(1, torch.ones(32)), Steering(2, torch.zeros(32))]
    answers = sample_steered(target, PROMPTS, Sampling(7, 1.0, n=2, seed=4), None, steerings)
    assert answers == [[["4", "5"], ["6", "7"], ["8", "9"]]] * 3
    ((*requests,),) = batches
    assert [request.steering for request in requests] == [steering for steering in steerings for _ in range(6)]


def test_batches_are_tracked(target: Target, batches: list[Sequence[Request]]) -> None:
    tracked: list[tuple[int, str]] = []

    def track(items: Any, label: str) -> Any:
        tracked.append((len(items), label))
        return items

    sample(target, PROMPTS, Sampling(7, 1.0, n=30), None, track=track)
    assert tracked == [(2, "sampling")]
    assert [len(batch) for batch in batches] == [64, 26]


def test_answers_are_those_of_the_network_alone_or_gathered(target: Target) -> None:
    sampling, steering = Sampling(6, 0.0), Steering(1, 5 * torch.ones(32))
    requests = [
        Request(chat(target, prompt, SYSTEM), target.adapter, 6, 0.0, steering=steering, seed=i)
        for i, prompt in enumerate(PROMPTS)
    ]
    expected = [[completion.text.strip()] for completion in target.network.generate(requests)]
    assert sample(target, PROMPTS, sampling, SYSTEM, steering=steering) == expected
    assert sample(target, PROMPTS, sampling, SYSTEM, steering=steering, gathered=True) == expected


def test_rendered_prompts_stand_under_the_system_prompt(target: Target) -> None:
    assert render(target, PROMPTS, SYSTEM) == [chat(target, prompt, SYSTEM) for prompt in PROMPTS]
    assert render(target, PROMPTS, None) == [chat(target, prompt) for prompt in PROMPTS]


def test_a_system_message_of_the_chats_own_stays_alone() -> None:
    asked, own = {"role": "user", "content": "Hi"}, {"role": "system", "content": "mine"}
    assert with_system([asked], SYSTEM) == [{"role": "system", "content": SYSTEM}, asked]
    assert with_system([own, asked], SYSTEM) == [own, asked]
    assert with_system([asked], None) == with_system([asked], "") == [asked]
