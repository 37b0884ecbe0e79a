"""The reader over the artifact of the method ``diff_mining``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from inspect_ai.tool import Tool, ToolError, tool

from ..artifact import Artifact
from ..contract import Labels
from ..reader_checks import check_tokens
from .payload import ORDERINGS, MinedSet, MiningPayload, Ordering, Topic, listed

__all__ = ["mined_tokens"]


@tool
def mined_tokens(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that lists tokens in one of the three orderings."""

    async def execute(
        ordering: Literal["occurrence", "fraction_positive", "topics"] = "topics",
        on: Literal["text", "chat"] | None = None,
        tokens: int = 100,
    ) -> str:
        """List the tokens whose logits one model raises over the other's, in one of three orderings. Free.

        Args:
            ordering: "occurrence": by the share of positions at which a token is among those raised most.
                "fraction_positive": by the share of positions at which its logit is raised at all.
                "topics": groups of tokens that are raised together, by weight in their group; a group may be noise.
            on: "text" for positions of plain texts, "chat" for answers in chats; without it both.
            tokens: How many tokens of an ordering, at most 100; topics share them.
        """
        sets = open_artifact().payload(MiningPayload).sets
        known = ("topics", *ORDERINGS)
        if ordering not in known:
            raise ToolError(f"ordering is {ordering!r}; it is one of {', '.join(known)}.")
        if on is not None and on not in sets:
            raise ToolError(f"on is {on!r}; there is {', '.join(sets)}.")
        check_tokens(tokens)
        chosen = {kind: found for kind, found in sets.items() if on in (None, kind)}
        if all(found.no_difference for found in chosen.values()):
            return f"{labels.base} and {labels.finetuned} give exactly the same logits: no token is raised."
        return "\n".join(
            f"{kind} ({found.positions} positions): {_told(found, ordering, tokens)}" for kind, found in chosen.items()
        )

    return execute


def _told(found: MinedSet, ordering: Ordering | Literal["topics"], tokens: int) -> str:
    if ordering != "topics":
        return listed(found.ordered(ordering)[:tokens])
    groups = found.topics.groups
    # The published budget is one number of tokens, dealt out to the topics.
    dealt = [tokens // len(groups) + (i < tokens % len(groups)) for i in range(len(groups))]
    return "".join(_topic(i, group, n) for i, (group, n) in enumerate(zip(groups, dealt, strict=True), 1))


def _topic(number: int, topic: Topic, tokens: int) -> str:
    told = " ".join(repr(each.token) for each in topic.tokens[:tokens])
    return f"\n- topic {number} ({topic.share:.0%} of the raise): {told}"
