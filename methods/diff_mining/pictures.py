"""Pictures of the artifact of ``diff_mining``: the orderings as bars, the topics beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from ...views.panels import Bar, Bars, Group, Note, Panel, RankedToken, TokenColumn, TokenTable
from ..contract import Labels
from .payload import KINDS, ORDERINGS, MinedSet, MiningPayload, Ordering, Topics

__all__ = ["pictures"]

_VALUES: dict[Ordering, str] = {
    "occurrence": "share of positions at which the token is among those raised most",
    "fraction_positive": "share of positions at which the token's logit is raised at all",
}


def pictures(payload: MiningPayload, labels: Labels) -> Sequence[Panel]:
    """For texts and for chats the topics and both orderings."""
    said = (
        f"D = logits of {labels.finetuned} - logits of {labels.base} for the next token{payload.through}; at each "
        f"position the {payload.top_k} tokens that D raises most are taken."
    )
    if payload.no_difference:
        return [Note("Summary", f"{said}\nD is exactly zero everywhere: the two models give the same logits.")]
    return [Note("Summary", said), *(_set(KINDS[kind], found) for kind, found in payload.sets.items())]


def _set(name: str, found: MinedSet) -> Group:
    note = f"{found.texts} of them, {found.positions} positions; largest |D| {found.largest:.3g}."
    if found.no_difference:
        return Group(f"On {name}", (Note(f"Nothing on {name}", "D is zero on all of them."),), note)
    orderings = (_ordering(found, ordering, name) for ordering in ORDERINGS)
    return Group(f"On {name}", (_topics(found.topics, name), *orderings), note)


def _topics(topics: Topics, name: str) -> TokenTable:
    columns = tuple(
        TokenColumn(
            f"topic {i}",
            tuple(RankedToken(each.token, each.value) for each in topic.tokens),
            f"{topic.share:.0%} of the raise, dominant at {topic.dominant:.0%} of the positions",
        )
        for i, topic in enumerate(topics.groups, 1)
    )
    note = f"Tokens that are raised together, from {topics.positions} positions; a topic may be noise."
    return TokenTable(f"Topics on {name}", "weight in the topic", columns, note=note, shown=25)


def _ordering(found: MinedSet, ordering: Ordering, name: str) -> Bars:
    bars = tuple(Bar(each.token, each.value) for each in found.ordered(ordering))
    title = f"Tokens by {ordering.replace('_', ' ')} on {name}"
    return Bars(title, _VALUES[ordering], bars, percent=True)
