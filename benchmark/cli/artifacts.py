"""``diffbench diff`` and ``diffbench artifacts``: computing, listing and checking artifacts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import get_args

import click
from rich.table import Table

from ...methods.activations.corpus import load_corpus, probe_corpus
from ...methods.activations.passes import BATCH_SIZE, CHUNK_TOKENS
from ...methods.artifact import Artifact, CorruptArtifactError, DtypeChoice
from ...methods.conversion import convert, format_1_folders
from ...methods.executors import compute_all
from ...methods.failures import Failure
from ...methods.jobs import Job, keys_for, require_needs
from ...methods.registry import AnyMethod, config_for, find_method, list_methods
from ...methods.run import SHARE, Report, Run
from ...methods.store import ArtifactStore
from ...organisms.suites import Organism, find_organism, list_suites, load_suite
from ...records.errors import MissingError
from .progress import console, progress

__all__ = ["artifacts", "diff", "stored_artifact"]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--suite", help="All organisms of a suite.")
@click.option("--method", "methods", multiple=True, required=True, help="Name of a method, or all; may be repeated.")
@click.option(
    "--corpus",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines; default: the bundled one.",
)
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
    organisms = [find_organism(name) for name in names] + (load_suite(suite) if suite else [])
    if not organisms:
        raise click.UsageError("name organisms, or a suite with --suite")
    chosen = [find_method(name) for name in (list_methods() if "all" in methods else methods)]
    run = Run(
        load_corpus(corpus) if corpus else probe_corpus(),
        track=progress,
        report=_Lines(len(organisms) * len(chosen)),
        dtype=dtype,
        share=share,
        batch_size=batch_size,
        chunk_tokens=chunk_tokens,
    )
    compute_all(organisms, chosen, lambda organism, method: config_for(method, organism.suite), run, recompute)


@click.group()
def artifacts() -> None:
    """List, verify and convert artifacts."""


@artifacts.command("list")
def list_command() -> None:
    """All artifacts, the user's and the shipped ones, with the pair they belong to."""
    names, store = _names_of_keys(), ArtifactStore()
    table = Table("key", "method", "pair", "corpus", "seconds", "MB", "where", title="Artifacts")
    for artifact in store:
        if isinstance(artifact, CorruptArtifactError):
            console.print(f"[red]broken:[/red] {artifact}", soft_wrap=True)
            continue
        manifest = artifact.manifest
        size = sum(path.stat().st_size for path in artifact.folder.iterdir()) / 1e6
        where = "shipped" if artifact.folder.parent == store.shipped else "store"
        pair = names.get(artifact.key, "(not a known pair with current settings)")
        table.add_row(
            artifact.key, manifest.method, pair, manifest.corpus_name, f"{manifest.seconds:.0f}", f"{size:.2f}", where
        )
    console.print(table)


@artifacts.command()
def verify() -> None:
    """Check every file of every artifact against its hash."""
    good, broken = 0, []
    for artifact in ArtifactStore():
        try:
            if isinstance(artifact, CorruptArtifactError):
                raise artifact
            artifact.verify()
            good += 1
        except CorruptArtifactError as error:
            broken.append(error)
            console.print(f"[red]broken:[/red] {error}", soft_wrap=True)
    console.print(f"{good} artifacts are whole, {len(broken)} broken")
    if broken:
        raise click.ClickException("broken artifacts are refused until they are computed again")


@artifacts.command("convert")
def convert_command() -> None:
    """Turn artifacts of an earlier format in your store into the present one; nothing is computed again."""
    good, broken = 0, 0
    for folder in list(format_1_folders(ArtifactStore().folder)):
        try:
            console.print(f"{folder.name} is now {convert(folder).name}", highlight=False)
            good += 1
        except CorruptArtifactError as error:
            console.print(f"[red]broken:[/red] {error}", soft_wrap=True)
            broken += 1
    console.print(f"{good} artifacts converted, {broken} broken")
    if broken:
        raise click.ClickException("broken artifacts are left as they were")


def stored_artifact(organism: Organism, method: AnyMethod, corpus: Path | None = None) -> Artifact:
    """The artifact under the suite's settings.

    Raises:
        MissingError: When it is in neither store.
        CorruptArtifactError: When it is broken.
    """
    require_needs(organism, method)
    texts = load_corpus(corpus) if corpus else probe_corpus()
    keys = keys_for(organism, method, config_for(method, organism.suite), texts)
    artifact = ArtifactStore().find(*keys)
    if artifact is None:
        option = f" --corpus {corpus}" if corpus else ""
        raise MissingError(
            f"artifact {' or '.join(keys)} of method {method.name} on {organism.id} is in no store; compute it with: "
            f"diffbench diff {organism.id} --method {method.name}{option}"
        )
    return artifact


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


def _names_of_keys() -> dict[str, str]:
    """Key -> pair, for all known organisms under current settings; manifests hold no names."""
    corpus = probe_corpus()
    names: dict[str, str] = {}
    for suite in list_suites():
        for default in load_suite(suite):
            for variant in default.spec.finetuned:
                organism = Organism(default.suite, default.spec, default.folder, variant)
                for method in map(find_method, list_methods()):
                    # Weights that are not there have no identity, and so no artifact that could be listed.
                    with suppress(FileNotFoundError):
                        keys = keys_for(organism, method, config_for(method, suite), corpus)
                        names |= dict.fromkeys(keys, organism.id)
    return names
