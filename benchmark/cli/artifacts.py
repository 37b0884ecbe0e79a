"""``diffbench artifacts``: listing, checking and converting artifacts."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import click
from rich.table import Table

from ...methods.activations.corpus import probe_corpus
from ...methods.artifact import CorruptArtifactError
from ...methods.conversion import convert, format_1_folders
from ...methods.jobs import keys_for
from ...methods.registry import config_for, find_method, list_methods
from ...methods.store import ArtifactStore
from ...organisms.suites import list_suites, load_suite
from .progress import console

__all__ = ["artifacts"]


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


def _names_of_keys() -> dict[str, str]:
    """Key -> pair, for all known organisms under current settings; manifests hold no names."""
    corpus = probe_corpus()
    names: dict[str, str] = {}
    for suite in list_suites():
        organisms = [variant for organism in load_suite(suite) for variant in organism.variants]
        for organism, method in product(organisms, map(find_method, list_methods())):
            # Weights that are not there have no identity, and so no artifact that could be listed.
            with suppress(FileNotFoundError):
                keys = keys_for(organism, method, config_for(method, suite), corpus)
                names |= dict.fromkeys(keys, organism.id)
    return names
