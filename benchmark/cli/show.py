"""``diffbench show``: the panels of one artifact, in a browser or as a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from ...methods.artifact import Artifact
from ...methods.contract import Labels
from ...methods.registry import AnyMethod, find_method, list_methods
from ...organisms.suites import find_organism
from ...records.errors import MendableError
from ...records.names import BLACKBOX
from ...views.html import page_html
from ...views.panels import Page
from ...views.png import page_png, require_matplotlib
from .options import corpus_option, html_option
from .output import OutputFile, write_output
from .stored import stored_artifact

__all__ = ["artifact_page", "show"]


@click.command()
@click.argument("organism")
@click.argument("method")
@html_option(help="Write a page of HTML to this file instead of opening it.")
@click.option("--png", type=OutputFile(), help="Write a PNG to this file; needs matplotlib.")
@corpus_option
def show(organism: str, method: str, html: Path | None, png: Path | None, corpus: Path | None) -> None:
    """Show what a method found on one pair: heat maps, logit lenses, charts and samples of its artifact.

    Without --html and --png the page is written to a temporary file and opened in a browser.
    """
    if png is not None:
        require_matplotlib()
    pair, chosen = find_organism(organism), _method(method)
    page = artifact_page(pair.id, chosen, stored_artifact(pair, chosen, corpus))
    if html is not None:
        write_output(html, page_html(page))
        click.echo(f"page written to {html}")
    if png is not None:
        write_output(png, page_png(page))
        click.echo(f"picture written to {png}")
    if html is None and png is None:
        _open(page_html(page))


def artifact_page(organism: str, method: AnyMethod, artifact: Artifact) -> Page:
    """The panels of an artifact; its overview where the method's readers have none.

    Raises:
        CorruptArtifactError: When the artifact is broken.
    """
    manifest, labels = artifact.manifest, Labels()
    facts = (
        ("Organism", organism),
        ("Method", method.name),
        ("Corpus", manifest.corpus_name),
        ("Computed in", f"{manifest.seconds:.0f} s on {manifest.device}"),
        ("Artifact", artifact.key),
    )
    panels = tuple(method.pictures(artifact, labels))
    return Page(f"{organism}, {method.name}", facts, manifest.notes, panels)


def _method(name: str) -> AnyMethod:
    if name == BLACKBOX:
        raise MendableError(
            f"{BLACKBOX} computes no artifact, so there is nothing to show; choose {_named(list_methods())}"
        )
    return find_method(name)


def _open(page: str) -> None:
    number, name = tempfile.mkstemp(prefix="diffbench-", suffix=".html")
    os.close(number)
    path = Path(name)
    write_output(path, page)
    click.echo(f"page written to {path}")
    if click.launch(str(path)) != 0:
        click.echo("no browser could be started; open the page yourself, or name a file with --html", err=True)


def _named(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
