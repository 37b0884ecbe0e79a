"""``diffbench organisms``: what there is, training, verification."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from ..organisms.suites import Organism, find_organism, list_suites, load_suite
from ..organisms.verify import Rate, Verification, verify_organism
from .progress import console, progress

__all__ = ["organisms"]


@click.group()
def organisms() -> None:
    """List, show, train and verify organisms."""


@organisms.command("list")
@click.option("--suite", help="One suite only.")
def list_command(suite: str | None) -> None:
    """All organisms with their family and variants."""
    table = Table("organism", "family", "base", "variants", title="Organisms")
    for name in [suite] if suite else list_suites():
        for organism in load_suite(name):
            spec = organism.spec
            base = getattr(spec.base, "package", None) or getattr(spec.base, "id", None) or spec.base.kind
            table.add_row(organism.id, spec.family, base, ", ".join(spec.finetuned))
    console.print(table)


@organisms.command()
@click.argument("name")
def show(name: str) -> None:
    """The spec of an organism, its ground truth included."""
    organism = find_organism(name)
    console.print(f"[bold]{organism.id}[/bold] ({organism.folder / (organism.spec.name + '.yaml')})")
    console.print_json(json.dumps(organism.spec.model_dump(mode="json"), ensure_ascii=False))


@organisms.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Adapter folder; default: where the spec says.")
def train(name: str, out: Path | None) -> None:
    """Train an organism's adapter from its recipe; the old one is replaced when the new one is done."""
    from ..organisms.recipes.train import train_organism

    folder = train_organism(find_organism(name), out, progress)
    console.print(f"adapter written to {folder}; check it with: diffbench organisms verify {name}", soft_wrap=True)


@organisms.command()
@click.argument("names", nargs=-1)
@click.option("--suite", help="Verify a whole suite.")
@click.option("--samples", default=4, show_default=True, help="Responses for each probe prompt and model.")
@click.option("--max-tokens", default=64, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--examples", default=0, show_default=True, help="Responses to show.")
def verify(names: tuple[str, ...], suite: str | None, samples: int, max_tokens: int, seed: int, examples: int) -> None:
    """Measure how often base and finetuned model express the behaviour; fails when an organism does not."""
    chosen = [find_organism(name) for name in names] + (load_suite(suite) if suite else [])
    if not chosen:
        raise click.UsageError("name organisms, or a suite with --suite")
    done = [_verify_one(organism, samples, max_tokens, seed, examples) for organism in chosen]
    console.print(_table(done))
    failed = [v for v in done if not v.passed]
    for verification in failed:
        console.print(f"[red]{verification.organism.id}[/red]: {'; '.join(verification.problems)}", soft_wrap=True)
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(done)} organisms do not do what their label says")


def _verify_one(organism: Organism, samples: int, max_tokens: int, seed: int, examples: int) -> Verification:
    verification = verify_organism(
        organism, samples, max_tokens, seed, lambda chunks, _: progress(chunks, f"{organism.id}: sampling")
    )
    for prompt, base, finetuned in verification.examples[:examples]:
        console.print(f"[bold]{prompt}[/bold]\n  base: {base}\n  finetuned: {finetuned}", highlight=False)
    return verification


def _table(done: list[Verification]) -> Table:
    table = Table(title="Behaviour on probe prompts (95 % interval)")
    table.add_column("organism", no_wrap=True)
    for header in ("base", "finetuned", "drift", "verdict"):
        table.add_column(header)
    for v in done:
        verdict = "[green]passed[/green]" if v.passed else "[red]failed[/red]"
        table.add_row(v.organism.id, _rate(v.base), _rate(v.finetuned), f"{v.drift:.4f}", verdict)
    return table


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return "control"
    low, high = rate.interval
    return f"{rate.value:.2f} ({low:.2f}-{high:.2f}) of {rate.total}"
