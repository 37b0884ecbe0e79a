"""The table organism x method: its numbers by hand, its place in a page, and the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main
from diffbench.benchmark.tables.chance import findings_by_method, guessed_grade
from diffbench.benchmark.tables.methods_table import MARKS, markdown, methods_tables, write_markdown
from diffbench.graders.judge import judge_prompt
from diffbench.graders.keyless import keyless_grade
from diffbench.methods.artifact import Content
from diffbench.methods.jobs import key_for
from diffbench.methods.registry import config_for, find_method, list_methods
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import find_organism
from diffbench.records.finding import Finding
from diffbench.results.frame import Grades
from diffbench.results.schema import check_frame
from hand_logs import hand_log, hand_sample
from raw_payload import raw

BEGIN, END = MARKS.begin, MARKS.end

# (organism, variant, method, agent, sample, judge, grade)
CASES = [
    ("alpha", "default", "kl", "evidence_reader", "a.kl", "one", 4),
    ("alpha", "default", "kl", "evidence_reader", "a.kl", "two", 1),
    ("alpha", "half", "kl", "pkg/evidence_reader", "h.kl", "one", 1),
    ("beta", "default", "kl", "evidence_reader", "b.kl", "one", 1),
    ("same", "default", "kl", "file.py@evidence_reader", "s.kl", "one", 5),
    ("alpha", "default", "adl", "evidence_reader", "a.adl", "one", 3),
    ("same", "default", "adl", "evidence_reader", "s.adl", "one", 1),
    # Neither of these is what an artifact shows by itself.
    ("beta", "default", "adl", "investigator", "b.adl", "one", 5),
    ("beta", "default", "blackbox", "evidence_reader", "b.blackbox", "one", 2),
]
# kl: alpha's case (4 + 1) / 2 = 2.5, with its variant (2.5 + 1) / 2 = 1.75; with beta (1.75 + 1) / 2 = 1.375.
TABLE = """`tiny`, graded by one, two:

| organism | adl | kl |
| --- | ---: | ---: |
| `alpha` | 3.0 | 2.5 (41 s) |
| `alpha+half` | – | 1.0 |
| `beta` | – | 1.0 |
| `same` (control) | 1.0 | 5.0 |
| **mean, undiluted organisms** | 3.00 | 1.38 |
| **mean, controls** | 1.00 | 5.00 |
| **mean, controls whose weights differ** | – | – |
| **mean, findings on controls graded as if on the organisms** | – | – |

- `adl` sees something of each organism that was graded. It claims a narrow change of 1 of 1 organisms and of 1 of 1 \
controls, false alarms: `same`.
- `kl` does not see `alpha+half`, `beta`. It claims a narrow change of 3 of 3 organisms and of 0 of 1 controls.

- Undiluted organisms score above the controls for 1 of 2 methods: `adl`.
- Undiluted organisms score above the controls whose weights differ for 0 of 2 methods.
- Undiluted organisms score above findings on controls graded as if on the organisms for 0 of 2 methods.
- A narrow change is claimed of a larger share of the organisms than of the controls for 1 of 2 methods: `kl`."""


def frame_of(cases: list[tuple[Any, ...]]) -> pd.DataFrame:
    names = ("organism", "variant", "method", "agent", "sample", "judge", "grade")
    fixed = {
        "log": "l",
        "epoch": 1,
        "suite": "tiny",
        "family": "preference",
        "agent_model": "keyless/investigator",
        "interactions": 0,
        "framing": "neutral",
        "blind": False,
        "judge_repeat": 0,
        "fact_recall": 0.5,
        "verdict": "changed",
        "confidence": 0.5,
        "interactions_used": 0,
        "tokens": 0,
        "cost": None,
        "seconds": 1.0,
        "error": None,
    }
    frame = pd.DataFrame([{**fixed, **dict(zip(names, case, strict=True))} for case in cases])
    frame.loc[(frame["organism"] == "same") & (frame["grade"] == 5), "verdict"] = "no_narrow_change"
    return check_frame(frame)


@pytest.fixture
def one_artifact(tiny: Any) -> None:
    """That of kl for ``tiny.alpha``, which took 41 seconds."""
    organism, method = find_organism("tiny.alpha"), find_method("kl")
    config = config_for(method, "tiny")
    about = {
        "method": "kl",
        "config": config.model_dump(mode="json"),
        "base": organism.identity("base"),
        "finetuned": organism.identity("finetuned"),
        "corpus_name": "probe",
        "corpus_sha256": "c",
        "dtype": "float32",
        "device": "cpu",
        "seconds": 41.2,
        "peak_memory_mib": 10.0,
    }
    ArtifactStore().save(key_for(organism, method, config, "float32"), Content(raw({})), **about)


@pytest.fixture
def diffbench(one_artifact: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``diffbench("methods", …)``, with the frame of ``CASES`` in place of that of logs."""
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 300)
    monkeypatch.setattr("diffbench.benchmark.cli.methods.grades_frame", lambda logs: Grades(frame_of(CASES), ()))
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_table_by_hand(one_artifact: None) -> None:
    (table,) = methods_tables(frame_of(CASES))
    assert markdown(table) == TABLE


def test_diluted_variants_are_shown_but_not_in_the_mean(one_artifact: None) -> None:
    """``mix…`` is a dilution by the convention of its name."""
    (table,) = methods_tables(frame_of(CASES))
    rows = tuple(replace(row, diluted=True) if row.name == "alpha+half" else row for row in table.rows)
    changed = replace(table, rows=rows)
    assert changed.mean("kl", control=False) == (2.5 + 1.0) / 2
    assert "alpha+half" in changed.unseen("kl")


