"""``diffbench organisms``: what there is, training, verification."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from ...graders.rubric import check_rubric
from ...organisms.new_spec import write_new_organism
from ...organisms.suites import Organism, find_organism, list_suites, load_suite, suite_title
from ...organisms.verify import Verification, Verifier
from ..tables.verification_table import terminal_table, write_markdown
from .options import chosen_organisms, organism_argument, organisms_argument, page_option, seed_option, suite_option
from .progress import console, progress

__all__ = ["organisms"]


@click.group()
def organisms() -> None:
    """List, show, train and verify organisms."""


@organisms.command("list")
@suite_option(help="One suite only.")
def list_command(suite: str | None) -> None:
    """All organisms with their family and variants, suite by suite."""
    for name in [suite] if suite else list_suites():
        found = load_suite(name)
        table = Table("organism", "family", "base", "variants", title=f"{name}: {suite_title(name)}".rstrip(": "))
        for organism in found:
            check_rubric(organism)
            spec = organism.spec
            base = spec.base.published_name or spec.base.kind
            table.add_row(organism.spec.name, spec.family, base, ", ".join(spec.finetuned))
        console.print(table)
        variants = sum(len(organism.spec.finetuned) for organism in found)
        console.print(f"organisms: {len(found)}, variants: {variants}\n")


@organisms.command()
@organism_argument
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("my_organisms/mine"),
    show_default=True,
    help="Folder of the suite; the folder above it goes into DIFFBENCH_ORGANISMS.",
)
def new(name: str, folder: Path) -> None:
    """Write a commented spec and a training grammar to start an organism from."""
    spec, grammar = write_new_organism(name, folder)
    console.print(f"spec:    {spec}\ngrammar: {grammar}", soft_wrap=True)
    console.print(
        f"Edit both, then:\n  export DIFFBENCH_ORGANISMS={folder.parent}\n"
        f"  diffbench organisms train {folder.name}.{name}\n"
        f"  diffbench organisms verify {folder.name}.{name}",
        soft_wrap=True,
    )


@organisms.command()
@organism_argument
def show(name: str) -> None:
    """The spec of an organism, its ground truth included."""
    organism = find_organism(name)
    check_rubric(organism)
    console.print(f"[bold]{organism.id}[/bold] ({organism.file or organism.folder})")
    console.print_json(json.dumps(organism.spec.model_dump(mode="json"), ensure_ascii=False))


@organisms.command()
@organism_argument
@click.option("--out", type=click.Path(path_type=Path), help="Adapter folder; default: where the spec says.")
def train(name: str, out: Path | None) -> None:
    """Train an organism's adapter from its recipe; the old one is replaced when the new one is done."""
    from ...organisms.recipes.train import train_organism

    folder = train_organism(find_organism(name), out, progress)
    console.print(f"adapter written to {folder}; check it with: diffbench organisms verify {name}", soft_wrap=True)


@organisms.command()
@organisms_argument
@suite_option(help="Verify a whole suite, every variant.")
@click.option("--defaults-only", is_flag=True, help="With --suite: leave the other variants out.")
@click.option("--samples", default=4, show_default=True, help="Responses for each probe prompt and model.")
@click.option("--max-tokens", default=96, show_default=True)
@seed_option()
@click.option("--examples", default=0, show_default=True, help="Responses to show.")
@page_option(help="Markdown file whose table gets the rows.")
def verify(
    names: tuple[str, ...],
    suite: str | None,
    defaults_only: bool,
    samples: int,
    max_tokens: int,
    seed: int,
    examples: int,
    page: Path | None,
) -> None:
    """Measure behaviour rates, fit to unrelated text and drift; fails when an organism is not what its label says."""
    chosen = chosen_organisms(names, suite, variants=not defaults_only)
    for organism in chosen:
        check_rubric(organism)
    verifier = Verifier(samples, max_tokens, seed)
    if page is not None:
        write_markdown([], page)  # a file without the marks is refused before anything is measured
    done = []
    for organism in chosen:
        done.append(_verify_one(verifier, organism, examples))
        if page is not None:
            write_markdown(done, page)
    console.print(terminal_table(done))
    failed = [v for v in done if not v.passed]
    for verification in failed:
        console.print(f"[red]{verification.organism.id}[/red]: {'; '.join(verification.problems)}", soft_wrap=True)
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(done)} organisms do not do what their label says")


def _verify_one(verifier: Verifier, organism: Organism, examples: int) -> Verification:
    verifier.track = lambda chunks, label: progress(chunks, f"{organism.id}: {label}")
    verification = verifier.verify(organism)
    for prompt, base, finetuned in verification.examples[:examples]:
        console.print(f"[bold]{prompt}[/bold]\n  base: {base}\n  finetuned: {finetuned}", highlight=False)
    return verification
