"""The batcher: concurrent requests end up in few batches, each caller gets its own completion or error."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from diffbench.models.batcher import Batcher, batcher_for
from diffbench.models.requests import Completion, Request


@dataclass
class EchoNetwork:
    """Stands in for a network: gives each prompt back, and remembers its batches."""

    name: str = "echo"
    batches: list[list[Request]] = field(default_factory=list)
    error: Exception | None = None
    gate: threading.Event | None = None
    batcher: Any = None

    def generate(self, requests: list[Request]) -> list[Completion]:
        self.batches.append(list(requests))
        if self.gate is not None:
            self.gate.wait(5)
        if self.error is not None:
            raise self.error
        return [Completion(request.prompt.upper(), 1, 1, True) for request in requests]


def batcher(network: EchoNetwork, **options: Any) -> Batcher:
    return Batcher(network, **options)  # type: ignore[arg-type]


def test_requests_from_many_threads_share_batches() -> None:
    network = EchoNetwork()
    queue = batcher(network, gather_seconds=0.3)
    prompts = [f"prompt {i}" for i in range(40)]
    with ThreadPoolExecutor(40) as threads:
        texts = list(threads.map(lambda p: queue.submit(Request(p)).result(timeout=10).text, prompts))
    assert texts == [prompt.upper() for prompt in prompts]
    assert len(network.batches) <= 2
    assert sorted(r.prompt for batch in network.batches for r in batch) == sorted(prompts)


def test_no_batch_is_larger_than_allowed() -> None:
    network = EchoNetwork()
    queue = batcher(network, max_rows=4, gather_seconds=0.2)
    futures = [queue.submit(Request(str(i))) for i in range(10)]
    assert [future.result(timeout=10).text for future in futures] == [str(i) for i in range(10)]
    assert [len(batch) for batch in network.batches] == [4, 4, 2]


def test_an_error_reaches_every_caller_and_the_worker_lives_on() -> None:
    network = EchoNetwork(error=ValueError("no such adapter"))
    queue = batcher(network, gather_seconds=0.2)
    futures = [queue.submit(Request(str(i))) for i in range(5)]
    for future in futures:
        with pytest.raises(ValueError, match="no such adapter"):
            future.result(timeout=10)
    network.error = None
    assert queue.submit(Request("again")).result(timeout=10).text == "AGAIN"


def test_cancelled_requests_are_not_run() -> None:
    network = EchoNetwork(gate=threading.Event())
    queue = batcher(network, gather_seconds=0.01)
    first = queue.submit(Request("first"))
    deadline = time.monotonic() + 5
    while not network.batches and time.monotonic() < deadline:
        time.sleep(0.005)
    second, third = queue.submit(Request("second")), queue.submit(Request("third"))
    assert second.cancel()
    assert network.gate is not None
    network.gate.set()
    assert first.result(timeout=5).text == "FIRST"
    assert third.result(timeout=5).text == "THIRD"
    with pytest.raises(CancelledError):
        second.result(timeout=5)
    assert [[r.prompt for r in batch] for batch in network.batches] == [["first"], ["third"]]


def test_a_lone_request_does_not_wait_long() -> None:
    started = time.monotonic()
    assert batcher(EchoNetwork()).submit(Request("a")).result(timeout=5).text == "A"
    assert time.monotonic() - started < 2


def test_one_batcher_a_network() -> None:
    network: Any = EchoNetwork()
    with ThreadPoolExecutor(8) as threads:
        assert len({id(b) for b in threads.map(lambda _: batcher_for(network), range(32))}) == 1
    assert batcher_for(EchoNetwork()) is not batcher_for(network)  # type: ignore[arg-type]
