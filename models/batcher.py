"""Gathers concurrent sampling requests on one network into batches."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from .network import Network
from .requests import Completion, Request

__all__ = ["Batcher", "batcher_for"]

MAX_ROWS = 64
"""Rows of a batch; on two cores without AVX512 this gave 6.7 times the tokens per second of one row
(``performance/sampling.py``), on others about twelve times."""
GATHER_SECONDS = 0.05
"""How long a batch waits for further requests after the last one."""


class Batcher:
    """A worker thread that continues requests in batches; requests may come from any thread or event loop."""

    def __init__(self, network: Network, max_rows: int = MAX_ROWS, gather_seconds: float = GATHER_SECONDS) -> None:
        self._network = network
        self._max_rows = max_rows
        self._gather_seconds = gather_seconds
        self._waiting: queue.Queue[tuple[Request, Future[Completion]]] = queue.Queue()
        threading.Thread(target=self._work, name=f"batcher {network.name}", daemon=True).start()

    def submit(self, request: Request) -> Future[Completion]:
        """Queue a request; its future holds the completion, or the error of its batch."""
        future: Future[Completion] = Future()
        self._waiting.put((request, future))
        return future

    def _work(self) -> None:
        while True:
            batch = self._gather()
            live = [(request, future) for request, future in batch if future.set_running_or_notify_cancel()]
            self._run(live)

    def _gather(self) -> list[tuple[Request, Future[Completion]]]:
        batch = [self._waiting.get()]
        deadline = time.monotonic() + self._gather_seconds
        while len(batch) < self._max_rows:
            try:
                batch.append(self._waiting.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                return batch
            deadline = time.monotonic() + self._gather_seconds
        return batch

    def _run(self, live: Sequence[tuple[Request, Future[Completion]]]) -> None:
        try:
            completions = self._network.generate([request for request, _ in live])
        except Exception as error:  # noqa: BLE001 - whatever it is, it reaches every caller through its future
            for _, future in live:
                future.set_exception(error)
            return
        for (_, future), completion in zip(live, completions, strict=True):
            future.set_result(completion)


_LOCK = threading.Lock()


def batcher_for(network: Network) -> Batcher:
    """The one batcher of a network, started on first use."""
    with _LOCK:
        if network.batcher is None:
            network.batcher = Batcher(network)
        return network.batcher
