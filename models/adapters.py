"""PEFT adapters on a base network: plain LoRA on one that is shared, any other kind merged into one of its own."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..records.errors import MendableError
from .adapter_files import AdapterFiles
from .folders import ADAPTER_WEIGHTS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["SharedAdapters", "adapted_layers", "beyond_linear", "merge_adapter"]

_SHOWN = 3
"""Keys that a message names."""
_EXPERTS = ".experts."
"""Stands in the names of a mixture's experts."""
_LONGEST = 300
"""Characters that a message quotes of PEFT's; torch names every matrix of the wrong shape."""


class SharedAdapters:
    """The plain LoRA adapters on one model; they leave its own weights as they are."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Begin without adapters."""
        self._model = model
        self._peft: Any = None

    def __bool__(self) -> bool:
        return self._peft is not None

    def load(self, name: str, files: AdapterFiles) -> None:
        """Put an adapter on the model. A load that fails leaves the model and its other adapters as they were.

        Raises:
            MendableError: When the adapter is more than plain LoRA, does not fit the model or is not whole.
        """
        if (more := beyond_linear(self._model, files)) is not None:
            raise MendableError(
                f"adapter {files.folder}: {more} is more than LoRA matrices, and the base is shared; load it on a "
                "network of its own"
            )
        files.require_finite()
        with ExitStack() as undo:
            for parameter in self._model.parameters():
                undo.callback(parameter.requires_grad_, parameter.requires_grad)
            undo.callback(self._remove, name)
            peft = _attached(self._model, self._peft, name, files)
            undo.pop_all()
        self._peft = peft.eval()

    def drop(self, name: str) -> None:
        """Take an adapter off; without adapters the model is what it was."""
        self._remove(name)
        if not hasattr(self._model, "peft_config"):
            self._peft = None

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """One adapter, or none, switched on while the block runs."""
        if self._peft is None:
            yield
        elif name is None:
            with self._peft.disable_adapter():
                yield
        else:
            self._peft.set_adapter(name)
            yield

    def _remove(self, name: str) -> None:
        """Take an adapter off, or what a failed load left: PEFT puts its layers in place before it reads weights."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        configs = getattr(self._model, "peft_config", {})
        configs.pop(name, None)
        if self._peft is not None and configs:
            self._peft.set_adapter(next(iter(configs)))
        for path, layer in list(self._model.named_modules()):
            if isinstance(layer, BaseTunerLayer):
                layer.delete_adapter(name)
                if not any(getattr(layer, weights) for weights in layer.adapter_layer_names):
                    parent, _, child = path.rpartition(".")
                    setattr(self._model.get_submodule(parent), child, layer.get_base_layer())
        if not configs and hasattr(self._model, "peft_config"):
            del self._model.peft_config


def beyond_linear(model: PreTrainedModel, files: AdapterFiles) -> str | None:
    """What makes an adapter more than LoRA on linear maps of a model, in words; None for plain LoRA.

    Experts that were linear maps of their own when the adapter was trained may be one tensor in this model; their
    matrices then act on parameters, and not on the inputs of a module.
    """
    if files.beyond_lora is not None:
        return files.beyond_lora
    of_experts = [key for key in files.shapes if _EXPERTS in key]
    modules = [name for name, _ in model.named_modules()] if of_experts else []
    for key in of_experts:
        place = key[key.index(_EXPERTS) :].partition(".lora_")[0]
        if not any(name.endswith(place) for name in modules):
            return f"expert {key}"
    return None


def adapted_layers(model: PreTrainedModel, *names: str | None) -> list[Any]:
    """The layers that one of the named adapters touches."""
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    return [layer for layer in layers if any(name in getattr(layer, "lora_A", {}) for name in names if name)]


def merge_adapter(model: PreTrainedModel, files: AdapterFiles) -> None:
    """Merge an adapter of any kind into a model, which is changed in place.

    The merged model is compared with the adapter at work on the base: what no change of weights reproduces is
    refused. Where the adapter changes one of two weights that the base ties, they are untied.

    Args:
        model: The base, in float32; useless after an error.
        files: The adapter.

    Raises:
        MendableError: When the adapter does not fit the model, is not whole, or cannot be merged.
    """
    import torch

    files.require_mergeable()
    files.require_finite()
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    _require_same_vocabulary(files, vocabulary)
    peft = _attached(model, None, "merged", files).eval()
    ids = _probe(files, vocabulary).to(model.device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no longer tied after merging.*")
        expected = model(input_ids=ids).logits
        tied = model.config.get_text_config().tie_word_embeddings
        _untie(model)
        try:
            peft.merge_and_unload()
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise files.refused(f"PEFT cannot merge it ({error})") from error
        if tied:
            _tie_again(model)
        actual = model(input_ids=ids).logits
    apart = float((actual - expected).abs().max())
    if not apart <= 1e-3 * max(1.0, float(expected.abs().max())):
        raise files.refused(f"merged into its base it computes something else (logits differ by up to {apart:.3g})")
    model.requires_grad_(False)


def _attached(model: PreTrainedModel, peft: Any, name: str, files: AdapterFiles) -> Any:
    """Load the adapter as ``name`` and return the PEFT wrapper around ``model``.

    Its weights are cast to the base's dtype, so that shipped half-precision files stay small in memory.

    Raises:
        MendableError: When the adapter does not fit the model or is not whole.
    """
    from peft import PeftConfig, PeftModel

    with warnings.catch_warnings():
        # PEFT asks transformers for a property under its old name; nothing that a user could act on.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", module="peft")
        try:
            config = PeftConfig.from_pretrained(str(files.folder))
            config.inference_mode = True
            if config.is_prompt_learning or config.is_adaption_prompt:
                raise files.refused("it adds to the prompt and changes no weight")
            if peft is None:
                peft = PeftModel(model, config, adapter_name=name, autocast_adapter_dtype=False)
            mapping = getattr(model, "_checkpoint_conversion_mapping", None)
            loaded = peft.load_adapter(
                str(files.folder), adapter_name=name, autocast_adapter_dtype=False, key_mapping=mapping
            )
        except MendableError:
            raise
        except KeyError as error:
            raise _incomplete(files, [str(error.args[0])], "are missing") from error
        except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
            reason = textwrap.shorten(str(error), _LONGEST)
            raise MendableError(f"adapter {files.folder}: does not fit the base model: {reason}") from error
    # PEFT tells by part of a key whose it is, and one adapter's name may be the beginning of another's.
    if missing := [key for key in loaded.missing_keys if name in key.split(".")]:
        raise _incomplete(files, missing, "are missing")
    if loaded.unexpected_keys:
        raise _incomplete(files, loaded.unexpected_keys, "have no place in the base model")
    return peft


def _incomplete(files: AdapterFiles, keys: list[str], what: str) -> MendableError:
    named = ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
    return MendableError(
        f"{files.folder / ADAPTER_WEIGHTS}: {len(keys)} weights {what}: {named}; the file and adapter_config.json do "
        "not belong together, or the adapter is one of another base: download or save it again, or correct the base"
    )


def _require_same_vocabulary(files: AdapterFiles, vocabulary: int) -> None:
    for key, shape in files.shapes.items():
        if key.endswith(("embed_tokens.weight", "lm_head.weight")) and shape[0] != vocabulary:
            raise files.refused(
                f"{key} has {shape[0]} rows and the base {vocabulary}: it was trained with tokens added to the "
                "vocabulary, or on another base"
            )


def _probe(files: AdapterFiles, vocabulary: int) -> torch.Tensor:
    """Token ids on which a merged model is compared, [texts, tokens], with the tokens that the adapter trains."""
    import torch

    ids = torch.randint(vocabulary, (2, 24), generator=torch.Generator().manual_seed(0))
    trained = files.config.get("trainable_token_indices") or files.config.get("token_indices") or []
    lists = trained.values() if isinstance(trained, dict) else [trained]
    tokens = [token for tokens in lists if isinstance(tokens, list) for token in tokens if isinstance(token, int)][:24]
    ids[1, : len(tokens)] = torch.tensor(tokens, dtype=ids.dtype)
    return ids


def _untie(model: PreTrainedModel) -> None:
    """Give every module a weight of its own: merging an adapter into one of two tied weights would change both."""
    import torch

    seen: set[torch.nn.Parameter] = set()
    for module in model.modules():
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        if weight in seen:
            module.weight = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)
        elif weight is not None:
            seen.add(weight)


def _tie_again(model: PreTrainedModel) -> None:
    """Tie embedding and unembedding, as the base does, where the merged weights are equal."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    alike = bool(embedding.weight.equal(head.weight))
    if alike:
        head.weight = embedding.weight
    model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = alike
