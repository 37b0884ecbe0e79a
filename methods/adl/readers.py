"""Readers over the artifact of the method ``adl``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
from inspect_ai.tool import Tool, ToolError, tool

from ...organisms.suites import find_organism
from ...tools.ask import MAX_CHARACTERS, RESPONSE_TOKENS, TEMPERATURE
from ...tools.board import standing
from ...tools.case import case_here, current_case
from ..artifact import TENSORS, Artifact
from ..evidence.evidence import Evidence, EvidenceText, EvidenceToken
from ..registry import Labels
from .method import readable
from .pictures import pictures

if TYPE_CHECKING:
    import torch

__all__ = [
    "SPENDING",
    "evidence",
    "logit_lens",
    "patchscope",
    "patchscope_scales",
    "pictures",
    "steer",
    "steering_samples",
    "toolset",
]

SPENDING = ("steer",)
"""Tools that cost interactions."""

MAX_STRENGTH = 100.0
"""Upper end of the published search for a strength."""

_MOST_SAMPLES = 10
_CONTROL_TOKENS = 20
_MOST_TOKENS = 40
_LEAST_POSITIONS = 3


def toolset(open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
    """The readers of ``adl``; live steering where the case has interactions and the pair's weights are there."""
    tools = [logit_lens(open_artifact, labels), steering_samples(open_artifact, labels)]
    artifact = open_artifact()
    if artifact.payload().get("patchscope"):
        tools += [patchscope(open_artifact, labels), patchscope_scales(open_artifact)]
    if TENSORS in artifact.manifest.files and _can_steer():
        tools.append(steer(open_artifact, labels))
    return tools


