"""The table organism x method: what each method's artifact shows by itself, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..methods.base import BLACKBOX, config_for, find_method, key_for, list_methods
from ..methods.store import ArtifactStore
from ..organisms.suites import Organism, find_organism, load_suite
from ..results.schema import CONTROL_FAMILY
from .marked_page import parts_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MethodsTable", "TableRow", "check_page", "markdown", "methods_tables", "write_markdown"]

BEGIN = "<!-- methods: begin, written by diffbench methods table --write -->"
END = "<!-- methods: end -->"
READER = "evidence_reader"
_UNSEEN = 1.0
_MISSING = "–"


@dataclass(frozen=True)
class TableRow:
    """One organism in one variant."""

    name: str
    """``name`` or ``name+variant``."""
    organism: str
    """The name without the variant."""
    control: bool
    diluted: bool
    grades: dict[str, float]
    """Evidence score by method, 1..5: the mean grade of the findings that the artifact alone gave."""
    seconds: dict[str, float]
    """Wall time of the artifact by method; methods whose artifact is in no store are left out."""


@dataclass(frozen=True)
class MethodsTable:
    """The organisms of a suite under the methods of some logs."""

    suite: str
    methods: tuple[str, ...]
    judges: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def mean(self, method: str, control: bool) -> float | None:
        """Mean evidence score over undiluted organisms, or over controls, each organism once; None without any."""
        grades: dict[str, list[float]] = {}
        for row in self.rows:
            if row.control is control and not row.diluted and method in row.grades:
                grades.setdefault(row.organism, []).append(row.grades[method])
        means = [sum(some) / len(some) for some in grades.values()]
        return sum(means) / len(means) if means else None

    def lowest(self, method: str, control: bool) -> list[str]:
        """Organisms, or controls, on which the evidence score is the lowest there is."""
        return [row.name for row in self.rows if row.control is control and row.grades.get(method, 5.0) <= _UNSEEN]


def methods_tables(frame: pd.DataFrame) -> list[MethodsTable]:
    """One table a suite, of the rows of a grades frame whose agent is the keyless evidence reader.

    Raises:
        ValueError: When the frame holds no such rows.
    """
    named = frame["agent"].str.rpartition("/")[2].str.rpartition("@")[2]
    read = frame[(named == READER) & (frame["method"] != BLACKBOX)]
    if read.empty:
        agents = ", ".join(sorted(set(frame["agent"]))) or "none"
        raise ValueError(
            f"the logs hold no grades of the agent {READER} (agents: {agents}); make them with: "
            f"inspect eval benchmark/diffing.py -T agent={READER} -T organisms=all"
        )
    return [_table(str(suite), part) for suite, part in read.groupby("suite", sort=True)]


def markdown(table: MethodsTable) -> str:
    """The table with its means and what is not seen, as Markdown."""
    head = [f"`{table.suite}`, graded by {', '.join(table.judges)}:", ""]
    lines = [_line(("organism", *table.methods)), _line(("---", *["---:"] * len(table.methods)))]
    for row in table.rows:
        name = f"`{row.name}` (control)" if row.control else f"`{row.name}`"
        lines.append(_line((name, *(_cell(row, method) for method in table.methods))))
    for title, control in (("mean, undiluted organisms", False), ("mean, controls", True)):
        means = (table.mean(method, control) for method in table.methods)
        lines.append(_line((f"**{title}**", *(_MISSING if mean is None else f"{mean:.2f}" for mean in means))))
    return "\n".join([*head, *lines, "", *_sentences(table)])


def check_page(path: Path) -> tuple[str, str]:
    """What stands before and after the table of a page that one can be written into.

    Raises:
        ValueError: When it lacks the two marks.
    """
    before, _, after = parts_of(path, BEGIN, END)
    return before, after


def write_markdown(tables: Sequence[MethodsTable], path: Path) -> None:
    """Replace what stands between the two marks of a Markdown file.

    Raises:
        ValueError: When the file lacks the marks.
    """
    before, after = check_page(path)
    path.write_text(before + "\n\n".join([BEGIN, *map(markdown, tables), END]) + after, encoding="utf-8")


def _table(suite: str, read: pd.DataFrame) -> MethodsTable:
    """All organisms of the suite, and the variants that were graded."""
    methods = tuple(sorted(set(read["method"])))
    variants = dict.fromkeys(zip(read["organism"], read["variant"], strict=True))
    ids = [f"{suite}.{name}" if variant == "default" else f"{suite}.{name}+{variant}" for name, variant in variants]
    organisms = {organism.id: organism for organism in [*load_suite(suite), *map(find_organism, sorted(ids))]}
    rows = tuple(_row(organism, methods, read) for organism in _ordered(organisms.values()))
    return MethodsTable(suite, methods, tuple(sorted(set(read["judge"]))), rows)


def _ordered(organisms: Iterable[Organism]) -> list[Organism]:
    """Controls last, variants below their organism."""
    return sorted(organisms, key=lambda o: (_is_control(o), o.spec.name, o.variant != "default", o.variant))


def _is_control(organism: Organism) -> bool:
    return organism.spec.family == CONTROL_FAMILY


def _row(organism: Organism, methods: Sequence[str], read: pd.DataFrame) -> TableRow:
    own = read[(read["organism"] == organism.spec.name) & (read["variant"] == organism.variant)]
    # A case's grades first, so that a case that more judges saw weighs no more.
    by_case = own.groupby(["method", "log", "sample", "epoch"])["grade"].mean().groupby(level="method").mean()
    return TableRow(
        name=organism.name,
        organism=organism.spec.name,
        control=_is_control(organism),
        diluted=organism.is_diluted,
        grades={str(method): float(grade) for method, grade in by_case.items()},
        seconds=dict(_seconds(organism, methods)),
    )


def _seconds(organism: Organism, methods: Sequence[str]) -> Iterator[tuple[str, float]]:
    store = ArtifactStore()
    for method in map(find_method, (name for name in methods if name in list_methods())):
        # Weights that are not there have no identity, and so no artifact.
        with suppress(FileNotFoundError):
            artifact = store.find(key_for(organism, method, config_for(method, organism.suite)))
            if artifact is not None:
                yield method.name, artifact.manifest.seconds


def _cell(row: TableRow, method: str) -> str:
    grade = f"{row.grades[method]:.1f}" if method in row.grades else _MISSING
    return f"{grade} ({row.seconds[method]:.0f} s)" if method in row.seconds else grade


def _sentences(table: MethodsTable) -> Iterator[str]:
    for method in table.methods:
        unseen, alarms = table.lowest(method, control=False), table.lowest(method, control=True)
        seen = f"does not see {_listed(unseen)}" if unseen else "sees something of each organism that was graded"
        also = f"; it gives a false alarm on {_listed(alarms)}" if alarms else ""
        yield f"- `{method}` {seen}{also}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
