"""The files of a PEFT adapter: what kind of adapter its configuration describes, and whether its weights are whole."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..records.errors import MendableError, MissingError
from .folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, files_digest

if TYPE_CHECKING:
    import torch

__all__ = ["AdapterFiles", "read_adapter"]

_INSTEAD = "name a full finetuned model (kind local or hub) in its place"

_OFF: tuple[JsonValue, ...] = (None, False, "none", {}, [], "")
_WITHIN_LORA = frozenset(
    "alpha_pattern auto_mapping base_model_name_or_path ensure_weight_tying exclude_modules fan_in_fan_out "
    "inference_mode init_lora_weights layers_pattern layers_to_transform lora_alpha lora_dropout megatron_core "
    "peft_type peft_version qalora_group_size r rank_pattern revision runtime_config target_modules task_type "
    "use_rslora".split()
)
"""Settings under which every tuned module still computes W x + s B A x. Any other that is not off is more than that,
a setting of a later PEFT that is not known here included."""

_LORA_STARTS: tuple[JsonValue, ...] = (True, False, "gaussian")
"""Values of ``init_lora_weights`` that leave the base as it is."""
_OTHER_STARTS: tuple[JsonValue, ...] = (*_LORA_STARTS, "eva", "olora", "orthogonal", "pissa")
"""Those that PEFT can repeat when it loads the adapter, the change that they make in the base included."""

_NOT_MERGED = {
    "alora_invocation_tokens": "it works only behind its invocation tokens",
    "arrow_config": "it chooses among other adapters",
    "layer_replication": "it repeats layers of the base",
}
"""Settings with which an adapter is no change of the base's weights."""


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter's folder, read but for the weights themselves."""

    folder: Path
    config: Mapping[str, JsonValue]
    """Content of ``adapter_config.json``."""
    shapes: Mapping[str, tuple[int, ...]]
    """Key of each tensor in the file of weights -> its shape."""

    @property
    def beyond_lora(self) -> str | None:
        """What makes the adapter more than plain LoRA matrices, in words; None for plain LoRA.

        Plain LoRA adds s B A to linear maps and touches nothing else, so that base and adapters can share one network
        and even one batch.
        """
        if self.config["peft_type"] != "LORA":
            return f"peft_type {self.config['peft_type']}"
        start = self.config.get("init_lora_weights", True)
        if start not in _LORA_STARTS:
            return f"init_lora_weights {start}"
        for setting, value in self.config.items():
            if setting not in _WITHIN_LORA and value not in _OFF:
                return f"{setting} {json.dumps(value)}"
        others = (key for key in self.shapes if not key.endswith((".lora_A.weight", ".lora_B.weight")))
        return next((f"trained {key}" for key in others), None)

    def require_mergeable(self) -> None:
        """Refuse adapters that are known to be no change of their base's weights that can be computed again.

        Raises:
            MendableError: Naming the setting and the remedy.
        """
        for setting, reason in _NOT_MERGED.items():
            if self.config.get(setting) not in _OFF:
                raise self.refused(f"{setting} is set, and {reason}")
        start = self.config.get("init_lora_weights", True)
        if self.config["peft_type"] == "LORA" and start not in _OTHER_STARTS:
            raise MendableError(
                f"adapter {self.folder}: init_lora_weights {start} changes the base in a way that cannot be computed "
                "again; save it as plain LoRA (save_pretrained with path_initial_model_for_weight_conversion), or "
                f"{_INSTEAD}"
            )

    def refused(self, reason: str) -> MendableError:
        """The error for an adapter whose computation no change of weights reproduces."""
        kind = self.beyond_lora or "plain LoRA"
        return MendableError(f"adapter {self.folder} ({kind}): {reason}; {_INSTEAD}")

    def require_finite(self) -> None:
        """Read all weights once.

        Raises:
            MendableError: When one of them is not a finite number.
        """
        for key, tensor in self._tensors():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise MendableError(
                    f"{self.folder / ADAPTER_WEIGHTS}: {key} holds values that are not finite; the training diverged "
                    "or the file is damaged: take an earlier checkpoint, or download it again"
                )

    def require_base(self, source: str, published: str | None) -> None:
        """Compare the base that the configuration names with the one that the adapter is put on.

        A folder that is there is compared by its weights. Of a model under another name nothing can be known; there is
        a warning, since a copy of the same weights is as likely as another model of the same shape.

        Args:
            source: Folder or hub id of the base.
            published: Name under which it was published.

        Raises:
            MendableError: When the named folder holds other weights.
        """
        named = self.config.get("base_model_name_or_path")
        if not isinstance(named, str) or not named or named in {source, published}:
            return
        theirs, ours = (sorted(Path(place).glob("*.safetensors")) for place in (named, source))
        if theirs and ours:
            if files_digest(theirs) != files_digest(ours):
                raise MendableError(
                    f"adapter {self.folder}: was trained on {named}, whose weights are not those of {source}; correct "
                    "base in the spec, or base_model_name_or_path in adapter_config.json"
                )
        elif _plain_name(named) not in {_plain_name(name) for name in (source, published) if name}:
            warnings.warn(
                f"adapter {self.folder} names {named} as its base and stands on {source}; if their weights are not the "
                "same, correct base in the spec",
                stacklevel=2,
            )

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        from safetensors import safe_open

        with safe_open(self.folder / ADAPTER_WEIGHTS, framework="pt") as file:
            for key in self.shapes:
                yield key, file.get_tensor(key)


def _plain_name(model: str) -> str:
    """A model's name without its owner or folder and without what marks a quantised copy of it."""
    name = Path(model).name.lower()
    for mark in ("-bnb-4bit", "-4bit", "-unsloth"):
        name = name.removesuffix(mark)
    return name


def read_adapter(folder: Path) -> AdapterFiles:
    """Read an adapter's configuration and the names and shapes of its weights.

    Raises:
        MissingError: When a file is missing.
        MendableError: When a file is a git-lfs pointer, cut off or not what its name says.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise MissingError(
                f"adapter {folder}: {name} is missing; save the adapter with PEFT's save_pretrained "
                "(safe_serialization=True, which is its default)"
            )
        with (folder / name).open("rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                raise MendableError(f"{folder / name} is a git-lfs pointer, not the file itself; run: git lfs pull")
    return AdapterFiles(folder, _config(folder / ADAPTER_CONFIG), _shapes(folder / ADAPTER_WEIGHTS))


def _config(path: Path) -> Mapping[str, JsonValue]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MendableError(f"{path}: no valid JSON ({error}); download it or save the adapter again") from error
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise MendableError(f"{path}: names no peft_type; is it the configuration of a PEFT adapter?")
    return config


def _shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise MendableError(
            f"{path}: cut off or no safetensors file ({error}); download it or save the adapter again"
        ) from error
