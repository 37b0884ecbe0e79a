"""Weight amplification: a pair's finetuned model with its change of weights multiplied.

theta(w) = theta_f + (w - 1)(theta_f - theta_b) for the chosen part of the weights; the rest stays the finetuned
model's. w = 1 is the finetuned model, w = 0 the base, w > 1 overstates the finetuning, w < 0 turns it round. For a LoRA
adapter that is its B multiplied by w. Source: the weight amplification of science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..records.errors import MendableError
from .adapters import adapted_layers
from .anatomy import child_kind
from .drift import both_parameters
from .network import Network
from .targets import Pair, Target

if TYPE_CHECKING:
    import torch

__all__ = ["Modules", "Part", "amplified", "differs", "scaled"]

Modules = Literal["all", "attention", "mlp"]


@dataclass(frozen=True)
class Part:
    """Part of the weights: kinds of modules in a range of decoder layers."""

    modules: Modules = "all"
    """``attention`` or ``mlp``: those of the layers alone. ``all``: everything in the layers and, with all layers,
    what lies outside them (embeddings, final norm, unembedding)."""
    first_layer: int = 0
    last_layer: int | None = None
    """Included; None for the model's last."""

    def layers(self, count: int) -> range:
        """The layers of a model that has ``count``.

        Raises:
            MendableError: For layers that it does not have.
        """
        last = count - 1 if self.last_layer is None else self.last_layer
        if not 0 <= self.first_layer <= last < count:
            raise MendableError(f"layers {self.first_layer} to {last}: they are a range within 0 to {count - 1}")
        return range(self.first_layer, last + 1)

    def __str__(self) -> str:
        kind = "all modules" if self.modules == "all" else f"the {self.modules} modules"
        last = "the last" if self.last_layer is None else str(self.last_layer)
        return f"{kind} of layers {self.first_layer} to {last}"


@contextmanager
def amplified(pair: Pair, w: float, part: Part = Part()) -> Iterator[Target]:
    """The finetuned side with weights theta_f + (w - 1)(theta_f - theta_b) while the block runs.

    The network of the target is locked, so that no other thread runs it meanwhile, and is afterwards, also after an
    exception, what it was to the last bit. An adapter on its own base is scaled in place; in any other pair the
    parameters that differ are overwritten, and kept once more until the end of the block.

    Args:
        pair: Both sides; only the finetuned one's network changes.
        w: Factor of the change; 1 is the finetuned model, 0 the base.
        part: The weights to be amplified.

    Raises:
        MendableError: For a w that is not finite, layers that the model does not have, a part in which the models do
            not differ, or two full models of different shapes.
    """
    with ExitStack() as stack:
        if _is_plain_lora(pair):
            stack.enter_context(scaled(pair.finetuned.network, str(pair.finetuned.adapter), w, part))
        else:
            stack.enter_context(_moved(pair, w, part))
        yield pair.finetuned


@contextmanager
def scaled(network: Network, adapter: str, w: float, part: Part = Part()) -> Iterator[None]:
    """One adapter of a network with B multiplied by ``w`` while the block runs; other adapters stay as they are.

    Raises:
        KeyError: For an adapter that is not loaded.
        MendableError: See ``amplified``.
    """
    _check_factor(w)
    with network.lock:
        modules = _lora_modules(network, adapter, part)
        if not modules:
            raise _nothing(part)
        kept = [module.scaling[adapter] for module in modules]
        try:
            for module, scaling in zip(modules, kept, strict=True):
                module.scaling[adapter] = w * scaling
            yield
        finally:
            for module, scaling in zip(modules, kept, strict=True):
                module.scaling[adapter] = scaling


def differs(pair: Pair, part: Part = Part()) -> bool:
    """Whether the two models have different weights in ``part``.

    Raises:
        MendableError: See ``amplified``.
    """
    if pair.base == pair.finetuned:
        part.layers(len(pair.finetuned.network.layers))
        return False
    if _is_plain_lora(pair):
        with pair.finetuned.network.lock:
            return bool(_lora_modules(pair.finetuned.network, str(pair.finetuned.adapter), part))
    with _locked(pair):
        return next(_changes(pair, part), None) is not None


def _is_plain_lora(pair: Pair) -> bool:
    """Whether the finetuned side is the base's own network with an adapter."""
    return pair.base == Target(pair.finetuned.network) and pair.finetuned.adapter is not None


