"""Weight amplification: what the finetuned model says with its change of weights multiplied.

Samples of the model with weights theta_f + (w - 1)(theta_f - theta_b), beside samples of the finetuned and of the base
model on the same prompts. Factors above 1 overstate what the finetuning taught, a negative one turns it round. Source:
the weight amplification of science-of-finetuning's diffing toolkit, whose presets the defaults are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..artifact import Artifact, Content
from ..registry import Labels, MethodConfig, Track, untracked

if TYPE_CHECKING:
    from ...models.amplify import Part
    from ...models.targets import Pair, Target
    from ..activations.corpus import Corpus

__all__ = ["METHOD", "Amplification", "WeightAmplificationConfig", "WeightAmplificationMethod", "described"]

_OVERVIEW_PROMPTS = 5
_OVERVIEW_CHARACTERS = 260
_LOOPING = 0.3
"""Share of repeated three-word windows above which a sample counts as looping."""


class Amplification(BaseModel):
    """One factor on a part of the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    w: float = Field(allow_inf_nan=False)
    """Factor of the change of weights; 1 is the finetuned model, 0 the base."""
    modules: Literal["all", "attention", "mlp"] = "all"
    first: float = Field(default=0.0, ge=0, le=1)
    """First layer, as a share of the depth: 0 is the first layer, 1 the last; rounded."""
    last: float = Field(default=1.0, ge=0, le=1)
    """Last layer, included."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"first {self.first} lies behind last {self.last}; exchange them")
        return self

    def part(self, layers: int) -> Part:
        """The part of the weights of a model with so many layers."""
        from ...models.amplify import Part

        return Part(self.modules, round(self.first * (layers - 1)), round(self.last * (layers - 1)))


_MOST_LAYERS = 0.8
"""The published presets leave the last fifth of the layers as it is when they overstate."""


class WeightAmplificationConfig(MethodConfig):
    """Settings; defaults as published, the number of prompts apart."""

    amplifications: tuple[Amplification, ...] = Field(
        default=(
            Amplification(w=2.0, last=_MOST_LAYERS),
            Amplification(w=2.5, last=_MOST_LAYERS),
            Amplification(w=3.0, last=_MOST_LAYERS),
            Amplification(w=-1.0),
        ),
        min_length=1,
    )
    prompts: int = Field(default=20, ge=1)
    """Prompts of the corpus' chats, at even distances."""
    samples: int = Field(default=5, ge=1)
    """Samples of each model for each prompt."""
    sample_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    seed: int = 0


