"""What an investigator reads of the artifact of ``adl`` first, and the lines that its readers share with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..activations.top_tokens import quoted, quoted_top
from ..contract import Labels
from ..reading import shortened
from .payload import AdlPayload, PatchedTokens, Patchscope, SteeringTable

__all__ = ["overview_text", "patched_line"]

_TOKENS = 20
_CONTROL_TOKENS = 8
_SAMPLES = 6
_CHARACTERS = 260


def overview_text(payload: AdlPayload, labels: Labels) -> str:
    """Norms, lens and patchscope of each position, then some steered samples beside unsteered ones."""
    lines = [
        f"Mean activation difference d = mean(h_{labels.finetuned} - h_{labels.base}) after layer "
        f"{payload.layer} of {payload.layers}, at the first tokens of texts (text:j) and from the header of "
        f"the assistant's turn (chat:j). Norms are relative to the mean |h_{labels.finetuned}|.",
    ]
    if payload.no_difference:
        return "\n".join([*lines, "Every difference is exactly zero: the two models compute the same activations."])
    lines.append("\nLogit lens of +d, most probable tokens first:")
    for row in payload.positions:
        tokens = quoted_top(row.lens.difference, _TOKENS)
        lines.append(f"- {row.position} (relative norm {row.relative_norm:.3f}): {tokens}")
    lines.append(f"\nThe same lens of the mean h_{labels.base} itself, as a control:")
    lines += [f"- {row.position}: {quoted_top(row.lens.base, _CONTROL_TOKENS)}" for row in payload.positions]
    if payload.patchscope:
        lines += _patchscope_lines(payload.patchscope, labels)
    return "\n".join([*lines, *_steering_lines(payload.steering, labels)])


def patched_line(position: str, found: PatchedTokens, most: int) -> str:
    """The tokens of a patchscope, those that the judge selected before the bar, ``most`` in all."""
    selected = found.selected[:most]
    return f"{position} (scale {found.scale:g}): {quoted(selected)} | {quoted(found.others[: most - len(selected)])}"


def _patchscope_lines(patchscope: Patchscope, labels: Labels) -> Iterator[str]:
    if not any(row.difference for row in patchscope.rows):
        return
    yield (
        f"\nPatchscope of +d in {labels.finetuned} (d in place of a token that the model is to repeat), at the scale "
        "that a judge found most coherent; tokens that it found to belong together before the bar, the others after:"
    )
    for row in patchscope.rows:
        if row.difference:
            yield f"- {patched_line(row.position, row.difference, _TOKENS)}"
    yield f"\nThe same of the mean h_{labels.base} in {labels.base}, as a control:"
    for row in patchscope.rows:
        if row.base:
            tokens = quoted_top(row.base.tokens, _CONTROL_TOKENS)
            yield f"- {row.position} (scale {row.base.scale:g}): {tokens}"


def _steering_lines(tables: Sequence[SteeringTable], labels: Labels) -> Iterator[str]:
    for table in tables:
        yield (
            f"\nSamples of {labels.finetuned} steered by {table.strength:.2f} x d at {table.position}, "
            "each beside an unsteered one:"
        )
        step = max(1, len(table.samples) // _SAMPLES)
        for row in table.samples[::step][:_SAMPLES]:
            yield f"- prompt: {row.prompt}"
            yield f"  steered: {shortened(row.steered[0], _CHARACTERS)}"
            yield f"  unsteered: {shortened(row.unsteered[0], _CHARACTERS)}"
