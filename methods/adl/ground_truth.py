"""The ground truth that the reports on an artifact of ``adl`` read: the training data of the artifact's organism.

Nothing of it may enter an artifact or reach an investigator.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ...organisms.recipes.data_mix import TrainingItem, narrow_items, unrelated_items
from ...organisms.suites import Organism
from ...records.errors import MendableError
from ..artifact import Artifact

__all__ = ["Data", "evaluation_items", "require_adl_artifact"]

Data: TypeAlias = Literal["finetuning", "unrelated"]
"""What was trained on, or text that has nothing to do with it."""


def require_adl_artifact(artifact: Artifact, organism: Organism) -> None:
    """Refuse an artifact of another method or pair.

    Raises:
        MendableError: Naming what it is.
    """
    manifest = artifact.manifest
    if manifest.method != "adl":
        raise MendableError(f"artifact {artifact.key} is of method {manifest.method}; give one of adl")
    for side, found in (("base", manifest.base), ("finetuned", manifest.finetuned)):
        if found != organism.identity(side):
            raise MendableError(
                f"artifact {artifact.key} belongs to another {side} model than {organism.id} has; "
                f"compute one with: diffbench diff {organism.id} --method adl"
            )


def evaluation_items(organism: Organism) -> dict[Data, list[TrainingItem]]:
    """The narrow training items of an organism's recipe, and unrelated ones: those never trained on, if there are any.

    Raises:
        MendableError: Without a recipe: the training data are then not known here.
    """
    recipe = organism.recipe
    if recipe is None:
        raise MendableError(f"{organism.id}: has no recipe, so its training data are not known here; give them as data")
    unrelated = unrelated_items()
    held_out = unrelated[recipe.unrelated_pool :]
    return {"finetuning": narrow_items(recipe, organism), "unrelated": held_out or unrelated}
