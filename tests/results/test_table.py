"""Renderings of the leaderboard."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from diffbench.results.frame import LeftOut
from diffbench.results.leaderboard import leaderboard
from diffbench.results.table import (
    left_out_table,
    organism_markdown,
    organism_table,
    to_json,
    to_markdown,
    to_table,
)
from rich.console import Console

MODEL = "openrouter/some-vendor/a-rather-long-model-name-2026-01-01"


@pytest.fixture
def board(row, frame):
    organisms = [("a_long_organism_name_of_some_kind", "sdf"), ("b", "sdf"), ("quiet", "null")]
    rows = [
        row(name, grade, method=method, agent_model=MODEL, family=family, seconds=12345.6, interactions_used=1234)
        for method, grade in [("adl", 5), ("kl", 4), ("blackbox", 2), *((f"method_{i}", 3) for i in range(6))]
        for name, family in organisms
    ]
    return leaderboard(frame(*rows, row("b", 1, method="single|bar")))


def render(renderable, width=100) -> str:
    console = Console(width=width, file=io.StringIO(), legacy_windows=False, record=False)
    console.print(renderable)
    return console.file.getvalue()


def test_terminal_table_fits_80_columns(board):
    many = [replace(row, organisms=120, cases=4800, grades=48000, errors=1234) for row in board.rows]
    text = render(to_table(replace(board, rows=tuple(many))), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert sum(line.split()[-1:] == ["1234"] for line in text.splitlines()) == len(many)
    assert "…" not in text
    for part in (
        "adl",
        "blackbox *",
        "5.00–5.00",
        "5.00",
        "hierarchical",
        "12346",
        "1234.0",
    ):
        assert part in text


def test_organism_table_fits_100_columns(board):
    text = render(organism_table(board))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "smol.quiet (control)" in text
    assert text.count("Mean grade by organism") == 3
    [*_, quiet] = [line.split()[2:] for line in text.splitlines() if line.startswith(" smol.quiet")]
    assert quiet == ["2.00", "–"]
    cells = [cell for line in text.splitlines() if line.startswith(" smol.b") for cell in line.split()[1:]]
    assert cells == ["5.00", "4.00", *["3.00"] * 6, "2.00", "1.00"]


def test_markdown(board):
    lines = to_markdown(board).splitlines()
    assert lines[0].startswith("| method | agent | model | grade | 90% interval |")
    assert lines[2].startswith(f"| adl | method_agent | {MODEL} | 5.00 | 5.00–5.00 | 5.00 | 5.00 | 1.00 |")
    assert any(line.startswith(r"| blackbox \* |") for line in lines)
    assert any(line.startswith(r"| single\|bar | method_agent | openai/gpt | 1.00 | – |") for line in lines)
    assert "hierarchical" in to_markdown(board)


def test_organism_markdown(row, frame):
    board = leaderboard(frame(row("a", 5), row("b", 2, method="kl"), row("q", 1, family="null", method="kl")))
    assert organism_markdown(board).splitlines() == [
        "| organism | adl | kl |",
        "| --- | ---: | ---: |",
        "| smol.a | 5.00 | – |",
        "| smol.b | – | 2.00 |",
        "| smol.q (control) | – | 1.00 |",
    ]


def test_json_is_strict_and_whole(board):
    data = json.loads(to_json(board), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [row["method"] for row in data["rows"]][:2] == ["adl", "kl"]
    assert data["rows"][0]["grade"] == 5.0
    assert data["rows"][-1]["low"] is None
    assert data["rows"][0]["organism_grades"][1] == {"organism": "smol.b", "control": False, "grade": 5.0}
    assert {row["method"] for row in data["rows"] if row["is_baseline"]} == {"blackbox"}
    assert (data["level"], data["resamples"], data["seed"]) == (0.9, 2000, 0)


def test_left_out_table_keeps_brackets_in_reasons():
    text = render(left_out_table([LeftOut("logs/a.eval", None, "unreadable [red]")]))
    assert "unreadable [red]" in text
    assert "(whole log)" in text