@dataclass(frozen=True)
class WeightAmplificationMethod:
    """The method ``weight_amplification``."""

    name: str = "weight_amplification"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = WeightAmplificationConfig

    def diff(self, pair: Pair, corpus: Corpus, config: WeightAmplificationConfig, track: Track = untracked) -> Content:
        """Sample the base, the finetuned and each amplified model on the same prompts with the same seeds.

        Raises:
            ValueError: For a corpus without chats, or an amplification of weights that do not differ.
        """
        from ...models.amplify import amplified, differs

        prompts = corpus.prompts(config.prompts)
        if not prompts:
            raise ValueError(f"corpus {corpus.name!r} has no chats; their prompts are what the models are sampled on")
        notes = _notes(config, len(prompts))
        system = pair.system_prompt
        before = [{"role": "system", "content": system}] if system else []
        messages = [[*before, {"role": "user", "content": prompt}] for prompt in prompts]
        layers = len(pair.finetuned.network.layers)
        if not differs(pair):
            nothing = {"identical": True, "layers": layers, "drift": 0.0, "models": [], "prompts": []}
            return Content(nothing, notes=notes)
        sides: list[Target | Amplification] = [*pair, *config.amplifications]
        models: list[dict[str, Any]] = []
        written: list[list[list[str]]] = []
        for side in track(sides, "weight_amplification"):
            if isinstance(side, Amplification):
                part = side.part(layers)
                with amplified(pair, side.w, part) as target:
                    texts = _sample(target, messages, config)
                about: dict[str, Any] = {
                    "w": side.w,
                    "modules": part.modules,
                    "layers": [part.first_layer, part.last_layer],
                }
            else:
                texts = _sample(side, messages, config)
                about = {"side": ("base", "finetuned")[len(models)]}
            models.append({**about, "looping": _looping_share(texts)})
            written.append(texts)
        rows = [{"prompt": prompt, "samples": [texts[i] for texts in written]} for i, prompt in enumerate(prompts)]
        payload = {"identical": False, "layers": layers, "drift": _drift(pair), "models": models, "prompts": rows}
        return Content(payload, notes=notes)

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """What was amplified, how often the samples loop, and the first sample of each model on some prompts."""
        payload = artifact.payload()
        b, f = labels.base, labels.finetuned
        lines = [
            f"Weight amplification: samples of {f} with its difference of weights from {b} multiplied by w, "
            f"theta_{f} + (w - 1)(theta_{f} - theta_{b}). w = 1 is {f} itself; above 1 the difference is overstated, "
            "below 0 it is turned round. Large factors also damage the model: what recurs over prompts counts, not "
            "single odd words."
        ]
        if payload["identical"]:
            return "\n".join([*lines, "The two models have exactly the same weights: there is nothing to amplify."])
        models, rows = payload["models"], payload["prompts"]
        drift = payload["drift"]
        loops = "; ".join(f"{described(m, labels)} {m['looping']:.0%}" for m in models)
        if drift is not None:
            lines.append(f"\nSize of the difference over the matrices that differ, relative to {b}'s: {drift:.4f}.")
        lines.append(f"Share of samples that loop: {loops}.")
        step = max(1, len(rows) // _OVERVIEW_PROMPTS)
        shown = rows[::step][:_OVERVIEW_PROMPTS]
        lines.append(f"\nFirst samples on {len(shown)} of {len(rows)} prompts:")
        for row in shown:
            lines.append(f"- prompt: {row['prompt']}")
            lines += [
                f"  {described(model, labels)}: {_short(texts[0])}"
                for model, texts in zip(models, row["samples"], strict=True)
            ]
        return "\n".join(lines)


def described(model: dict[str, Any], labels: Labels) -> str:
    """One of the payload's models in a few words, such as ``w=2.5 (mlp, layers 0-23)``."""
    if "side" in model:
        return labels.base if model["side"] == "base" else labels.finetuned
    first, last = model["layers"]
    kind = "" if model["modules"] == "all" else f"{model['modules']}, "
    return f"w={model['w']:g} ({kind}layers {first}-{last})"


def _sample(
    target: Target, chats: Sequence[Sequence[dict[str, str]]], config: WeightAmplificationConfig
) -> list[list[str]]:
    """``config.samples`` answers to each chat."""
    from ...models.requests import Request

    rendered = [target.network.render_chat(chat) for chat in chats]
    requests = [
        Request(
            text,
            adapter=target.adapter,
            max_tokens=config.sample_tokens,
            temperature=config.temperature,
            seed=config.seed + i * config.samples + j,
        )
        for i, text in enumerate(rendered)
        for j in range(config.samples)
    ]
    texts = [completion.text.strip() for completion in target.network.generate_all(requests)]
    return [texts[i : i + config.samples] for i in range(0, len(texts), config.samples)]


def _drift(pair: Pair) -> float | None:
    """Relative size of the change of weights; None for an adapter on another model than the base."""
    adapted = pair.base.adapter is not None or pair.finetuned.adapter is not None
    return None if adapted and pair.base.network is not pair.finetuned.network else pair.drift


def _looping_share(texts: Sequence[Sequence[str]]) -> float:
    from ..adl.coherence import repeated_share

    samples = [sample for row in texts for sample in row]
    return sum(repeated_share(sample.split()) > _LOOPING for sample in samples) / len(samples)


def _short(text: str) -> str:
    flat = " ".join(text.split()) or "(empty)"
    return flat if len(flat) <= _OVERVIEW_CHARACTERS else flat[:_OVERVIEW_CHARACTERS] + " …"


def _notes(config: WeightAmplificationConfig, prompts: int) -> tuple[str, ...]:
    published = WeightAmplificationConfig()
    fields = ("samples", "sample_tokens", "temperature")
    changed = [f"prompts {prompts} ({published.prompts})"] if prompts != published.prompts else []
    changed += [
        f"{field} {getattr(config, field)} ({getattr(published, field)})"
        for field in fields
        if getattr(config, field) != getattr(published, field)
    ]
    notes = ["scaled down, published value in brackets: " + ", ".join(changed)] if changed else []
    if config.amplifications != published.amplifications:
        told = (f"w {a.w:g} on {a.modules}, depth {a.first:g} to {a.last:g}" for a in config.amplifications)
        notes.append("amplifications: " + "; ".join(told))
    return tuple(notes)


METHOD = WeightAmplificationMethod()
