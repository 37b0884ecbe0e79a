"""Reading and changing what a model computes while it runs: the only module that puts hooks on a network.

Each function is a context manager; its hooks are gone when the block ends, also after an error. On one layer hooks act
in the order in which their blocks were entered. Who calls them holds the network's lock (``Target.running``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from .anatomy import Anatomy, stream_of, with_stream

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["added", "captured", "changed", "projected", "replace_coordinate", "replaced", "routed"]

Change: TypeAlias = "Callable[[torch.Tensor], torch.Tensor | None]"
"""Takes a residual stream, [texts, tokens, d_model], and returns another in its place, or None to leave it."""

BASE_ROW = "__base__"
"""PEFT's name for a row of a mixed batch that uses no adapter."""


class _CutError(Exception):
    """Ends a forward pass behind the deepest layer that is wanted."""


@contextmanager
def captured(anatomy: Anatomy, layers: Collection[int], stop: bool = False) -> Iterator[dict[int, torch.Tensor]]:
    """Residual streams after decoder layers, [texts, tokens, d_model] in the model's dtype.

    Args:
        anatomy: The model.
        layers: After which layers.
        stop: End the forward pass, and with it the block, behind the deepest of them.

    Yields:
        Layer -> its stream; filled by the forward pass inside the block.

    Raises:
        MendableError: For a layer that the model does not have.
    """
    streams: dict[int, torch.Tensor] = {}
    deepest, cut = max(layers, default=-1), _CutError()

    def keep(layer: int) -> Change:
        def change(stream: torch.Tensor) -> None:
            streams[layer] = stream
            if stop and layer == deepest:
                raise cut

        return change

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(changed(anatomy, layer, keep(layer)))
        try:
            yield streams
        except _CutError as error:
            if error is not cut:
                raise


@contextmanager
def changed(anatomy: Anatomy, layer: int, change: Change) -> Iterator[None]:
    """The residual stream after a layer replaced by what ``change`` makes of it.

    Args:
        anatomy: The model.
        layer: After which layer.
        change: Takes the stream, [texts, tokens, d_model], and returns a new one; None leaves it as it is.

    Raises:
        MendableError: When the model has no such layer.
    """

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        stream = change(stream_of(output))
        return output if stream is None else with_stream(output, stream)

    handle = anatomy.layer(layer).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def added(anatomy: Anatomy, shifts: Mapping[int, torch.Tensor]) -> Iterator[None]:
    """A vector added to each row's residual stream at all of its tokens.

    Args:
        anatomy: The model.
        shifts: Layer -> vectors added after it, [rows, d_model]; zeros leave a row as it is.
    """

    def add(vectors: torch.Tensor) -> Change:
        shift = vectors.unsqueeze(1)
        return lambda stream: stream + shift.to(stream)

    with ExitStack() as stack:
        for layer, vectors in shifts.items():
            stack.enter_context(changed(anatomy, layer, add(vectors)))
        yield


@contextmanager
def replaced(anatomy: Anatomy, layer: int, vectors: torch.Tensor) -> Iterator[None]:
    """The residual stream after a layer replaced at the last token by ``vectors``, [rows, d_model]."""

    def put(stream: torch.Tensor) -> torch.Tensor:
        stream = stream.clone()
        stream[:, -1] = vectors.to(stream)
        return stream

    with changed(anatomy, layer, put):
        yield


@contextmanager
def projected(anatomy: Anatomy, layer: int, other: torch.Tensor, direction: torch.Tensor) -> Iterator[None]:
    """The residual stream's coordinate along a direction replaced by that of another stream, at all tokens.

    Args:
        anatomy: The model.
        layer: After which layer.
        other: The stream whose coordinate is put in, [texts, tokens, d_model].
        direction: [d_model], of any length but 0.
    """

    def put(stream: torch.Tensor) -> torch.Tensor:
        return replace_coordinate(stream, other.to(stream.device), direction).to(stream.dtype)

    with changed(anatomy, layer, put):
        yield


def replace_coordinate(stream: torch.Tensor, other: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """H - (h.v) v + (h'.v) v with v = d/|d|: [..., d_model] twice and [d_model] -> [..., d_model], float32."""
    v = direction.to(stream.device).float()
    v = v / v.norm()
    moved: torch.Tensor = stream.float() + ((other.float() - stream.float()) @ v).unsqueeze(-1) * v
    return moved


@contextmanager
def routed(model: PreTrainedModel, adapters: Sequence[str | None]) -> Iterator[None]:
    """Each row of a batch sent through its own PEFT adapter, or through none.

    PEFT's own ``generate(adapter_names=...)`` leaves its hooks on the layers when generation fails, and every later
    forward pass would then run through the wrong adapters.

    Args:
        model: A network with LoRA layers.
        adapters: The adapter of each row; None for the base model.
    """
    from peft.tuners.lora import LoraLayer

    names = [name or BASE_ROW for name in adapters]

    def route(_module: Any, args: Any, kwargs: dict[str, object]) -> tuple[Any, dict[str, object]]:
        return args, {**kwargs, "adapter_names": list(names)}

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, LoraLayer):
                stack.callback(module.register_forward_pre_hook(route, with_kwargs=True).remove)
        yield
