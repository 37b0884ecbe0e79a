"""``diffbench adl``: reports on artifacts of ``adl`` that read the ground truth, and so are no part of an artifact."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import BaseModel

from ...methods.adl.causal import causal_effect
from ...methods.adl.causal_report import CausalConfig
from ...methods.adl.llm_judge import LlmJudge
from ...methods.adl.relevance import token_relevance
from ...methods.registry import find_method
from ...organisms.loading import load_pair
from ...organisms.suites import find_organism
from .options import json_option, organism_argument, seed_option
from .output import write_output
from .progress import console, progress
from .stored import stored_artifact

__all__ = ["adl"]

_PUBLISHED = CausalConfig()


@click.group()
def adl() -> None:
    """Reports on the activation difference lens that need the ground truth: for researchers, not investigators."""


@adl.command()
@organism_argument
@click.option("--judge", help="Inspect name of the judging model; default: a word-matching stand-in.")
@json_option(help="Also write all figures there.")
def relevance(name: str, judge: str | None, json_file: Path | None) -> None:
    """Which of the tokens that lens and patchscope show belong to what was finetuned."""
    organism = find_organism(name)
    artifact = stored_artifact(organism, find_method("adl"))
    tokenizer = load_pair(organism).base.network.tokenizer
    report = token_relevance(artifact, organism, tokenizer, LlmJudge(judge) if judge else None)
    _show(report.text(), report, json_file)


@adl.command()
@organism_argument
@click.option("--items", type=click.IntRange(min=1), default=_PUBLISHED.max_items, show_default=True)
@click.option("--tokens", type=click.IntRange(min=2), default=_PUBLISHED.max_tokens, show_default=True)
@click.option(
    "--controls",
    type=click.IntRange(min=0),
    default=_PUBLISHED.random_vectors,
    show_default=True,
    help="Random directions, and as many random differences.",
)
@seed_option()
@json_option(help="Also write all figures there.")
def causal(name: str, items: int, tokens: int, controls: int, seed: int, json_file: Path | None) -> None:
    """How much worse the finetuned model fits its data with the base's coordinate along the mean differences.

    Defaults are the published sizes; on a CPU take fewer, e.g. --items 40 --tokens 64 --controls 4.
    """
    organism = find_organism(name)
    config = CausalConfig(
        max_items=items, max_tokens=tokens, random_vectors=controls, random_differences=controls, seed=seed
    )
    artifact = stored_artifact(organism, find_method("adl"))
    report = causal_effect(organism, load_pair(organism), artifact, config, progress)
    _show(report.text(), report, json_file)


def _show(text: str, report: BaseModel, json_file: Path | None) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        write_output(json_file, report.model_dump_json(indent=1) + "\n")
