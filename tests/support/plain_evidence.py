"""Evidence from plain strings, and plain strings from evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffbench.methods.evidence.evidence import Evidence, EvidenceText, EvidenceToken

__all__ = ["evidence", "strata_of", "texts_of", "words_of"]


def evidence(
    focus: Sequence[str] = (),
    contrast: Sequence[str] = (),
    tokens: Sequence[str] = (),
    focus_strata: Sequence[str] = (),
    contrast_strata: Sequence[str] = (),
    **more: Any,
) -> Evidence:
    return Evidence(
        focus=side(focus, focus_strata),
        contrast=side(contrast, contrast_strata),
        tokens=tuple(EvidenceToken(token=token, strength=1 / rank) for rank, token in enumerate(tokens, 1)),
        **more,
    )


def side(texts: Sequence[str], strata: Sequence[str] = ()) -> tuple[EvidenceText, ...]:
    pairs = zip(texts, strata or [""] * len(texts), strict=True)
    return tuple(EvidenceText(text=text, stratum=stratum) for text, stratum in pairs)


def texts_of(found: Sequence[EvidenceText]) -> tuple[str, ...]:
    return tuple(each.text for each in found)


def strata_of(found: Sequence[EvidenceText]) -> tuple[str, ...]:
    return tuple(each.stratum for each in found)


def words_of(found: Evidence) -> tuple[str, ...]:
    return tuple(token.token for token in found.tokens)
