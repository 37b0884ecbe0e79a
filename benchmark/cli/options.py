"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

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

Command = TypeVar("Command", bound=Callable[..., Any])


class Option(Protocol):
    """Gives a command an option."""

    def __call__(self, command: Command, /) -> Command:
        """The command with it."""
        ...


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


def suite_option(help: str) -> Option:
    """``--suite``."""
    return click.option("--suite", help=help)


def seed_option(help: str | None = None) -> Option:
    """``--seed``, 0 by default."""
    return click.option("--seed", default=0, show_default=True, help=help)


def cores_option(help: str) -> Option:
    """``--cores``, 2 by default."""
    return click.option("--cores", default=2, show_default=True, help=help)


def resamples_option(help: str) -> Option:
    """``--resamples``, 2000 by default."""
    return click.option("--resamples", default=2000, show_default=True, help=help)


def json_option(help: str) -> Option:
    """``--json``, the argument ``json_file``."""
    return click.option("--json", "json_file", type=OutputFile(), help=help)


def html_option(help: str) -> Option:
    """``--html``."""
    return click.option("--html", type=OutputFile(), help=help)


def page_option(help: str) -> Option:
    """``--write``, the argument ``page``: a Markdown page that gets a table between its marks."""
    return click.option("--write", "page", type=OutputFile(), help=help)


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
