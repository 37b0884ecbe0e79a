"""Named targets: the models of a case in their order. A pair is the case of two, base and finetuned."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..records.errors import MendableError
from ..records.names import BASE, FINETUNED
from .anatomy import Anatomy
from .drift import adapter_drift, full_drift
from .network import Network
from .tokenizers import templated, tokenizer_beside

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .reference import Origin, Reference

__all__ = ["Pair", "Target", "Targets", "load_targets"]

_LOADING = threading.Lock()
"""Held while weights are loaded, so that concurrent first queries load them once."""


@dataclass(frozen=True)
class Target:
    """One model: a network and the adapter that makes it that model."""

    network: Network
    adapter: str | None = None

    @property
    def anatomy(self) -> Anatomy:
        """The parts of its network."""
        return self.network.anatomy

    def running(self) -> AbstractContextManager[PreTrainedModel]:
        """The model itself, for forward passes under ``torch.inference_mode``."""
        return self.network.using(self.adapter)


@dataclass(frozen=True)
class Targets:
    """Models by name, in their order, on the same tokenizer. Iterating gives the models, not the names."""

    name: str
    """What they are of, for messages: the id of an organism."""
    named: Mapping[str, Target]
    system_prompt: str | None = None
    """System prompt under which all of them are queried."""

    def __iter__(self) -> Iterator[Target]:
        return iter(self.named.values())

    def __getitem__(self, name: str) -> Target:
        return self.named[name]

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the first, which all share."""
        return next(iter(self)).network.tokenizer


class Pair(Targets):
    """The targets ``base`` and ``finetuned``; equal to each other where nothing was finetuned."""

    def __init__(self, name: str, base: Target, finetuned: Target, system_prompt: str | None = None) -> None:
        """Name the two models; see ``Targets``."""
        super().__init__(name, {BASE: base, FINETUNED: finetuned}, system_prompt)

    @property
    def base(self) -> Target:
        """The base model."""
        return self.named[BASE]

    @property
    def finetuned(self) -> Target:
        """The finetuned model."""
        return self.named[FINETUNED]

    @property
    def drift(self) -> float:
        """Relative Frobenius norm of the change over the matrices that changed; 0 for the base against itself.

        Raises:
            MendableError: For two full models of different shapes, or an adapter on another model than the base.
        """
        base, finetuned = self.base, self.finetuned
        if base == finetuned:
            return 0.0
        if base.network is finetuned.network and finetuned.adapter is not None:
            return adapter_drift(base.network.model, finetuned.adapter, base.adapter)
        if base.adapter or finetuned.adapter:
            raise MendableError(f"{self.name}: an adapter on one side, another full model on the other; no drift")
        try:
            return full_drift(base.network.model, finetuned.network.model)
        except MendableError as error:
            raise MendableError(f"{self.name}: {error}") from error


def load_targets(references: Mapping[str, Reference], origin: Origin, dtype: str = "auto") -> dict[str, Target]:
    """Load models by their references; networks are shared within the process.

    All of them must read the same tokens. A tokenizer or chat template that was saved beside an adapter is therefore
    used for all targets of its pair, the base too; the finetuned side's comes before the base's. Full models keep their
    own templates, but a first one without (a pretrained base) gets that of the first other one that has one. Other
    pairs on the same networks go on reading with their own.

    Args:
        references: Name -> model, in the order of the targets.
        origin: Where the references stand.
        dtype: torch dtype of the weights, ``bfloat16`` or ``float32``; ``auto`` takes what the machine is fast with.

    Raises:
        MendableError: For a model behind an API, a wrong hash, an adapter that does not fit or changes nothing.
        MissingError: When weights are missing; says how to get them.
    """
    # What cannot be loaded is refused before anything is.
    ordered = sorted(references, key=lambda name: references[name].has_weights)
    with _LOADING:
        loaded = {name: references[name].load(origin, _label(origin.name, name), dtype) for name in ordered}
        targets = {name: loaded[name] for name in references}
        return _reading_alike(targets, [reference.reads_from(origin) for reference in references.values()])


def _reading_alike(targets: dict[str, Target], folders: Sequence[Path | None]) -> dict[str, Target]:
    """The targets behind the tokenizer with which they are read; see ``load_targets``.

    Args:
        targets: As they were loaded.
        folders: Of each, where a tokenizer or a chat template of its own may lie.
    """
    first, *others = (target.network for target in targets.values())
    beside = [tokenizer_beside(folder, first) for folder in reversed(folders) if folder is not None]
    tokenizer = next((found for found in beside if found is not None), None)
    if tokenizer is not None:
        return {name: replace(target, network=target.network.reading(tokenizer)) for name, target in targets.items()}
    templates = (other.tokenizer.chat_template for other in others)
    template = next((found for found in templates if found is not None), None)
    if first.tokenizer.chat_template is not None or template is None:
        return targets
    read = first.reading(templated(first, template))
    return {name: replace(t, network=read) if t.network is first else t for name, t in targets.items()}


def _label(organism: str, name: str) -> str:
    """Name of a model's adapter: an organism is its finetuned model."""
    return organism if name == FINETUNED else f"{organism}:{name}"
