"""The table that verification writes into a document."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diffbench.benchmark.tables.verification_table import MARKS, terminal_table, write_markdown
from diffbench.models.text_fit import TextFit
from diffbench.organisms.suites import find_organism
from diffbench.organisms.verify import Rate, Verification
from rich.console import Console

BEGIN, END = MARKS.begin, MARKS.end

BEFORE, AFTER = "# Organisms\n\nSome words | with a bar.\n\n", "\n\nMore words: äöü.\n"


@pytest.fixture
def done(tiny: Any) -> list[Verification]:
    """One that passed, with quiet prompts, and a variant that failed."""
    fit = TextFit(base=20.0, finetuned=25.0, kl=0.125, tokens=100)
    passed = Verification(find_organism("tiny.beta"), Rate(0, 10), Rate(8, 10), Rate(1, 10), fit, 0.04567, (), ())
    half = find_organism("tiny.alpha+half")
    return [passed, Verification(half, Rate(10, 10), Rate(5, 10), None, fit, 1.5, ("too weak",), ())]


# 95 % Wilson intervals of 0, 1, 5, 8 and 10 of 10, from Wilson's formula with z = 1.96: n' = n + 3.8415,
# centre (hits + 1.9207) / n', half width 1.96 / n' * sqrt(hits (n - hits) / n + 0.9604).
ROWS = [
    "| organism | base | finetuned | quiet | ppl | KL | drift | verdict |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    "| `alpha+half` | 1.00 (0.72–1.00) | 0.50 (0.24–0.76) | – | 1.25 | 0.12 | 1.500 | failed |",
    "| `beta` | 0.00 (0.00–0.28) | 0.80 (0.49–0.94) | 0.10 (0.02–0.40) | 1.25 | 0.12 | 0.046 | passed |",
]


@pytest.mark.parametrize("old", ["\n", "\n" + "\n".join(ROWS[:2]) + "\n", ""])
def test_the_table_is_replaced_and_the_text_around_it_kept(tmp_path: Path, done: list[Verification], old: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"{BEFORE}{BEGIN}{old}{END}{AFTER}", encoding="utf-8")
    for _ in range(2):
        write_markdown(done, path)
        expected = "\n".join([BEGIN, *ROWS, END])
        assert path.read_text(encoding="utf-8") == f"{BEFORE}{expected}{AFTER}"


def test_rows_of_others_stay_and_its_own_are_replaced(tmp_path: Path, done: list[Verification]) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"{BEGIN}\n{END}", encoding="utf-8")
    write_markdown(done, path)
    write_markdown([replace(done[0], drift=0.5)], path)
    changed = ROWS[3].replace("0.046", "0.500")
    assert path.read_text(encoding="utf-8") == "\n".join([BEGIN, *ROWS[:3], changed, END])


def test_another_table_between_the_marks_is_not_overwritten(tmp_path: Path, done: list[Verification]) -> None:
    path = tmp_path / "page.md"
    text = f"{BEGIN}\n| an | other |\n{END}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"an \| other"):
        write_markdown(done, path)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "text",
    ["", BEFORE, f"{BEFORE}{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"],
)
def test_a_file_without_the_marks_is_left_alone(tmp_path: Path, done: list[Verification], text: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{path}: needs the two lines .*verification: begin"):
        write_markdown(done, path)
    assert path.read_text(encoding="utf-8") == text


def test_the_terminal_shows_each_variant_with_its_verdict(done: list[Verification]) -> None:
    screen = Console(file=io.StringIO(), width=120)
    screen.print(terminal_table(done))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    beta = next(line for line in lines if "beta" in line)
    half = next(line for line in lines if "alpha+half" in line)
    assert beta.split()[-4:] == ["1.25", "0.12", "0.046", "passed"]
    assert half.split()[-4:] == ["1.25", "0.12", "1.500", "failed"]
