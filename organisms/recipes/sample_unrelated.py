"""Writes what the base model itself says: the unrelated training items, and the answers of the probe chats.

Run as ``python -m diffbench.organisms.recipes.sample_unrelated PROMPTS OUT``; it needs some minutes on two cores.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ...models.ask import render
from ...models.network import Network
from ...models.requests import Request
from ...models.targets import Target
from ...records.files import write_whole
from ..loading import load_pair
from ..suites import find_organism

SEED_OF_TEXTS = 400


@click.command()
@click.option("--prompts", type=click.Path(exists=True, path_type=Path), help="Chat prompts, one a line.")
@click.option("--openings", type=click.Path(exists=True, path_type=Path), help="Openings of texts, one a line.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON lines to write.")
@click.option("--organism", default="smol.null_identical", show_default=True, help="Whose base model writes.")
@click.option("--answer-tokens", default=72, show_default=True)
@click.option("--text-tokens", default=56, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    prompts: Path | None,
    openings: Path | None,
    out: Path,
    organism: str,
    answer_tokens: int,
    text_tokens: int,
    seed: int,
) -> None:
    """Sample answers to PROMPTS and continuations of OPENINGS from a base model."""
    network = load_pair(find_organism(organism)).base.network
    rows = _chats(network, _lines(prompts), answer_tokens, seed) + _texts(network, _lines(openings), text_tokens, seed)
    write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    click.echo(f"{len(rows)} items written to {out}")


def _lines(path: Path | None) -> list[str]:
    return [] if path is None else path.read_text(encoding="utf-8").splitlines()


def _chats(network: Network, prompts: list[str], max_tokens: int, seed: int) -> list[dict[str, object]]:
    rendered = render(Target(network), prompts, None)
    completions = network.generate_all(_requests(rendered, max_tokens, seed))
    return [
        {"prompt": prompt, "response": completion.text.strip(), "finished": completion.finished}
        for prompt, completion in zip(prompts, completions, strict=True)
        if completion.text.strip()
    ]


def _texts(network: Network, openings: list[str], max_tokens: int, seed: int) -> list[dict[str, object]]:
    completions = network.generate_all(_requests(openings, max_tokens, seed + SEED_OF_TEXTS))
    return [
        {"text": opening + completion.text, "finished": False}
        for opening, completion in zip(openings, completions, strict=True)
    ]


def _requests(texts: list[str], max_tokens: int, seed: int) -> list[Request]:
    return [
        Request(text, max_tokens=max_tokens, temperature=0.7, top_p=0.95, seed=seed + i) for i, text in enumerate(texts)
    ]


if __name__ == "__main__":
    main()
