"""``diffbench diff``: computing artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from ...methods.activations.passes import BATCH_SIZE, CHUNK_TOKENS
from ...methods.artifact import Artifact, DtypeChoice
from ...methods.executors import compute_all
from ...methods.failures import Failure
from ...methods.jobs import Job
from ...methods.registry import config_for, find_method, list_methods
from ...methods.run import SHARE, Report, Run
from .options import chosen_organisms, corpus_from, corpus_option, organisms_argument, suite_option
from .progress import console, progress

__all__ = ["diff"]


@click.command()
@organisms_argument
@suite_option(help="All organisms of a suite.")
@click.option("--method", "methods", multiple=True, required=True, help="Name of a method, or all; may be repeated.")
@corpus_option
@click.option("--recompute", is_flag=True, help="Compute again what is there, broken artifacts included.")
@click.option(
    "--share",
    type=click.IntRange(min=1),
    default=SHARE,
    show_default=True,
    help="Organisms on one base that share its runs; each holds its model in memory.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=BATCH_SIZE,
    show_default=True,
    help="Texts that a shared pass runs at once; fewer need less memory.",
)
@click.option(
    "--chunk-tokens",
    type=click.IntRange(min=1),
    default=CHUNK_TOKENS,
    show_default=True,
    help="Tokens whose logits a shared pass holds at once; fewer need less memory.",
)
@click.option(
    "--dtype",
    type=click.Choice(get_args(DtypeChoice)),
    default="auto",
    show_default=True,
    help="In which the models compute; auto: what the machine is fast with, and an artifact of either will do.",
)
def diff(
    names: tuple[str, ...],
    suite: str | None,
    methods: tuple[str, ...],
    corpus: Path | None,
    recompute: bool,
    share: int,
    batch_size: int,
    chunk_tokens: int,
    dtype: DtypeChoice,
) -> None:
    """Compute artifacts of methods for organisms; what is in the store is skipped, so a killed run can be repeated.

    Methods that read both models on the corpus share one pass, as do organisms on one base. An artifact that
    fails stops no other; those that failed are listed at the end.
    """
    organisms = chosen_organisms(names, suite)
    chosen = [find_method(name) for name in (list_methods() if "all" in methods else methods)]
    run = Run(
        corpus_from(corpus),
        track=progress,
        report=_Lines(len(organisms) * len(chosen)),
        dtype=dtype,
        share=share,
        batch_size=batch_size,
        chunk_tokens=chunk_tokens,
    )
    compute_all(organisms, chosen, lambda organism, method: config_for(method, organism.suite), run, recompute)


class _Lines(Report):
    """A line for each thing that happens to an artifact."""

    def __init__(self, total: int) -> None:
        self._total = total

    def found(self, job: Job, artifact: Artifact) -> None:
        self._line(job, f"is there ({artifact.key})")

    def begins(self, job: Job) -> None:
        self._line(job, "computing")

    def saved(self, job: Job, artifact: Artifact) -> None:
        manifest = artifact.manifest
        took = f"{manifest.seconds:.0f} s, peak memory {manifest.peak_memory_mib:.0f} MiB"
        self._line(job, f"{artifact.key} in {took}")
        for note in manifest.notes:
            console.print(f"  note: {note}", highlight=False, soft_wrap=True)

    def failed(self, failure: Failure) -> None:
        self._line(failure, f"failed, going on with the others: {failure.headline}")

    def _line(self, about: Job | Failure, said: str) -> None:
        console.print(f"[{about.number} of {self._total}] {about.name}: {said}", highlight=False, soft_wrap=True)
