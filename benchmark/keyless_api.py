"""The provider ``keyless/…``: deterministic policies behind the model interface, for the investigator and the grader.

Baselines, so that the whole loop runs without a key. They use no tokens, and their usage says so.
"""

from __future__ import annotations

import uuid
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageUser,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo

from ..agents.keyless import next_call
from ..graders.keyless import keyless_judge_reply
from ..records.errors import unknown_name

__all__ = ["KeylessAPI"]

POLICIES = ("investigator", "grader")


class KeylessAPI(ModelAPI):
    """Answers by a policy instead of a model."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - Inspect's own signature
        **_: Any,
    ) -> None:
        """Check the policy's name.

        Raises:
            MendableError: For any other than ``investigator`` and ``grader``.
        """
        super().__init__(model_name, base_url, api_key, [], config)
        if model_name not in POLICIES:
            raise unknown_name("keyless policy", model_name, POLICIES)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """The policy's next message."""
        message = self._judge(input) if self.model_name == "grader" else _investigate(input, tools)
        stop = "tool_calls" if message.tool_calls else "stop"
        choice = ChatCompletionChoice(message=message, stop_reason=stop)
        return ModelOutput(model=f"keyless/{self.model_name}", choices=[choice], usage=ModelUsage())

    def max_connections(self) -> int:
        """Policies cost nothing, so all cases run at once and their queries share batches."""
        return 100

    def _judge(self, messages: list[ChatMessage]) -> ChatMessageAssistant:
        prompt = next(message.text for message in messages if isinstance(message, ChatMessageUser))
        return ChatMessageAssistant(content=keyless_judge_reply(prompt))


def _investigate(messages: list[ChatMessage], tools: list[ToolInfo]) -> ChatMessageAssistant:
    call = next_call(messages, tools)
    tool_call = ToolCall(id=str(uuid.uuid4()), function=call.tool, arguments=call.arguments)
    return ChatMessageAssistant(content=call.thought, tool_calls=[tool_call])
