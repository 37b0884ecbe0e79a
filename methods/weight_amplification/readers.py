"""Readers over the artifact of the method ``weight_amplification``, and live samples of amplified models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, get_args

from inspect_ai.tool import Tool, ToolError, tool

from ...models.amplify import Part, amplified, differs
from ...models.ask import Sampling, sample
from ...organisms.suites import find_organism
from ...tools.board import standing
from ...tools.case import case_here, current_case
from ...tools.fence import fence_tag
from ..artifact import Artifact
from ..contract import Labels
from ..reader_checks import check_prompt, in_thread, stretch
from ..reading import flat
from .config import Modules, WeightAmplificationConfig
from .payload import AmplificationPayload, AmplifiedModel, PlainModel

if TYPE_CHECKING:
    from ...models.targets import Pair

__all__ = ["amplified_samples", "amplify", "toolset"]

_MOST_PROMPTS = 5
_LARGEST = 10.0
"""Largest |w|: beyond it nothing is left of any model."""


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
    """The reader and, where the pair's weights are known and interactions were granted, live samples."""
    tools = [amplified_samples(open_artifact, labels)]
    case = case_here()
    if case.organism and case.granted("amplify") > 0 and find_organism(case.organism).has_weights:
        tools.append(amplify(open_artifact))
    return tools


@tool
def amplified_samples(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads the samples of amplified and unamplified models."""

    async def execute(start: int = 1, count: int = 2, w: float | None = None) -> str:
        """Read samples of the amplified models beside those of both models on the same prompts. Free.

        Args:
            start: Number of the first prompt, from 1.
            count: How many prompts, at most 5.
            w: Factor of the models to be read; without it all.
        """
        payload = open_artifact().payload(AmplificationPayload)
        if payload.identical:
            return "There are no samples: the two models have exactly the same weights."
        rows = stretch(payload.prompts, start, count, _MOST_PROMPTS)
        factors = sorted({model.w for model in payload.models if isinstance(model, AmplifiedModel)})
        if w is not None and w not in factors:
            raise ToolError(f"w is {w:g}; there are samples for {', '.join(f'{known:g}' for known in factors)}.")
        lines = []
        for row in rows:
            lines.append(f"prompt: {row.prompt}")
            for model, texts in zip(payload.models, row.samples, strict=True):
                if w is None or isinstance(model, PlainModel) or model.w == w:
                    lines += [f"{model.described(labels)}: {flat(text) or '(empty)'}" for text in texts]
        return "\n".join(lines)

    return execute


@tool
def amplify(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that samples an amplified model; settings of sampling are those of the artifact."""

    async def execute(
        prompt: str, w: float = 2.5, modules: Modules = "all", first_layer: int = 0, last_layer: int | None = None
    ) -> str:
        """Draw one answer of a model whose difference from the other is multiplied by w. Costs one interaction.

        Which model's difference is amplified stands in the overview of the method, where w is explained.

        Args:
            prompt: A user message of a fresh conversation.
            w: Factor of the difference of weights, -10 to 10: 1 leaves the model as it is, 0 gives the other one, 2 to
                3 overstate the difference, -1 turns it round.
            modules: Which modules' weights are amplified; all others stay as they are.
            first_layer: First amplified layer, from 0.
            last_layer: Last amplified layer; without it the model's last.
        """
        check_prompt(prompt)
        if not abs(w) <= _LARGEST:
            raise ToolError(f"w is {w}; it is {-_LARGEST:g} to {_LARGEST:g}.")
        if modules not in get_args(Modules):
            raise ToolError(f"modules is {modules!r}; it is one of {', '.join(get_args(Modules))}.")
        case = current_case()
        config = WeightAmplificationConfig.model_validate(open_artifact().manifest.config)
        part = Part(modules, first_layer, last_layer)
        pair = await in_thread(lambda: _loaded(case.organism, part))
        number = case.interactions_used
        case.spend(1, "amplify")
        seed = case.sample_seed("amplify", number, prompt)
        sampling = Sampling(config.sample_tokens, config.temperature, seed=seed)
        text = await in_thread(lambda: _sample(pair, w, part, prompt, sampling))
        tag = fence_tag("amplified", text)
        return f"<{tag}>\n{text or '(empty answer)'}\n</{tag}>\n\n{standing(case)}"

    return execute


def _loaded(organism: str, part: Part) -> Pair:
    """The models of a case; refuses a part in which nothing would be amplified, before anything is spent."""
    from ...organisms.loading import load_pair

    try:
        pair = load_pair(find_organism(organism))
    except FileNotFoundError as error:
        # Its message would name the organism.
        raise ToolError("The weights of the models are not on this machine: amplify cannot be used.") from error
    try:
        part.layers(len(pair.finetuned.network.layers))
    except ValueError as error:
        raise ToolError(f"{error}.") from error
    if not differs(pair, part):
        raise ToolError(f"There is nothing to amplify: the two models have the same weights in {part}.")
    return pair


def _sample(pair: Pair, w: float, part: Part, prompt: str, sampling: Sampling) -> str:
    """One sample while the pair's network is locked: batches of other queries wait until its weights are back."""
    with amplified(pair, w, part) as target:
        return sample(target, [prompt], sampling, pair.system_prompt)[0][0]
