"""Loading an organism's pair: base and finetuned model, the base shared by all organisms on it."""

from __future__ import annotations

from ..models.targets import Pair, load_targets
from .suites import Organism

__all__ = ["load_pair"]


def load_pair(organism: Organism, dtype: str = "auto") -> Pair:
    """Load both models of a pair; the base (and other full models) once a process.

    Args:
        organism: The organism, with its variant.
        dtype: torch dtype of the weights, ``bfloat16`` or ``float32``; ``auto`` takes what the machine is fast with.

    Raises:
        MendableError: For an API-only pair, a wrong hash, an adapter that does not fit or changes nothing.
        MissingError: When weights are missing; says how to get them.
    """
    targets = load_targets(organism.references, organism.origin, dtype)
    return Pair(organism.id, **targets, system_prompt=organism.spec.system_prompt)
