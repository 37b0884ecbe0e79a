"""The models a case is about, as Inspect models."""

from __future__ import annotations

from inspect_ai.model import Model, get_model

from ..organisms.provider import target_name
from ..organisms.suites import Organism, find_organism
from ..records.names import TARGET_ROLE, Side
from .case import CaseState

__all__ = ["target_model", "target_model_name"]


def target_model(case: CaseState, side: Side) -> Model:
    """One model of the case's pair.

    A model bound to the role ``target_base`` or ``target_finetuned`` comes first; else an API pair is queried by its
    Inspect name, and any other pair through the embedded provider ``organism/…``.
    """
    return get_model(target_model_name(find_organism(case.organism), side), role=f"{TARGET_ROLE}{side}")


def target_model_name(organism: Organism, side: Side) -> str:
    """Inspect name of one model of a pair: an API's own, or one of the embedded provider ``organism/…``."""
    return organism.references[side].api_name or target_name(organism.id, side)
