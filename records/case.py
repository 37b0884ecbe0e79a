"""What a log holds of a case before it is worked: the metadata of its Inspect sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from .names import DEFAULT_VARIANT, NO_HINTS

__all__ = ["CaseMetadata", "Framing", "organism_id", "organism_id_of"]

Framing: TypeAlias = Literal["neutral", "presuppositional"]
"""Whether the brief presupposes that something narrow changed."""


class CaseMetadata(BaseModel):
    """Metadata of a sample. Nothing in it names the ground truth.

    Fields that it does not know are ignored: a log of a later version, or one whose samples carry a user's own
    metadata, still loads. Fields that a log of an earlier version lacks have a default.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    suite: str
    organism: str
    """Name of the organism without suite and variant."""
    organism_id: str = ""
    """``<suite>.<name>[+<variant>]``; made of the other fields where a log lacks it."""
    variant: str = DEFAULT_VARIANT
    family: str
    method: str
    """Diffing method, several as ``adl+kl``, or ``blackbox``."""
    agent: str | None = None
    """Kind of agent, or ``package/agent`` of a user's; None in logs whose header names it."""
    interactions: int
    """Granted interactions."""
    tool_budgets: dict[str, int] = Field(default_factory=dict)
    """Tool -> interactions that it may spend of those."""
    framing: Framing | str = "neutral"
    blind: bool = False
    hints: str = NO_HINTS
    """The condition: ``none``, ``family``, or the sentence that is told."""
    hint: str = ""
    """What the brief says of it."""
    seed: int = 0
    artifact_key: str | None = None
    """Key of the artifact, several in the order of the methods with ``+`` between them; None without one."""
    needs: Literal["weights", "api"] = "weights"
    """Whether the pair's weights are known, or an API only."""

    def model_post_init(self, _context: Any) -> None:
        """Fill in the id."""
        if not self.organism_id:
            object.__setattr__(self, "organism_id", organism_id(self.suite, self.organism, self.variant))

    def as_metadata(self) -> dict[str, Any]:
        """What is put into ``Sample.metadata``."""
        return self.model_dump(mode="json")


def organism_id_of(metadata: Mapping[str, Any]) -> str | None:
    """The organism that the metadata of any sample name: a case's, or those of a dataset of a user's own.

    Args:
        metadata: With ``organism_id``, or with ``suite`` and ``organism``; all else may be missing.

    Returns:
        ``<suite>.<name>[+<variant>]``, or None where they name none.
    """
    if given := metadata.get("organism_id"):
        return str(given)
    if "suite" in metadata and "organism" in metadata:
        variant = str(metadata.get("variant", DEFAULT_VARIANT))
        return organism_id(str(metadata["suite"]), str(metadata["organism"]), variant)
    return None


def organism_id(suite: str, organism: str, variant: str) -> str:
    """``<suite>.<name>``, with ``+<variant>`` for all but the default one."""
    return f"{suite}.{organism}" if variant == DEFAULT_VARIANT else f"{suite}.{organism}+{variant}"
