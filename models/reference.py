"""What every reference to a model answers: how to load it, which weights it is, and what must be there."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from ..records.errors import MendableError
from ..records.frozen import Frozen
from .loading import load_network, read_network
from .network import Network
from .targets import Target

__all__ = ["FullModel", "Identity", "Origin", "Reference"]

Identity: TypeAlias = dict[str, JsonValue]
"""What fixes a model's weights, for artifact keys: hashes or revisions, never names of ours."""


@dataclass(frozen=True)
class Origin:
    """What the spec gives to the references that stand in it."""

    name: str
    """Id of the organism, for messages and names of adapters."""
    folder: Path
    """Folder that relative paths start from."""
    base: Reference
    """The organism's base model."""

    @property
    def full_base(self) -> FullModel:
        """The full model that an adapter or a difference stands on.

        Raises:
            MendableError: When the base is none: an API, or itself an adapted model.
        """
        if not isinstance(self.base, FullModel):
            raise MendableError(
                f"{self.name}: its base is of kind {self.base.kind!r}; an adapter or a difference needs a full model "
                "below it (give the finetuned side as kind adapted, with its model)"
            )
        return self.base


class Reference(Frozen):
    """A model that a spec names."""

    kind: str

    @property
    def has_weights(self) -> bool:
        """Whether the model can be loaded."""
        return True

    @property
    def api_name(self) -> str | None:
        """Inspect name of a model behind an API; None for one that is loaded here."""
        return None

    @property
    def published_name(self) -> str | None:
        """Name under which the model was published; None where it has none."""
        return None

    def trained_place(self, origin: Origin) -> Path | None:
        """Folder into which a training writes the weights; None for kinds that are not trained here."""
        return None

    def reads_from(self, origin: Origin) -> Path | None:
        """Folder in which a tokenizer or a chat template may lie beside an adapter; None for a full model."""
        return None

    @abstractmethod
    def identity(self, origin: Origin) -> Identity:
        """What fixes the weights.

        Raises:
            MissingError: When local weights are missing.
        """

    @abstractmethod
    def require(self, origin: Origin) -> None:
        """Check, without loading anything, that local weights are there; the hub is not asked.

        Raises:
            MissingError: When a package, folder or file is missing; says how to get it.
            MendableError: When weights are not those that were trained.
        """

    @abstractmethod
    def load(self, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """Load the model; networks are shared within the process.

        Args:
            origin: Where the reference stands.
            label: Names the adapter among all that are loaded on its base.
            dtype: torch dtype of the weights, ``bfloat16`` or ``float32``; ``auto`` takes what the machine is fast
                with.

        Raises:
            MissingError: When weights are missing; says how to get them.
            MendableError: For a wrong hash, an adapter or a difference that does not fit, or an API.
        """


class FullModel(Reference):
    """A model with all its weights."""

    @property
    def pinned(self) -> str | None:
        """Revision on the hub; None elsewhere."""
        return None

    @abstractmethod
    def source(self, origin: Origin) -> str:
        """What ``from_pretrained`` takes: a folder, or a hub id.

        Raises:
            MissingError: When the model is not there, or the hub does not give it; says how to get it.
            MendableError: When the file's hash is another than the spec's.
        """

    def load(self, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """Load the model, once a process for each dtype."""
        return Target(load_network(self.source(origin), self.pinned, dtype))

    def read(self, origin: Origin, dtype: str = "auto") -> Network:
        """A network of one's own, read anew each time."""
        return read_network(self.source(origin), self.pinned, dtype)
