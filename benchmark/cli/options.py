"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from ...methods.activations.corpus import Corpus, load_corpus, probe_corpus
from ...organisms.suites import Organism, find_organism, load_suite
from .output import OutputFile

__all__ = [
    "chosen_organisms",
    "corpus_from",
    "corpus_option",
    "cores_option",
    "draws_option",
    "html_option",
    "json_option",
    "logs_argument",
    "organism_argument",
    "organisms_argument",
    "page_option",
    "resamples_option",
    "seed_option",
    "suite_option",
]

logs_argument = click.argument("logs", nargs=-1, required=True)
"""``LOGS``: files, folders, submissions."""
organism_argument = click.argument("name")
"""``NAME``: one organism."""
organisms_argument = click.argument("names", nargs=-1)
"""``NAMES``: organisms, beside those of ``--suite``."""
corpus_option = click.option(
    "--corpus",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The corpus, as JSON lines; default: the bundled one.",
)
draws_option = click.option(
    "--draws", default=500, show_default=True, help="Of each of the model's four chains, at least 50."
)
suite_option = partial(click.option, "--suite")
seed_option = partial(click.option, "--seed", default=0, show_default=True)
cores_option = partial(click.option, "--cores", default=2, show_default=True)
resamples_option = partial(click.option, "--resamples", default=2000, show_default=True)
json_option = partial(click.option, "--json", "json_file", type=OutputFile())
html_option = partial(click.option, "--html", type=OutputFile())
page_option = partial(click.option, "--write", "page", type=OutputFile())
"""A Markdown page that gets a table between its marks."""


def corpus_from(path: Path | None) -> Corpus:
    """The corpus of ``--corpus``.

    Raises:
        MendableError: When the file is no corpus.
    """
    return load_corpus(path) if path else probe_corpus()


def chosen_organisms(names: Sequence[str], suite: str | None, variants: bool = False) -> list[Organism]:
    """The organisms of ``NAMES`` and of ``--suite``.

    Args:
        names: Names of organisms.
        suite: Name of a suite, all of whose organisms are meant.
        variants: Whether each variant of the suite's is meant, rather than the default ones.

    Raises:
        click.UsageError: When neither names nor a suite are given.
    """
    of_suite = load_suite(suite) if suite else []
    if variants:
        of_suite = [variant for organism in of_suite for variant in organism.variants]
    chosen = [*map(find_organism, names), *of_suite]
    if not chosen:
        raise click.UsageError("name organisms, or a suite with --suite")
    return chosen
