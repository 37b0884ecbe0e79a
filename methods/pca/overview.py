"""What an investigator reads of the artifact of ``pca`` first, and the lines that its readers share with it."""

from __future__ import annotations

from collections.abc import Iterator

from ..activations.top_tokens import quoted_top
from ..contract import Labels
from ..reading import shortened
from .payload import SIGNS, Component, PcaPayload, SteeringTables

__all__ = ["nothing_varies", "overview_text"]

_LENS = 10
_COMPONENTS = 3
"""Components whose texts and samples are shown."""
_TEXTS = 3
_SAMPLES = 2
_CHARACTERS = 200


def overview_text(payload: PcaPayload, labels: Labels) -> str:
    """Variance and lens of each component; extreme texts and steered samples of the first ones."""
    lines = [
        f"Principal components of h_{labels.finetuned} - h_{labels.base}, the difference of the residual streams "
        f"after layer {payload.layer} of {payload.layer_count}, over {payload.tokens} tokens of "
        f"{payload.texts} texts and chats. The mean difference, which is subtracted, has norm "
        f"{payload.mean_norm:.4g}. Which direction of a component is + and which is - has no meaning."
    ]
    if not payload.components:
        return "\n".join([*lines, nothing_varies(payload)])
    lines.append("\nShare of the variance, and logit lens of both directions, most probable tokens first:")
    for component in payload.components:
        lines.append(f"- component {component.component}: {component.explained_variance_ratio:.2%}")
        lines += [f"  {sign}: {quoted_top(component.lens[sign], _LENS)}" for sign in SIGNS]
    for component in payload.components[:_COMPONENTS]:
        lines += _text_lines(payload, component)
    return "\n".join([*lines, *_steering_lines(payload.steering, labels)])


def nothing_varies(payload: PcaPayload) -> str:
    """Why there are no components."""
    if payload.largest_difference == 0:
        return "Every difference is exactly zero: the two models compute the same activations."
    return "The difference is the same at every token, so that there are no components beside its mean."


def _text_lines(payload: PcaPayload, component: Component) -> Iterator[str]:
    # Each end has its title: shown as Markdown, both signs in front of a text are the same bullet.
    for sign in SIGNS:
        yield f"\nTexts at the {sign} end of component {component.component} (the farthest tokens in brackets):"
        for row in payload.end(component, sign)[:_TEXTS]:
            yield f"{sign} [{row.text.kind}] {row.marked(length=_CHARACTERS)}"


def _steering_lines(steering: SteeringTables, labels: Labels) -> Iterator[str]:
    tables = [table for table in steering.tables if table.component <= _COMPONENTS]
    if not tables:
        return
    factor = min((table.factor for table in tables), key=lambda f: abs(f - 1))
    yield (
        f"\nSamples of {labels.finetuned} steered by {factor:g} x the maximum projection along a component, "
        "beside unsteered ones:"
    )
    for number, prompt in enumerate(steering.prompts[:_SAMPLES]):
        yield f"- prompt: {prompt}"
        yield f"  unsteered: {shortened(steering.unsteered[number][0], _CHARACTERS)}"
        for table in tables:
            if table.factor == factor:
                sample = shortened(table.samples[number][0], _CHARACTERS)
                yield f"  {table.sign} component {table.component}: {sample}"
