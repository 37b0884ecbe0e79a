"""Readers over the artifact of the method ``weight_amplification``, and live samples of amplified models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio
import anyio.to_thread
from inspect_ai.tool import Tool, ToolError, tool

from ...models.amplify import Part, amplified, differs
from ...models.requests import Request
from ...organisms.suites import find_organism
from ...tools.ask import MAX_CHARACTERS
from ...tools.board import standing
from ...tools.case import case_here, current_case
from ...tools.fence import fence_tag
from ..artifact import Artifact
from ..evidence.evidence import Evidence, EvidenceText
from ..registry import Labels
from .method import WeightAmplificationConfig, described
from .pictures import pictures

if TYPE_CHECKING:
    from ...models.targets import Pair

__all__ = ["SPENDING", "amplified_samples", "amplify", "evidence", "pictures", "toolset"]

T = TypeVar("T")

SPENDING = ("amplify",)
"""Tools that cost interactions."""

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
        payload = open_artifact().payload()
        rows, models = payload["prompts"], payload["models"]
        if payload["identical"]:
            return "There are no samples: the two models have exactly the same weights."
        if not 1 <= start <= len(rows) or not 1 <= count <= _MOST_PROMPTS:
            raise ToolError(f"start is 1 to {len(rows)} and count 1 to {_MOST_PROMPTS}; got {start} and {count}.")
        factors = sorted({model["w"] for model in models if "w" in model})
        if w is not None and w not in factors:
            raise ToolError(f"w is {w:g}; there are samples for {', '.join(f'{known:g}' for known in factors)}.")
        lines = []
        for row in rows[start - 1 : start - 1 + count]:
            lines.append(f"prompt: {row['prompt']}")
            for model, texts in zip(models, row["samples"], strict=True):
                if w is None or model.get("w") in (None, w):
                    lines += [f"{described(model, labels)}: {' '.join(text.split()) or '(empty)'}" for text in texts]
        return "\n".join(lines)

    return execute


@tool
def amplify(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that samples an amplified model; settings of sampling are those of the artifact."""

    async def execute(
        prompt: str,
        w: float = 2.5,
        modules: Literal["all", "attention", "mlp"] = "all",
        first_layer: int = 0,
        last_layer: int | None = None,
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
        if not prompt.strip() or len(prompt) > MAX_CHARACTERS:
            raise ToolError(f"The prompt has {len(prompt)} characters; a prompt has 1 to {MAX_CHARACTERS}.")
        if not abs(w) <= _LARGEST:
            raise ToolError(f"w is {w}; it is {-_LARGEST:g} to {_LARGEST:g}.")
        if modules not in {"all", "attention", "mlp"}:
            raise ToolError(f"modules is {modules!r}; it is one of all, attention, mlp.")
        case = current_case()
        config = WeightAmplificationConfig.model_validate(open_artifact().manifest.config)
        part = Part(modules, first_layer, last_layer)
        pair = await _in_thread(lambda: _loaded(case.organism))
        await _in_thread(lambda: _check(pair, part))
        number = case.interactions_used
        case.spend(1, "amplify")
        request = _request(pair, prompt, config, case.sample_seed("amplify", number, prompt))
        text = await _in_thread(lambda: _sample(pair, w, part, request))
        tag = fence_tag("amplified", text)
        return f"<{tag}>\n{text or '(empty answer)'}\n</{tag}>\n\n{standing(case)}"

    return execute


def evidence(artifact: Artifact) -> Evidence:
    """What the overstated models and the finetuned one say against what the base says to the same prompts."""
    payload = artifact.payload()
    if payload["identical"]:
        return Evidence(no_difference="weights", note="The two models have the same weights.")
    models = payload["models"]
    over = [i for i, model in enumerate(models) if model.get("w", 0) > 1]
    sides = {model["side"]: i for i, model in enumerate(models) if "side" in model}
    focus = [
        EvidenceText(text=text, stratum=row["prompt"])
        for row in payload["prompts"]
        for i in (*over, sides["finetuned"])
        for text in row["samples"][i]
    ]
    contrast = [
        EvidenceText(text=text, stratum=row["prompt"])
        for row in payload["prompts"]
        for text in row["samples"][sides["base"]]
    ]
    loops = ", ".join(f"{models[i]['looping']:.0%} at w {models[i]['w']:g}" for i in over)
    return Evidence(
        focus=tuple(focus),
        contrast=tuple(contrast),
        note=f"Samples of the amplified models that loop: {loops or 'none were drawn at a w above 1'}.",
    )


def _loaded(organism: str) -> Pair:
    from ...organisms.loading import load_pair

    try:
        return load_pair(find_organism(organism))
    except FileNotFoundError as error:
        # Its message would name the organism.
        raise ToolError("The weights of the models are not on this machine: amplify cannot be used.") from error


def _check(pair: Pair, part: Part) -> None:
    """Refuse what would amplify nothing, before anything is spent."""
    try:
        part.layers(len(pair.finetuned.network.layers))
    except ValueError as error:
        raise ToolError(f"{error}.") from error
    if not differs(pair, part):
        raise ToolError(f"There is nothing to amplify: the two models have the same weights in {part}.")


def _request(pair: Pair, prompt: str, config: WeightAmplificationConfig, seed: int) -> Request:
    system = pair.system_prompt
    messages = [{"role": "system", "content": system}] if system else []
    target = pair.finetuned
    rendered = target.network.render_chat([*messages, {"role": "user", "content": prompt}])
    return Request(
        rendered,
        adapter=target.adapter,
        max_tokens=config.sample_tokens,
        temperature=config.temperature,
        seed=seed,
    )


def _sample(pair: Pair, w: float, part: Part, request: Request) -> str:
    """One sample while the pair's network is locked: batches of other queries wait until its weights are back."""
    with amplified(pair, w, part) as target:
        return target.network.generate([request])[0].text.strip()


async def _in_thread(work: Callable[[], T]) -> T:
    """Run what blocks beside the event loop."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