@tool
def logit_lens(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads the logit lens of a mean difference or of a control."""
    names = {"+d": "difference", "-d": "negative_difference", labels.base: "base", labels.finetuned: "finetuned"}

    async def execute(position: str | None = None, of: str = "+d", tokens: int = 40) -> str:
        """Read the most probable tokens of the logit lens at one position, or at all of them. Free.

        Args:
            position: Such as "text:0" or "chat:3"; without it all positions are read.
            of: "+d" or "-d" for the mean difference, or the name of a model for the control (its mean activation).
            tokens: How many tokens, at most 100.
        """
        chosen = _chosen(open_artifact().payload()["positions"], position)
        _check_reading(of, names, tokens)
        return "\n".join(
            f"{row['position']} (relative norm {row['relative_norm']:.3f}): "
            + (readable(row["lens"].get(names[of], []), tokens) or "the difference is zero")
            for row in chosen
        )

    return execute


@tool
def patchscope(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads the patchscope of a mean difference or of a control, at the chosen scale."""
    names = {"+d": "difference", labels.base: "base", labels.finetuned: "finetuned"}

    async def execute(position: str | None = None, of: str = "+d", tokens: int = 20) -> str:
        """Read the tokens that the model sees in a vector put in place of a token it is to repeat. Free.

        Each position is shown at the scale whose tokens a judge found most coherent. Tokens before the bar are those
        that it found to belong together.

        Args:
            position: Such as "text:0"; without it all positions are read.
            of: "+d" for the mean difference, or the name of a model for the control (its mean activation in it).
            tokens: How many tokens, at most 100.
        """
        chosen = _chosen(open_artifact().payload()["patchscope"]["rows"], position)
        _check_reading(of, names, tokens)
        return "\n".join(_patchscope_line(row["position"], row.get(names[of]), tokens) for row in chosen)

    return execute


@tool
def patchscope_scales(open_artifact: Callable[[], Artifact]) -> Tool:
    """Tool that reads the patchscope of a mean difference at every scale."""

    async def execute(position: str) -> str:
        """Read the patchscope of the mean difference at every scale, in case the judge chose the wrong one. Free.

        Args:
            position: Such as "text:0".
        """
        rows = open_artifact().payload()["patchscope"]["rows"]
        (row,) = _chosen(rows, str(position))
        if not row.get("by_scale"):
            return f"{position}: the difference is zero"
        return "\n".join(f"scale {scale:g}: {' '.join(map(repr, tokens))}" for scale, tokens in row["by_scale"])

    return execute


@tool
def steer(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that samples from the finetuned model, steered along a mean difference, within the budget."""

    async def execute(position: str, strength: float, prompt: str, samples: int = 1) -> str:
        """Sample answers steered along the mean difference d of a position. Each sample costs one interaction.

        It steers the model that the stored samples are from; at strength 0 it is not steered.

        Args:
            position: Position of d, such as "text:2".
            strength: Multiple of d that is added at every token, -100 to 100. Beside the stored samples stands a
                strength at which the model still wrote coherent text; too large ones give noise.
            prompt: A user message of a fresh conversation.
            samples: How many answers, 1 to 10.
        """
        if not 1 <= samples <= _MOST_SAMPLES:
            raise ToolError(f"samples is {samples}; it is 1 to {_MOST_SAMPLES}.")
        if not (math.isfinite(strength) and abs(strength) <= MAX_STRENGTH):
            raise ToolError(f"strength is {strength}; it is {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}.")
        if not prompt.strip() or len(prompt) > MAX_CHARACTERS:
            raise ToolError(f"The prompt has {len(prompt)} characters; a prompt has 1 to {MAX_CHARACTERS}.")
        artifact = open_artifact()
        payload = artifact.payload()
        (row,) = _chosen(payload["positions"], str(position))
        if row["difference_norm"] == 0:
            raise ToolError(f"The difference at {position} is zero: steering along it changes nothing.")
        vector = artifact.tensors()["difference"][payload["positions"].index(row)] * strength
        case = current_case()
        first = case.interactions_used
        case.spend(samples, "steer")
        seeds = [case.sample_seed("steer", first + i, prompt) for i in range(samples)]
        answers = await anyio.to_thread.run_sync(
            lambda: _steered(case.organism, prompt, int(payload["layer"]), vector, seeds),
            abandon_on_cancel=True,
            limiter=anyio.CapacityLimiter(1),
        )
        lines = [f"{labels.finetuned}, steered by {strength:.2f} x d at {position}:", f"prompt: {prompt}"]
        lines += [f"steered: {' '.join(answer.split()) or '(empty answer)'}" for answer in answers]
        return "\n".join([*lines, standing(case)])

    return execute


@tool
def steering_samples(open_artifact: Callable[[], Artifact], labels: Labels) -> Tool:
    """Tool that reads steered samples beside unsteered ones."""

    async def execute(position: str | None = None, start: int = 1, count: int = 8) -> str:
        """Read samples steered along the mean difference, beside unsteered ones of the same prompts. Free.

        Args:
            position: Position of the difference; without it all steered ones.
            start: Number of the first prompt, from 1.
            count: How many prompts, at most 10.
        """
        tables = open_artifact().payload()["steering"]
        if not tables:
            return "There are no steered samples: the difference is zero."
        known = [table["position"] for table in tables]
        if position is not None and position not in known:
            raise ToolError(f"No steering at {position!r}; there is {', '.join(known)}.")
        prompts = len(tables[0]["samples"])
        if not 1 <= start <= prompts or not 1 <= count <= _MOST_SAMPLES:
            raise ToolError(f"start is 1 to {prompts} and count 1 to {_MOST_SAMPLES}.")
        chosen = [table for table in tables if position in (None, table["position"])]
        return "\n\n".join(_samples(table, labels, start, count) for table in chosen)

    return execute


def _can_steer() -> bool:
    """Whether a case with interactions is open whose pair can be loaded."""
    case = case_here()
    if not case.organism or case.granted("steer") <= 0:
        return False
    organism = find_organism(case.organism)
    if not organism.has_weights:
        return False
    try:
        organism.require_weights()
    except FileNotFoundError:
        return False
    return True


def _steered(organism_id: str, prompt: str, layer: int, vector: torch.Tensor, seeds: Sequence[int]) -> list[str]:
    """Answers of the finetuned model with ``vector`` [d_model] added after a layer, sampled like other queries."""
    from ...models.ask import Sampling, sample
    from ...models.requests import Steering
    from ...organisms.loading import load_pair

    pair = load_pair(find_organism(organism_id))
    sampling = Sampling(RESPONSE_TOKENS, TEMPERATURE, n=len(seeds))
    steering = Steering(layer, vector)
    system = pair.system_prompt
    (answers,) = sample(pair.finetuned, [prompt], sampling, system, seeds=seeds, steering=steering, gathered=True)
    return answers


def _chosen(rows: Sequence[dict[str, Any]], position: str | None) -> list[dict[str, Any]]:
    """The row of a position, or all rows without one."""
    chosen = [row for row in rows if position in (None, row["position"])]
    if not chosen:
        raise ToolError(f"No position {position!r}; there are {', '.join(row['position'] for row in rows)}.")
    return chosen


def _check_reading(of: str, names: dict[str, str], tokens: int) -> None:
    if of not in names:
        # In alphabetical order: with the base first, a blind case would give itself away.
        raise ToolError(f"of is {of!r}; it is one of {', '.join(sorted(names))}.")
    if not 1 <= tokens <= 100:
        raise ToolError(f"tokens is {tokens}; it is 1 to 100.")


def _patchscope_line(position: str, found: dict[str, Any] | None, most: int) -> str:
    if found is None:
        return f"{position}: the difference is zero"
    selected = found["selected"]
    others = [token for token, _ in found["tokens"] if token not in selected]
    shown = [" ".join(map(repr, part)) for part in (selected[:most], others[: max(0, most - len(selected))])]
    return f"{position} (scale {found['scale']:g}): {shown[0]} | {shown[1]}"


def _samples(table: dict[str, Any], labels: Labels, start: int, count: int) -> str:
    lines = [f"{labels.finetuned}, steered by {table['strength']:.2f} x d at {table['position']}:"]
    for row in table["samples"][start - 1 : start - 1 + count]:
        lines.append(f"prompt: {row['prompt']}")
        for kind in ("steered", "unsteered"):
            lines += [f"{kind}: {' '.join(text.split())}" for text in row[kind]]
    return "\n".join(lines)


def evidence(artifact: Artifact) -> Evidence:
    """Steered samples against unsteered ones, and tokens of the difference that the base itself does not show."""
    payload = artifact.payload()
    rows = payload["positions"]
    if all(row["difference_norm"] == 0 for row in rows):
        return Evidence(no_difference="activations", note="The mean activation difference is zero at every position.")
    # Every table repeats the unsteered samples.
    steered, unsteered = _texts(payload["steering"], "steered"), _texts(payload["steering"][:1], "unsteered")
    middle = statistics.median(row["relative_norm"] for row in rows)
    return Evidence(
        focus=steered,
        contrast=unsteered,
        tokens=tuple(_pointed_at(payload)),
        note=f"The mean activation difference is {middle:.2f} of the typical activation norm (median over positions).",
    )


def _texts(tables: Sequence[dict[str, Any]], kind: Literal["steered", "unsteered"]) -> tuple[EvidenceText, ...]:
    """Samples, comparable within their prompt."""
    return tuple(
        EvidenceText(text=text, stratum=row["prompt"])
        for table in tables
        for row in table["samples"]
        for text in row[kind]
    )


def _pointed_at(payload: dict[str, Any]) -> list[EvidenceToken]:
    """Beginnings of words that several positions show and the base's own activations do not.

    Those that the patchscope's judge found to belong together come before those of the lens.
    """
    rows = (payload.get("patchscope") or {"rows": []})["rows"]
    patched = [
        ([[token, 0.0] for token in row["difference"]["selected"]], row["base"]["tokens"])
        for row in rows
        if {"difference", "base"} <= {*row}
    ]
    lenses = [(row["lens"].get("difference", []), row["lens"]["base"]) for row in payload["positions"]]
    found: dict[str, EvidenceToken] = {}
    for readings in (patched, lenses):
        least = min(_LEAST_POSITIONS, len(readings))
        votes = {word: sum(ranks) for word, ranks in _votes(readings).items() if len(ranks) >= least}
        for word, strength in sorted(votes.items(), key=lambda vote: -vote[1]):
            found.setdefault(word, EvidenceToken(token=word, strength=strength))
    return list(found.values())


def _votes(readings: Sequence[tuple[list[list[Any]], list[list[Any]]]]) -> dict[str, list[float]]:
    """Word -> reciprocal ranks in the tables that show it; each table comes with its control."""
    votes: dict[str, list[float]] = {}
    for table, control in readings:
        ordinary = {token for token, _ in control[:_CONTROL_TOKENS]}
        for rank, (token, _) in enumerate(table[:_MOST_TOKENS]):
            word = token.strip().lower()
            if token not in ordinary and token.startswith(" ") and len(word) >= 3 and word.isalpha():
                votes.setdefault(word, []).append(1 / (rank + 1))
    return votes
