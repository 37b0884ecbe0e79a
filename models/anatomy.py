"""One vocabulary for every architecture: decoder layers, residual stream, final norm, embedding and unembedding.

Where an architecture keeps these parts is written here and nowhere else. To add one, add a row to ``_LAYOUTS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..records.errors import MendableError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["Anatomy", "ChildKind", "Layout", "anatomy_of", "child_kind", "logits_of", "stream_of", "with_stream"]

ChildKind: TypeAlias = Literal["attention", "mlp"]
"""What a child of a decoder layer is."""


@dataclass(frozen=True)
class Layout:
    """Names that a decoder gives to its parts."""

    models: str
    """Architectures laid out so, for messages."""
    layers: str
    """Attribute that holds the decoder layers."""
    final_norm: str
    """Attribute that holds the norm between the last layer and the unembedding."""


_LAYOUTS = (
    Layout("Llama, Mistral, Mixtral, Qwen, Gemma, Phi-3, OLMo 2, Cohere, Granite", "layers", "norm"),
    Layout("GPT-NeoX, OPT", "layers", "final_layer_norm"),
    Layout("Phi", "layers", "final_layernorm"),
    Layout("GPT-2, GPT-J, Falcon, BLOOM", "h", "ln_f"),
)

_ATTENTION = ("attn", "attention")
_MLP = ("mlp", "feed_forward", "feedforward", "ffn", "moe", "fc1", "fc2")
_NEITHER = ("norm", "dropout")
"""Parts of the names of layers' children. Norms and dropouts are named after what they follow; OPT has the two matrices
of its MLP directly in the layer."""


@dataclass(frozen=True)
class Anatomy:
    """The parts of a causal language model by the same names in every architecture.

    The parts are looked up anew each time, since attaching an adapter may put another module in a part's place.
    """

    model: PreTrainedModel
    layout: Layout

    @property
    def decoder(self) -> torch.nn.Module:
        """The model without its unembedding."""
        decoder: torch.nn.Module = self.model.get_decoder()
        return decoder

    @property
    def layers(self) -> list[torch.nn.Module]:
        """The decoder layers, first to last."""
        return list(getattr(self.decoder, self.layout.layers))

    def layer(self, index: int) -> torch.nn.Module:
        """One decoder layer.

        Raises:
            MendableError: When the model has no such layer.
        """
        layers = self.layers
        if not 0 <= index < len(layers):
            raise MendableError(f"layer {index} is out of range; the model has layers 0 to {len(layers) - 1}")
        return layers[index]

    def place_of(self, name: str) -> tuple[int, str] | None:
        """Where a module or parameter lies: the number of its decoder layer, and the child of that layer.

        Args:
            name: Its dotted name in the model.

        Returns:
            None for what lies outside the layers, such as embeddings.
        """
        inside = name.removeprefix(f"{self._layers_path}.")
        if inside == name:
            return None
        layer, _, rest = inside.partition(".")
        return int(layer), rest.partition(".")[0]

    @cached_property
    def _layers_path(self) -> str:
        held = getattr(self.decoder, self.layout.layers)
        path: str = next(path for path, module in self.model.named_modules() if module is held)
        return path

    @property
    def final_norm(self) -> torch.nn.Module:
        """The norm between the last layer and the unembedding."""
        norm: torch.nn.Module = getattr(self.decoder, self.layout.final_norm)
        return norm

    @property
    def embed(self) -> torch.nn.Embedding:
        """The token embedding; its weight has shape [vocabulary, d_model]."""
        embedding: torch.nn.Embedding = self.model.get_input_embeddings()
        return embedding

    @property
    def unembed(self) -> torch.nn.Module:
        """The output head, a linear map from d_model to the vocabulary."""
        head: torch.nn.Module = self.model.get_output_embeddings()
        return head

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def children(self) -> dict[str, ChildKind]:
        """Names of the layers' children that are attention or MLP."""
        names = (name for layer in self.layers for name, _ in layer.named_children())
        kinds = {name: child_kind(name) for name in names}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states after the final norm, [texts, tokens, d_model] in the model's dtype.

        Args:
            ids: Token ids, [texts, tokens].
            mask: 1 where there is a token, 0 where there is padding, [texts, tokens].
        """
        states: torch.Tensor = self.decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return states


def anatomy_of(model: PreTrainedModel) -> Anatomy:
    """The parts of a model.

    Raises:
        MendableError: For an architecture whose parts are not known; names it and those that are.
    """
    decoder: Any = model.get_decoder()
    for layout in _LAYOUTS:
        if getattr(decoder, layout.layers, None) is not None and getattr(decoder, layout.final_norm, None) is not None:
            return Anatomy(model, layout)
    known = "; ".join(f"{row.models} ({row.layers}, {row.final_norm})" for row in _LAYOUTS)
    raise MendableError(
        f"architecture {type(model).__name__}: its decoder {type(decoder).__name__} holds no decoder layers and final "
        f"norm under a name that is known; known are {known}"
    )


def logits_of(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """The logits that the model itself returns for hidden states after its final norm.

    Args:
        model: A causal language model.
        hidden: [..., d_model]; brought to the dtype of the unembedding.

    Returns:
        [..., vocabulary] in the dtype of the unembedding.
    """
    head = model.get_output_embeddings()
    logits: torch.Tensor = head(hidden.to(next(head.parameters()).dtype))
    return logits


def child_kind(name: str) -> ChildKind | None:
    """Whether a child of a decoder layer is attention or MLP, by its name; None for all else."""
    if any(part in name for part in _NEITHER):
        return None
    if any(part in name for part in _ATTENTION):
        return "attention"
    return "mlp" if any(part in name for part in _MLP) else None


def stream_of(output: Any) -> torch.Tensor:
    """The residual stream in what a decoder layer returned: the tensor itself, or the first of a tuple.

    Raises:
        MendableError: When it has not the shape [texts, tokens, d_model].
    """
    stream: torch.Tensor = output[0] if isinstance(output, tuple) else output
    if stream.ndim != 3:
        raise MendableError(
            f"a decoder layer returned a residual stream of shape {list(stream.shape)}; expected [texts, tokens, "
            "d_model]: this architecture is not known"
        )
    return stream


def with_stream(output: Any, stream: torch.Tensor) -> Any:
    """What a decoder layer returned, with another residual stream."""
    return (stream, *output[1:]) if isinstance(output, tuple) else stream