@contextmanager
def _moved(pair: Pair, w: float, part: Part) -> Iterator[None]:
    """Parameters of the finetuned side's network moved by (w - 1)(theta_f - theta_b)."""
    import torch

    _check_factor(w)

    def put(parameter: torch.Tensor, values: torch.Tensor) -> None:
        with torch.no_grad():
            parameter.copy_(values)

    with _locked(pair), ExitStack() as restore:
        changed = 0
        for changed, change in enumerate(_changes(pair, part), 1):  # noqa: B007 - counted
            # lerp is exact at 0 and at 1.
            theta = torch.lerp(change.base, change.finetuned, w)
            plain = change.parameter.detach()
            moved = theta if change.adapter_delta is None else plain.float() + (theta - change.finetuned)
            restore.callback(put, change.parameter, plain.clone())
            put(change.parameter, moved)
        if not changed:
            raise _nothing(part)
        yield


@dataclass(frozen=True)
class _Change:
    """One parameter that differs; effective weights in float32, an adapter's part included."""

    parameter: torch.Tensor
    """Of the finetuned side's network."""
    base: torch.Tensor
    finetuned: torch.Tensor
    adapter_delta: torch.Tensor | None
    """What the finetuned side's adapter adds to ``parameter``."""


def _changes(pair: Pair, part: Part) -> Iterator[_Change]:
    """The parameters in ``part`` that differ, one at a time."""
    inside = _inside(pair.finetuned.network, part)
    both = both_parameters(*(target.network.model for target in pair))
    base_delta, finetuned_delta = (_deltas(target) for target in pair)
    for name, of_base_network, parameter in both:
        if not inside(name):
            continue
        added = finetuned_delta(name)
        of_base = _sum(of_base_network, base_delta(name)).to(parameter.device)
        of_finetuned = _sum(parameter, added)
        if not of_base.equal(of_finetuned):
            yield _Change(parameter, of_base, of_finetuned, added)


def _sum(parameter: torch.Tensor, delta: torch.Tensor | None) -> torch.Tensor:
    weight = parameter.detach().float()
    return weight if delta is None else weight + delta


def _deltas(target: Target) -> Callable[[str], torch.Tensor | None]:
    """What the side's adapter adds to a parameter, s B A in float32; None where it adds nothing."""
    if target.adapter is None:
        return lambda _: None
    adapter = target.adapter
    modules = {f"{path}.weight": module for path, module in _adapted(target.network, adapter)}

    def delta(name: str) -> torch.Tensor | None:
        return modules[name].get_delta_weight(adapter).detach().float() if name in modules else None

    return delta


def _lora_modules(network: Network, adapter: str, part: Part) -> list[Any]:
    if adapter not in network.adapters:
        raise KeyError(f"adapter {adapter!r} is not loaded; loaded: {', '.join(network.adapters) or 'none'}")
    inside = _inside(network, part)
    return [module for path, module in _adapted(network, adapter) if inside(path)]


def _adapted(network: Network, adapter: str) -> list[tuple[str, Any]]:
    """Path and LoRA layer of each matrix that the adapter touches."""
    layers = set(adapted_layers(network.model, adapter))
    return [(path, module) for path, module in network.model.named_modules() if module in layers]


def _inside(network: Network, part: Part) -> Callable[[str], bool]:
    """Whether the module or parameter of a name lies in ``part``.

    Raises:
        MendableError: For layers that the model does not have.
    """
    layers = network.layers
    chosen = part.layers(len(layers))
    everything = part.modules == "all" and len(chosen) == len(layers)

    def inside(name: str) -> bool:
        place = network.anatomy.place_of(name)
        if place is None:
            return everything
        layer, child = place
        return layer in chosen and part.modules in {"all", child_kind(child)}

    return inside


@contextmanager
def _locked(pair: Pair) -> Iterator[None]:
    """Both networks, always in one order: another thread may hold the pair turned round."""
    locks: Sequence[threading.RLock] = sorted({target.network.lock for target in pair}, key=id)
    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        yield


def _check_factor(w: float) -> None:
    if not math.isfinite(w):
        raise MendableError(f"w is {w}; it is a finite number, 1 for the finetuned model")


def _nothing(part: Part) -> MendableError:
    return MendableError(f"the two models have the same weights in {part}; choose other modules or layers")
