"""Models that a user names, outside a task: found before anything is asked of them."""

from __future__ import annotations

from inspect_ai.model import Model, get_model

from ..records.errors import MendableError

__all__ = ["model_named"]


def model_named(name: str) -> Model:
    """The model of an Inspect name.

    Raises:
        MendableError: When no provider of that name is known.
    """
    try:
        return get_model(name)
    except ValueError as error:
        raise MendableError(str(error)) from error
