"""Pictures of the artifact of ``diff_mining``: the orderings as bars, the topics beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...views.panels import Bar, Bars, Group, Note, Panel, RankedToken, TokenColumn, TokenTable
from ..artifact import Artifact
from ..registry import Labels
from .method import KINDS, ORDERINGS

__all__ = ["pictures"]

_VALUES = {
    "occurrence": "share of positions at which the token is among those raised most",
    "fraction_positive": "share of positions at which the token's logit is raised at all",
}


def pictures(artifact: Artifact, labels: Labels) -> Sequence[Panel]:
    """For texts and for chats the topics and both orderings."""
    payload = artifact.payload()
    sets = payload["sets"]
    through = "" if payload["layer"] is None else f", both through the logit lens after layer {payload['layer']}"
    said = (
        f"D = logits of {labels.finetuned} - logits of {labels.base} for the next token{through}; at each position the "
        f"{payload['top_k']} tokens that D raises most are taken."
    )
    if all(found["largest"] == 0.0 for found in sets.values()):
        return [Note("Summary", f"{said}\nD is exactly zero everywhere: the two models give the same logits.")]
    return [Note("Summary", said), *(_set(KINDS[kind], found) for kind, found in sets.items())]


def _set(name: str, found: dict[str, Any]) -> Group:
    note = f"{found['texts']} of them, {found['positions']} positions; largest |D| {found['largest']:.3g}."
    if found["largest"] == 0.0:
        return Group(f"On {name}", (Note(f"Nothing on {name}", "D is zero on all of them."),), note)
    orderings = (_ordering(found, ordering, name) for ordering in ORDERINGS)
    return Group(f"On {name}", (_topics(found["topics"], name), *orderings), note)


def _topics(topics: dict[str, Any], name: str) -> TokenTable:
    columns = tuple(
        TokenColumn(
            f"topic {i}",
            tuple(RankedToken(row["token"], row["value"]) for row in group["tokens"]),
            f"{group['share']:.0%} of the raise, dominant at {group['dominant']:.0%} of the positions",
        )
        for i, group in enumerate(topics["groups"], 1)
    )
    note = f"Tokens that are raised together, from {topics['positions']} positions; a topic may be noise."
    return TokenTable(f"Topics on {name}", "weight in the topic", columns, note=note, shown=25)


def _ordering(found: dict[str, Any], ordering: str, name: str) -> Bars:
    bars = tuple(Bar(row["token"], row["value"]) for row in found[ordering])
    title = f"Tokens by {ordering.replace('_', ' ')} on {name}"
    return Bars(title, _VALUES[ordering], bars, percent=True)
