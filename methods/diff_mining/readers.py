"""Readers over the artifact of the method ``diff_mining``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from inspect_ai.tool import Tool, ToolError, tool

from ..artifact import Artifact
from ..evidence.evidence import Evidence, EvidenceToken
from ..evidence.rarity import rarity
from ..registry import Labels
from .method import ORDERINGS, listed
from .pictures import pictures

__all__ = ["evidence", "mined_tokens", "pictures", "toolset"]

_LEAST_LETTERS = 3


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
    """The reader of ``diff_mining``."""
    return [mined_tokens(open_artifact, labels)]


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
        sets = open_artifact().payload()["sets"]
        known = ("topics", *ORDERINGS)
        if ordering not in known:
            raise ToolError(f"ordering is {ordering!r}; it is one of {', '.join(known)}.")
        if on is not None and on not in sets:
            raise ToolError(f"on is {on!r}; there is {', '.join(sets)}.")
        if not 1 <= tokens <= 100:
            raise ToolError(f"tokens is {tokens}; it is 1 to 100.")
        chosen = {kind: found for kind, found in sets.items() if on in (None, kind)}
        if all(found["largest"] == 0.0 for found in chosen.values()):
            return f"{labels.base} and {labels.finetuned} give exactly the same logits: no token is raised."
        return "\n".join(
            f"{kind} ({found['positions']} positions): {_told(found, ordering, tokens)}"
            for kind, found in chosen.items()
        )

    return execute


def _told(found: dict[str, Any], ordering: str, tokens: int) -> str:
    if ordering != "topics":
        return listed(found[ordering][:tokens])
    groups = found["topics"]["groups"]
    # The published budget is one number of tokens, dealt out to the topics.
    dealt = [tokens // len(groups) + (i < tokens % len(groups)) for i in range(len(groups))]
    lines = []
    for i, (group, n) in enumerate(zip(groups, dealt, strict=True), 1):
        told = " ".join(repr(row["token"]) for row in group["tokens"][:n])
        lines.append(f"\n- topic {i} ({group['share']:.0%} of the raise): {told}")
    return "".join(lines)


def evidence(artifact: Artifact) -> Evidence:
    """Beginnings of words that are raised at most positions, weighted by how rare the word is in ordinary talk.

    Words that are raised on texts and on chats alike come first: what is raised in one register only may be a register.
    """
    sets = artifact.payload()["sets"]
    if all(found["largest"] == 0.0 for found in sets.values()):
        return Evidence(
            no_difference="logits", note="The difference of logits is zero for every token at every position."
        )
    shares: dict[str, dict[str, float]] = {}
    for kind, found in sets.items():
        for row in found["occurrence"]:
            word = row["token"].strip().lower()
            if row["token"].startswith(" ") and len(word) >= _LEAST_LETTERS and word.isalpha():
                of_word = shares.setdefault(word, {})
                of_word[kind] = max(of_word.get(kind, 0.0), row["value"])
    ranks = {word: (-len(found), -max(found.values()) * rarity(word), word) for word, found in shares.items()}
    told = [f"{found['positions']} positions of {kind}s" for kind, found in sets.items()]
    largest = max(found["largest"] for found in sets.values())
    return Evidence(
        tokens=tuple(
            EvidenceToken(token=word, strength=max(shares[word].values()))
            for word in sorted((word for word in ranks if rarity(word) > 0), key=ranks.__getitem__)
        ),
        said=False,
        note=f"Differences of logits up to {largest:.1f} at {' and '.join(told)}.",
    )
