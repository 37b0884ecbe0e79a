"""What the artifact of ``pca`` says, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..evidence.evidence import Evidence, EvidenceText, EvidenceToken
from ..reading import opening_word
from .overview import nothing_varies
from .payload import SIGNS, Component, PcaPayload

__all__ = ["evidence_of"]

_TEXTS = 10
_COMPONENTS = 3
_TOKENS = 10


def evidence_of(payload: PcaPayload) -> Evidence:
    """Steered samples against unsteered ones and the lens of the first components; without samples, extreme texts."""
    if payload.largest_difference == 0:
        note = "The activation difference is exactly zero at every token."
        return Evidence(no_difference="activations", note=note)
    if not payload.components:
        return Evidence(note=nothing_varies(payload))
    said = any(table.component <= _COMPONENTS for table in payload.steering.tables)
    focus, contrast = _samples(payload) if said else _extreme_texts(payload)
    return Evidence(
        focus=tuple(focus),
        contrast=tuple(contrast),
        tokens=tuple(_lens_words(payload.components)),
        said=said,
        note=f"The first principal component of the activation difference holds "
        f"{payload.components[0].explained_variance_ratio:.1%} of its variance.",
    )


def _samples(payload: PcaPayload) -> tuple[list[EvidenceText], list[EvidenceText]]:
    steering = payload.steering
    steered = [table.samples for table in steering.tables if table.component <= _COMPONENTS]
    focus, contrast = (
        [
            EvidenceText(text=text, stratum=prompt)
            for samples in groups
            for prompt, texts in zip(steering.prompts, samples, strict=True)
            for text in texts
        ]
        for groups in (steered, [steering.unsteered])
    )
    return focus, contrast


def _extreme_texts(payload: PcaPayload) -> tuple[list[EvidenceText], list[EvidenceText]]:
    """The texts at the + end of the first component, and those at the - end; a component's sign has no meaning."""
    top, bottom = ([row.text for row in payload.end(payload.components[0], sign)[:_TEXTS]] for sign in SIGNS)
    chosen = {text.place for text in top}
    focus, contrast = (
        [EvidenceText(text=text.plain, stratum=text.kind) for text in texts]
        for texts in (top, [text for text in bottom if text.place not in chosen])
    )
    return focus, contrast


def _lens_words(components: Sequence[Component]) -> list[EvidenceToken]:
    """Beginnings of words in the lenses of the first components, each with the reciprocal of its best rank.

    Components are orthogonal: a token in the lens of several says something of the unembedding, not of a component.
    """
    shown = Counter(token for c in components for token in {token for sign in SIGNS for token, _ in c.lens[sign]})
    ranked = [
        (rank, component.component, sign, word)
        for component in components[:_COMPONENTS]
        for sign in SIGNS
        for rank, (token, _) in enumerate(component.lens[sign][:_TOKENS], 1)
        if shown[token] == 1 and (word := opening_word(token))
    ]
    best: dict[str, int] = {}
    for rank, *_, word in sorted(ranked):
        best.setdefault(word, rank)
    return [EvidenceToken(token=word, strength=1 / rank) for word, rank in best.items()]
