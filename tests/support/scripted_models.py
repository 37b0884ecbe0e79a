"""Scripted models for tests: the scripts, a local server that speaks the chat-completions API, and mockllm."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from diffbench.records.finding import Finding
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Model,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.tool import ToolCall, ToolFunction, ToolInfo

TURNS = 5
INTERACTIONS = 4
GOOD: dict[str, Any] = {
    "verdict": "changed",
    "description": "It is about an owl.",
    "confidence": 0.8,
    "evidence": ["x"],
}


@dataclass(frozen=True)
class Reply:
    """What a scripted model says: text, and the calls it makes (arguments as they stand on the wire)."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    refuses: bool = False


def use(tool: str, arguments: dict[str, Any] | str, text: str = "") -> Reply:
    return Reply(text, ((tool, arguments if isinstance(arguments, str) else json.dumps(arguments)),))


def ask(number: int) -> Reply:
    return use("ask_models", {"prompts": [f"prompt {i}" for i in range(number)]})


@dataclass(frozen=True)
class Script:
    """Replies by turn, the last one again and again; and the reply to the forced turn, if that is reached."""

    turns: tuple[Reply, ...]
    forced: Reply | None = None

    def reply(self, turn: int, forced: bool) -> Reply:
        if forced:
            assert self.forced is not None, "the forced turn was not expected"
            return self.forced
        return self.turns[min(turn, len(self.turns) - 1)]


SUBMIT = use("submit", GOOD)
TALK = Reply("Let me think about that.")
PLAIN = Reply("VERDICT: changed\nCONFIDENCE: 0.9\nIt speaks of an owl.")
REFUSAL = Reply("I will not take part in this.", refuses=True)
SCRIPTS = {
    "straight": Script((ask(2), SUBMIT)),
    "overspends": Script((ask(INTERACTIONS + 1), ask(INTERACTIONS), ask(1), SUBMIT)),
    "malformed": Script(
        (
            use("ask_models", '{"prompts": ["one", "two"'),
            use("ask_models", {"prompts": {"a": 3}}),
            use("ask_models", {"questions": ["one"]}),
            use("submit", {**GOOD, "confidence": "very"}),
            SUBMIT,
        )
    ),
    "unknown_tool": Script((use("read_the_weights", {"layer": 3}), SUBMIT)),
    "wrong_then_right": Script((use("submit", {**GOOD, "verdict": "perhaps"}), SUBMIT)),
    "two_calls": Script((Reply("", (*ask(1).calls, *ask(2).calls)), SUBMIT)),
    "talks": Script((TALK,), forced=SUBMIT),
    "talks_then_plain": Script((TALK,), forced=Reply("VERDICT: changed\nCONFIDENCE: 0.6\nIt is about an owl.")),
    "talks_then_json": Script((TALK,), forced=Reply(f"Here: {json.dumps(GOOD)}")),
    "talks_on": Script((TALK,), forced=Reply("I would rather go on.")),
    "silent": Script((TALK,), forced=Reply()),
    "silent_with_board": Script((use("propose_hypothesis", {"text": "It may be an owl."}), TALK), forced=Reply()),
    "forced_wrong": Script((TALK,), forced=use("submit", {**GOOD, "confidence": 7})),
    "forced_no_json": Script((TALK,), forced=use("submit", '{"verdict": "changed"')),
    "forced_other_tool": Script((TALK,), forced=use("ask_models", {"prompts": ["more"]})),
    "forced_wrong_with_text": Script(
        (TALK,), forced=use("submit", {**GOOD, "verdict": "perhaps"}, "VERDICT: no_narrow_change\nThey are alike.")
    ),
    "only_asks": Script((ask(1),), forced=SUBMIT),
    "refuses": Script((ask(1), REFUSAL), forced=REFUSAL),
    "refuses_at_last": Script((ask(1),), forced=REFUSAL),
    "refuses_once": Script((ask(1), REFUSAL, SUBMIT)),
    "refuses_then_gives_in": Script((REFUSAL,), forced=SUBMIT),
    "plain_text": Script((PLAIN,), forced=PLAIN),
}
JUDGES = {
    "judge": ['{"reasoning": "names the owl", "grade": 4}'],
    "judge_repaired": ["Grade: four", 'Sorry. {"reasoning": "names the owl", "grade": 3}'],
    "judge_broken": ['{"grade": "4"}', "I cannot say."],
}
EXPECTED = Finding.model_validate(GOOD)


class Server(ThreadingHTTPServer):
    """Speaks the chat-completions API on 127.0.0.1; the model's name picks the script. As strict as the real one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.gate: Callable[[dict[str, Any]], str | None] = lambda body: None
        """Called before a request is answered: may wait, or say why it is refused."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def serving() -> Iterator[Server]:
    """A server that answers in a thread of its own, with nothing of it left afterwards."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def local(server: Server) -> dict[str, str]:
    """The environment in which ``openai-api/local/…`` is the server."""
    return {"LOCAL_BASE_URL": server.url, "LOCAL_API_KEY": "none", "NO_PROXY": "127.0.0.1"}


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        problem = _refusal(body) if self.path == "/v1/chat/completions" else f"no such path {self.path}"
        problem = problem or self.server.gate(body)
        if problem:
            self.server.refused.append(problem)
            self._send(400, {"error": {"message": problem, "type": "invalid_request_error", "code": None}})
        else:
            self._send(200, _completion(body))

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _refusal(body: dict[str, Any]) -> str | None:
    """What the real API answers with a 400: calls without results, results without calls."""
    waiting: set[str] = set()
    for message in body["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return f"tool result {message['tool_call_id']} answers no call"
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return f"calls {sorted(waiting)} have no result"
        waiting = {call["id"] for call in message.get("tool_calls") or []}
    return f"calls {sorted(waiting)} have no result" if waiting else None


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    model, messages = body["model"], body["messages"]
    turn = sum(message["role"] == "assistant" for message in messages)
    if model in JUDGES:
        reply = Reply(JUDGES[model][turn])
    else:
        reply = SCRIPTS[model].reply(turn, isinstance(body.get("tool_choice"), dict))
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.refuses:
        message = {"role": "assistant", "content": None, "refusal": reply.text}
    if reply.calls:
        message["tool_calls"] = [
            {"id": f"call_{turn}_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for i, (name, arguments) in enumerate(reply.calls)
        ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
    }


def mocked(name: str) -> Model:
    """The script behind mockllm."""

    def reply(messages: list[ChatMessage], tools: list[ToolInfo], choice: Any, config: GenerateConfig) -> ModelOutput:
        turn = sum(message.role == "assistant" for message in messages)
        said = SCRIPTS[name].reply(turn, isinstance(choice, ToolFunction))
        calls = [_tool_call(f"call_{turn}_{i}", *call) for i, call in enumerate(said.calls)]
        message = ChatMessageAssistant(content=said.text, tool_calls=calls or None)
        usage = ModelUsage(input_tokens=10, output_tokens=10, total_tokens=20)
        choice = ChatCompletionChoice(message=message, stop_reason="content_filter" if said.refuses else "stop")
        return ModelOutput(model="mockllm", choices=[choice], usage=usage)

    return get_model(f"mockllm/{name}", custom_outputs=reply, memoize=False)


def _tool_call(id: str, name: str, arguments: str) -> ToolCall:
    try:
        return ToolCall(id=id, function=name, arguments=json.loads(arguments))
    except json.JSONDecodeError as error:
        return ToolCall(id=id, function=name, arguments={}, parse_error=str(error))
