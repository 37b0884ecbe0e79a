"""The models a case is about, as Inspect models."""

from __future__ import annotations

from inspect_ai.model import Model, get_model

from ..organisms.provider import target_name
from ..organisms.suites import find_organism
from ..records.names import TARGET_ROLE, Side
from .case import CaseState

__all__ = ["target_model"]


def target_model(case: CaseState, side: Side) -> Model:
    """One model of the case's pair.

    A model bound to the role ``target_base`` or ``target_finetuned`` comes first; else an API pair is queried by its
    Inspect name, and any other pair through the embedded provider ``organism/…``.
    """
    organism = find_organism(case.organism)
    name = organism.references[side].api_name or target_name(organism.id, side)
    return get_model(name, role=f"{TARGET_ROLE}{side}")
