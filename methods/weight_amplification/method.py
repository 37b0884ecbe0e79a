"""Weight amplification: what the finetuned model says with its change of weights multiplied.

Samples of the model with weights theta_f + (w - 1)(theta_f - theta_b), beside samples of the finetuned and of the base
model on the same prompts. Factors above 1 overstate what the finetuning taught, a negative one turns it round. Source:
the weight amplification of science-of-finetuning's diffing toolkit, whose presets the defaults are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...models.targets import Pair
from ...records.errors import MendableError
from ...records.names import BASE, FINETUNED
from ...records.progress import Track, untracked
from ...views.panels import Panel
from ..activations.corpus import Corpus
from ..artifact import Artifact, Content
from ..contract import Labels, WeightsMethod
from ..evidence.evidence import Evidence, EvidenceText
from ..notes import changed_settings, in_brackets
from ..reading import repeated_share, shortened
from .config import Amplification, WeightAmplificationConfig
from .payload import AmplificationPayload, AmplifiedModel, PlainModel, PromptSamples
from .pictures import pictures

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

__all__ = ["METHOD", "WeightAmplificationMethod"]

_OVERVIEW_PROMPTS = 5
_OVERVIEW_CHARACTERS = 260
_LOOPING = 0.3
"""Share of repeated three-word windows above which a sample counts as looping."""

_Samples = list[list[str]]
"""[prompts, samples]."""


class WeightAmplificationMethod(WeightsMethod[WeightAmplificationConfig, AmplificationPayload]):
    """The method ``weight_amplification``."""

    name = "weight_amplification"
    spending = ("amplify",)
    config_type = WeightAmplificationConfig
    payload_type = AmplificationPayload

    def diff(self, pair: Pair, corpus: Corpus, config: WeightAmplificationConfig, track: Track = untracked) -> Content:
        """Sample the base, the finetuned and each amplified model on the same prompts with the same seeds.

        Raises:
            MendableError: For a corpus without chats, or an amplification of weights that do not differ.
        """
        from ...models.amplify import amplified, differs
        from ...models.ask import Sampling, sample

        prompts = corpus.prompts(config.prompts)
        if not prompts:
            raise MendableError(
                f"corpus {corpus.name!r} has no chats; their prompts are what the models are sampled on"
            )
        layers, notes = len(pair.finetuned.network.layers), _notes(config, len(prompts))
        sampling = Sampling(config.sample_tokens, config.temperature, config.samples, config.seed)
        if not differs(pair):
            nothing = AmplificationPayload(identical=True, layers=layers, drift=0.0, models=(), prompts=())
            return Content(nothing, notes=notes)
        models: list[PlainModel | AmplifiedModel] = []
        written: list[_Samples] = []
        for model in track([BASE, FINETUNED, *config.amplifications], self.name):
            if isinstance(model, Amplification):
                part = model.part(layers)
                with amplified(pair, model.w, part) as target:
                    written.append(sample(target, prompts, sampling, pair.system_prompt))
                place = (part.first_layer, part.last_layer)
                looping = _looping_share(written[-1])
                models.append(AmplifiedModel(w=model.w, modules=part.modules, layers=place, looping=looping))
            else:
                written.append(sample(pair[model], prompts, sampling, pair.system_prompt))
                models.append(PlainModel(side=model, looping=_looping_share(written[-1])))
        rows = [
            PromptSamples(prompt=prompt, samples=tuple(tuple(texts[i]) for texts in written))
            for i, prompt in enumerate(prompts)
        ]
        payload = AmplificationPayload(
            identical=False, layers=layers, drift=_drift(pair), models=tuple(models), prompts=tuple(rows)
        )
        return Content(payload, notes=notes)

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """What was amplified, how often the samples loop, and the first sample of each model on some prompts."""
        payload = self.payload(artifact)
        b, f = labels.base, labels.finetuned
        lines = [
            f"Weight amplification: samples of {f} with its difference of weights from {b} multiplied by w, "
            f"theta_{f} + (w - 1)(theta_{f} - theta_{b}). w = 1 is {f} itself; above 1 the difference is overstated, "
            "below 0 it is turned round. Large factors also damage the model: what recurs over prompts counts, not "
            "single odd words."
        ]
        if payload.identical:
            return "\n".join([*lines, "The two models have exactly the same weights: there is nothing to amplify."])
        loops = "; ".join(f"{model.described(labels)} {model.looping:.0%}" for model in payload.models)
        if payload.drift is not None:
            lines.append(
                f"\nSize of the difference over the matrices that differ, relative to {b}'s: {payload.drift:.4f}."
            )
        lines.append(f"Share of samples that loop: {loops}.")
        rows = payload.prompts
        shown = rows[:: max(1, len(rows) // _OVERVIEW_PROMPTS)][:_OVERVIEW_PROMPTS]
        lines.append(f"\nFirst samples on {len(shown)} of {len(rows)} prompts:")
        for row in shown:
            lines.append(f"- prompt: {row.prompt}")
            lines += [
                f"  {model.described(labels)}: {shortened(texts[0], _OVERVIEW_CHARACTERS) or '(empty)'}"
                for model, texts in zip(payload.models, row.samples, strict=True)
            ]
        return "\n".join(lines)

    def evidence(self, artifact: Artifact) -> Evidence:
        """What the overstated models and the finetuned one say against what the base says to the same prompts."""
        payload = self.payload(artifact)
        if payload.identical:
            return Evidence(no_difference="weights", note="The two models have the same weights.")
        over = payload.overstated
        focus = payload.said_by(*over, payload.plain(FINETUNED))
        contrast = payload.said_by(payload.plain(BASE))
        loops = ", ".join(f"{model.looping:.0%} at w {model.w:g}" for model in over)
        return Evidence(
            focus=tuple(EvidenceText(text=text, stratum=prompt) for prompt, text in focus),
            contrast=tuple(EvidenceText(text=text, stratum=prompt) for prompt, text in contrast),
            note=f"Samples of the amplified models that loop: {loops or 'none were drawn at a w above 1'}.",
        )

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """The reader of samples and, where the pair's weights are known and interactions were granted, live ones."""
        from .readers import toolset

        return toolset(open_artifact, labels)

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """What was amplified, how often the samples loop, and the samples by prompt."""
        return pictures(self.payload(artifact), labels)


def _drift(pair: Pair) -> float | None:
    """Relative size of the change of weights; None for an adapter on another model than the base."""
    adapted = pair.base.adapter is not None or pair.finetuned.adapter is not None
    return None if adapted and pair.base.network is not pair.finetuned.network else pair.drift


def _looping_share(texts: _Samples) -> float:
    samples = [sample for row in texts for sample in row]
    return sum(repeated_share(sample.split()) > _LOOPING for sample in samples) / len(samples)


def _notes(config: WeightAmplificationConfig, prompts: int) -> tuple[str, ...]:
    published = WeightAmplificationConfig()
    changed = [f"prompts {prompts} ({published.prompts})"] if prompts != published.prompts else []
    notes = in_brackets([*changed, *changed_settings(config, ("samples", "sample_tokens", "temperature"))])
    if config.amplifications != published.amplifications:
        told = (f"w {a.w:g} on {a.modules}, depth {a.first:g} to {a.last:g}" for a in config.amplifications)
        notes.append("amplifications: " + "; ".join(told))
    return tuple(notes)


METHOD = WeightAmplificationMethod()
