"""The Inspect model provider ``organism/<suite>.<name>[+variant]@base|finetuned``.

Weights are loaded on the first query, never on construction, since Inspect may construct an instance to look it up.
Queries of all running samples are gathered into batches.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from ..records.errors import MendableError
from ..records.names import BASE, FINETUNED, Side
from .suites import find_organism

if TYPE_CHECKING:
    from ..models.ask import Message
    from ..models.requests import Completion

__all__ = ["OrganismAPI", "target_name"]

MAX_TOKENS = 128
CONNECTIONS = 256
"""Queries in flight at once; they wait in threads until their batch is done."""


def target_name(organism_id: str, side: Side) -> str:
    """Inspect name of one side of a pair, e.g. ``organism/smol.cake_bake@finetuned``."""
    return f"organism/{organism_id}@{side}"


class OrganismAPI(ModelAPI):
    """Samples from the base or the finetuned model of an organism."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - Inspect's own signature
        **model_args: Any,
    ) -> None:
        """Check the name; load nothing.

        Raises:
            MendableError: For an unknown organism or side, or model arguments (there are none).
        """
        super().__init__(model_name, base_url, api_key, [], config)
        organism_id, at, side = model_name.rpartition("@")
        if not at or side not in {BASE, FINETUNED}:
            raise MendableError(f"organism/{model_name}: expected organism/<suite>.<name>@base or …@finetuned")
        if model_args:
            raise MendableError(f"organism/{model_name} takes no model arguments; got {', '.join(model_args)}")
        self._organism = find_organism(organism_id)
        self._side: Side = BASE if side == BASE else FINETUNED

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Continue a chat; ``max_tokens``, ``temperature``, ``top_p`` and ``seed`` are honoured.

        Raises:
            ValueError: When tools are offered; a target is a plain chat model.
        """
        if tools:
            raise ValueError(f"organism/{self.model_name} is a plain chat model and cannot be given tools")
        started = time.monotonic()
        messages = [{"role": message.role, "content": message.text} for message in input]
        completion = await anyio.to_thread.run_sync(
            self._sample, messages, config, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
        )
        usage = ModelUsage(
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            total_tokens=completion.input_tokens + completion.output_tokens,
        )
        message = ChatMessageAssistant(content=completion.text.strip(), model=self.model_name, source="generate")
        choice = ChatCompletionChoice(message=message, stop_reason="stop" if completion.finished else "max_tokens")
        return ModelOutput(
            model=self.model_name, choices=[choice], usage=usage, time=round(time.monotonic() - started, 3)
        )

    def max_connections(self) -> int:
        """Many: the more queries wait, the fuller the batches."""
        return CONNECTIONS

    def connection_key(self) -> str:
        """All organisms share one machine."""
        return "organism"

    def _sample(self, messages: Sequence[Message], config: GenerateConfig) -> Completion:
        from ..models.ask import with_system
        from ..models.batcher import batcher_for
        from ..models.requests import Request
        from .loading import load_pair

        pair = load_pair(self._organism)
        target = pair[self._side]
        prompt = target.network.render_chat(with_system(messages, pair.system_prompt))
        request = Request(
            prompt,
            target.adapter,
            max_tokens=config.max_tokens or MAX_TOKENS,
            temperature=1.0 if config.temperature is None else config.temperature,
            top_p=1.0 if config.top_p is None else config.top_p,
            seed=_stable_seed(prompt) if config.seed is None else config.seed,
        )
        return batcher_for(target.network).submit(request).result()


def _stable_seed(prompt: str) -> int:
    """Without a seed, the same prompt gets the same sample: a run can be repeated."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