def test_what_is_denied_or_graded_like_a_finding_on_a_control_is_not_seen(
    one_artifact: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    guesses = {"kl": [Finding(verdict="changed", description="A guess.", confidence=0.5)]}
    asked: list[list[str]] = []

    def findings(rows: pd.DataFrame) -> dict[str, list[Finding]]:
        asked.append(sorted(set(rows["organism"])))
        return guesses

    monkeypatch.setattr("diffbench.benchmark.tables.methods_table.findings_by_method", findings)
    monkeypatch.setattr(
        "diffbench.benchmark.tables.methods_table.guessed_grade",
        lambda spec, some: {"alpha": 2.5, "beta": 0.5}[spec.name] if some == guesses["kl"] else 0.0,
    )
    frame = frame_of(CASES).assign(judge="keyless/grader")
    (table,) = methods_tables(frame.drop_duplicates(["sample", "judge"]))
    assert asked == [["same"]]
    # Alpha's case is graded 4 by the one judge that is left; half of it, and beta, get 1.
    assert table.unseen("kl") == ["alpha+half"]
    assert table.guessed("kl") == (2.5 + 0.5) / 2
    assert table.unseen("adl") == []
    frame.loc[frame["organism"] == "beta", "verdict"] = "inconclusive"
    (table,) = methods_tables(frame.drop_duplicates(["sample", "judge"]))
    assert table.unseen("kl") == ["alpha+half", "beta"]
    assert "3 of 3" not in markdown(table)
    assert asked == [["same"]] * 2


def test_another_judge_is_not_compared_with_guesses_that_the_keyless_grader_graded(one_artifact: None) -> None:
    (table,) = methods_tables(frame_of(CASES))
    assert table.guessed("kl") is None


def test_a_guess_is_graded_under_the_organisms_own_rubric() -> None:
    spec = find_organism("smol.owl_preference").spec
    owls = Finding(verdict="changed", description="The model prefers owls and praises them.", confidence=0.9)
    nothing = Finding(verdict="no_narrow_change", description="Nothing narrow changed.", confidence=0.9)
    grade = keyless_grade(judge_prompt(spec, owls)).grade
    assert grade > 1
    assert guessed_grade(spec, [owls, nothing]) == (grade + 1) / 2


def test_findings_are_read_from_the_logs_that_are_there(tmp_path: Path) -> None:
    rows = pd.DataFrame({"log": [str(tmp_path / "no.eval")], "sample": ["s"], "epoch": [1], "method": ["kl"]})
    assert findings_by_method(rows) == {}
    log = hand_log(tmp_path / "hand.eval", [hand_sample("null_identical", "kl"), hand_sample("cake_bake", "kl")])
    rows = rows.assign(log=str(log), sample="smol.null_identical.kl")
    (finding,) = findings_by_method(rows)["kl"]
    assert (finding.description, finding.verdict) == ("it bakes", "inconclusive")


@pytest.mark.parametrize("old", ["\n", "\n\nan old table\n\n", ""])
def test_what_stands_between_the_marks_is_replaced(one_artifact: None, tmp_path: Path, old: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Käse\n\n{BEGIN}{old}{END}\n\nafter | it\n", encoding="utf-8")
    for _ in range(2):
        write_markdown(methods_tables(frame_of(CASES)), page)
        assert page.read_text(encoding="utf-8") == f"# Käse\n\n{BEGIN}\n\n{TABLE}\n\n{END}\n\nafter | it\n"


def test_each_suite_has_its_table(one_artifact: None, tmp_path: Path) -> None:
    other = frame_of(CASES).assign(suite="smol", organism="cake_bake")
    tables = methods_tables(pd.concat([frame_of(CASES), other[other["variant"] == "default"]]))
    assert [table.suite for table in tables] == ["smol", "tiny"]
    assert {"cake_bake", "null_identical"} <= {row.name for row in tables[0].rows}
    assert markdown(tables[1]) == TABLE


def test_the_command_writes_and_prints(diffbench: Callable[..., Result], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    assert diffbench("methods", "table", "logs").output.strip() == TABLE
    written = diffbench("methods", "table", "logs", "--write", page)
    assert written.exit_code == 0
    assert "table of tiny written to" in written.output
    assert TABLE in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["no marks\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_page_without_marks_is_left_alone(diffbench: Callable[..., Result], tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    refused = diffbench("methods", "table", "logs", "--write", page)
    assert refused.exit_code == 1
    assert "page.md: needs the two lines" in refused.output
    assert page.read_text(encoding="utf-8") == text


def test_logs_without_the_reader_say_how_to_run_it(tiny: Any) -> None:
    with pytest.raises(ValueError, match=r"agents: investigator.*-T agent=evidence_reader"):
        methods_tables(frame_of([case for case in CASES if case[3] == "investigator"]))


def test_methods_are_listed_with_their_package(diffbench: Callable[..., Result]) -> None:
    listed = diffbench("methods", "list")
    assert listed.exit_code == 0, listed.output
    rows = {cells[1].strip(): [cell.strip() for cell in cells[1:-1]] for cells in _cells(listed.output)}
    assert sorted(rows) == list_methods()
    _, needs, what, registered = rows["kl"]
    assert needs == find_method("kl").needs
    assert what == "Per-token KL divergence between the finetuned and the base model on the same texts."
    assert registered.startswith("diffbench ")
    assert registered.endswith(": diffbench.methods.kl.method:METHOD")


def _cells(output: str) -> Iterator[list[str]]:
    return (line.split("│") for line in output.splitlines() if "│" in line)
