"""The server: one loopback port for all wire formats, with counts of what it was asked and what went wrong."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from . import chat, messages, responses
from .conversation import Answer, Asked, role_of
from .faults import CONTENT, Plan, marked, spoil
from .policy import scripted

WIRES = {wire.PATH: wire for wire in (chat, responses, messages)}
LOADED = ("base", "finetuned")
"""Models and adapters that ``GET /v1/models`` lists, as a vLLM server does."""
RETRY_AFTER = "0.05"
"""Seconds; both clients wait as long as they are told."""
_STATUS = {"rate_limit": 429, "server_error": 500, "error_midway": 500}
_BLOCKED = "The request was blocked by content filtering policy."
_METHOD = re.compile(r"^# What the method (\S+) found$", re.MULTILINE)


class FakeProvider(ThreadingHTTPServer):
    """Answers by a policy, spoiled by a plan.

    Args:
        policy: What the model says.
        plan: Which fault a request meets.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, policy: Callable[[Asked], Answer] | None = None, plan: Plan | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.policy = policy or scripted()
        self.plan = plan or marked()
        self.asked: list[tuple[str, Asked]] = []
        """Path and request, in the order of arrival."""
        self.refused: list[str] = []
        """What the real API would not have accepted."""
        self.faults: Counter[str] = Counter()
        self.retries = 0
        """Requests that repeat one that failed, or one whose asker was killed."""
        self.served: Counter[str] = Counter()
        """Whole answers, by role."""
        self.tokens: dict[tuple[str, str], Counter[str]] = {}
        """Role and method (of the investigator) -> of whole answers: conversations opened, requests, tokens read and
        written."""
        self._failed: Counter[str] = Counter()
        self._arrivals: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Without the version, as the Anthropic client wants it."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send all clients here, and nothing elsewhere."""
        keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LOCAL_API_KEY", "VLLM_API_KEY"), "none")
        urls = dict.fromkeys(("OPENAI_BASE_URL", "LOCAL_BASE_URL", "VLLM_BASE_URL"), f"{self.url}/v1")
        return keys | urls | {"ANTHROPIC_BASE_URL": self.url, "NO_PROXY": "127.0.0.1"}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed leave broken connections; anything else is a bug of the server and shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def met(self, path: str, asked: Asked) -> tuple[str | None, int]:
        """Count a request; the fault it meets, and its number."""
        with self._lock:
            self.asked.append((path, asked))
            self._arrivals[asked.digest] += 1
            if self._failed[asked.digest]:
                self._failed[asked.digest] -= 1
                self.retries += 1
            fault = self.plan(asked, self._arrivals[asked.digest])
            if fault:
                self.faults[fault] += 1
                self._failed[asked.digest] += fault not in CONTENT
            return fault, len(self.asked)

    def answered(self, asked: Asked, answer: Answer) -> None:
        """Count an answer that was sent whole."""
        role = role_of(asked)
        method = ""
        if role == "investigator":
            method = found[1] if (found := _METHOD.search(asked.opening)) else "blackbox"
        with self._lock:
            self.served[role] += 1
            count = self.tokens.setdefault((role, method), Counter())
            count.update({"opened": asked.opens, "requests": 1, "read": asked.tokens, "written": answer.tokens})


@contextmanager
def serving(policy: Callable[[Asked], Answer] | None = None, plan: Plan | None = None) -> Iterator[FakeProvider]:
    """A server in a thread of its own."""
    server = FakeProvider(policy, plan)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FakeProvider
    protocol_version = "HTTP/1.1"
    # Each small write of a stream is its own packet; waiting to fill one costs 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in LOADED]})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        sent = self.rfile.read(length)
        if len(sent) < length:
            # The client was killed while it wrote.
            self.close_connection = True
            return
        body = json.loads(sent)
        wire = WIRES.get(self.path)
        if wire is None:
            self._refuse(chat, f"no such path {self.path}")
            return
        asked = wire.read(body)
        if problem := asked.problem():
            self._refuse(wire, problem)
            return
        fault, number = self.server.met(self.path, asked)
        if fault == "dropped":
            self._hang_up()
        elif fault == "blocked":
            self._send(400, wire.error(400, _BLOCKED))
        elif fault in _STATUS and not (fault == "error_midway" and asked.stream):
            self._send(_STATUS[fault], wire.error(_STATUS[fault], f"injected: {fault}"))
        else:
            answer = self.server.policy(asked)
            if fault in CONTENT:
                answer = spoil(fault, answer, objects_only=wire is messages)
            self._answer(wire, asked, answer, number, fault)

    def _answer(self, wire: Any, asked: Asked, answer: Answer, number: int, fault: str | None) -> None:
        midway = fault in ("dropped_midway", "error_midway")
        if not midway:
            # Before it is sent: once the client has it, whoever looks at the counts finds it there.
            self.server.answered(asked, answer)
        if not asked.stream:
            self._send(200, wire.write(asked, answer, number), cut=midway)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events = list(wire.stream(asked, answer, number))
        for name, data in events[: len(events) // 2] if midway else events:
            self._event(name, data)
        if fault == "dropped_midway":
            self._hang_up()
            return
        if fault == "error_midway":
            self._event(*wire.error_event("injected: error_midway"))
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, name: str | None, data: dict[str, Any] | str) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        event = (f"event: {name}\n" if name else "") + f"data: {text}\n\n"
        self.wfile.write(f"{len(event.encode()):x}\r\n{event}\r\n".encode())

    def _refuse(self, wire: Any, problem: str) -> None:
        self.server.refused.append(problem)
        self._send(400, wire.error(400, problem))

    def _send(self, status: int, answer: dict[str, Any], cut: bool = False) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status in (429, 500):
            self.send_header("retry-after", RETRY_AFTER)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass
