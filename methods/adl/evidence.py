"""What the artifact of ``adl`` says, as data."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..activations.top_tokens import TopTokens
from ..evidence.evidence import Evidence, EvidenceText, EvidenceToken
from ..reading import opening_word
from .payload import AdlPayload, SteeringTable

__all__ = ["CONTROL_TOKENS", "LEAST_POSITIONS", "evidence_of"]

CONTROL_TOKENS = 20
"""Ranks of the base's own tokens at a position that say nothing about the finetuning there."""
LEAST_POSITIONS = 3
"""Positions at which a token must be found; all of them where there are fewer."""
_TOKENS = 40


def evidence_of(payload: AdlPayload) -> Evidence:
    """Steered samples against unsteered ones, and tokens of the difference that the base itself does not show."""
    if payload.no_difference:
        note = "The mean activation difference is zero at every position."
        return Evidence(no_difference="activations", note=note)
    middle = statistics.median(row.relative_norm for row in payload.positions)
    return Evidence(
        focus=tuple(_texts(payload.steering, steered=True)),
        # Every table repeats the unsteered samples.
        contrast=tuple(_texts(payload.steering[:1], steered=False)),
        tokens=tuple(_pointed_at(payload)),
        note=f"The mean activation difference is {middle:.2f} of the typical activation norm (median over positions).",
    )


def _texts(tables: Sequence[SteeringTable], steered: bool) -> list[EvidenceText]:
    return [
        EvidenceText(text=text, stratum=row.prompt)
        for table in tables
        for row in table.samples
        for text in (row.steered if steered else row.unsteered)
    ]


def _pointed_at(payload: AdlPayload) -> list[EvidenceToken]:
    """Beginnings of words that several positions show and the base's own activations do not.

    A word's strength is its votes in the logit lens, one at most a position. To those of a word that the patchscope's
    judge found to belong with others the number of positions is added, so that it comes before all words of the lens.
    """
    rows = payload.patchscope.rows if payload.patchscope else ()
    patched = [(row.difference.selected, row.base.tokens) for row in rows if row.difference and row.base]
    lenses = [([token for token, _ in row.lens.difference], row.lens.base) for row in payload.positions]
    strengths = {word: votes + len(lenses) for word, votes in _votes(patched).items()}
    for word, votes in _votes(lenses).items():
        strengths.setdefault(word, votes)
    ranked = sorted(strengths, key=lambda word: -strengths[word])
    return [EvidenceToken(token=word, strength=strengths[word]) for word in ranked]


def _votes(readings: Sequence[tuple[Sequence[str], TopTokens]]) -> dict[str, float]:
    """Word -> sum of its reciprocal ranks in the readings, of words in enough of them; each comes with its control."""
    ranks: dict[str, list[float]] = {}
    for tokens, control in readings:
        ordinary = {token for token, _ in control[:CONTROL_TOKENS]}
        for rank, token in enumerate(tokens[:_TOKENS], 1):
            word = opening_word(token)
            if word and token not in ordinary:
                ranks.setdefault(word, []).append(1 / rank)
    least = min(LEAST_POSITIONS, len(readings))
    return {word: sum(found) for word, found in ranks.items() if len(found) >= least}
