"""The table organism x method: what each method's artifact shows by itself, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...methods.jobs import keys_for
from ...methods.registry import config_for, find_method, list_methods
from ...methods.store import ArtifactStore
from ...organisms.suites import Organism, find_organism, load_suite
from ...records.case import organism_id
from ...records.errors import MendableError
from ...records.finding import Finding
from ...records.names import BLACKBOX, DEFAULT_VARIANT, EVIDENCE_READER, KEYLESS_GRADER, unqualified
from ...results.schema import CONTROL_FAMILY
from ...views.markdown import Markdown, bold, code, markdown_table
from .chance import findings_by_method, guessed_grade
from .marked_page import Marks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MARKS", "MethodsTable", "TableRow", "markdown", "methods_tables", "write_markdown"]

MARKS = Marks("methods", "diffbench methods table --write")
_LOWEST = 1.0
_MISSING = "–"


@dataclass(frozen=True)
class TableRow:
    """One organism in one variant."""

    name: str
    """``name`` or ``name+variant``."""
    organism: str
    """The name without the variant."""
    control: bool
    identical: bool
    """Whether both models have the same weights."""
    diluted: bool
    grades: dict[str, float]
    """Evidence score by method, 1..5: the mean grade of the findings that the artifact alone gave."""
    denied: frozenset[str]
    """Methods of which no finding says that something narrow changed."""
    guessed: dict[str, float]
    """By method, the mean grade of the method's findings on controls if they were about this organism."""
    seconds: dict[str, float]
    """Wall time of the artifact by method; methods whose artifact is in no store are left out."""


@dataclass(frozen=True)
class MethodsTable:
    """The organisms of a suite under the methods of some logs."""

    suite: str
    methods: tuple[str, ...]
    judges: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def mean(self, method: str, control: bool, identical: bool = True) -> float | None:
        """Mean evidence score over undiluted organisms, or over controls, each organism once; None without any.

        Args:
            method: The method.
            control: Controls instead of organisms.
            identical: Count pairs of two identical models, too.
        """
        rows = [row for row in self.rows if row.control is control and (identical or not row.identical)]
        return _mean([(row.organism, row.grades[method]) for row in rows if not row.diluted and method in row.grades])

    def guessed(self, method: str) -> float | None:
        """Mean over undiluted organisms of the grade that the findings on controls would get; None without any."""
        rows = [row for row in self.rows if not row.diluted and method in row.guessed and method in row.grades]
        return _mean([(row.organism, row.guessed[method]) for row in rows])

    def unseen(self, method: str) -> list[str]:
        """Organisms with findings that deny a change, or are graded no higher than findings on controls would be."""
        rows = [row for row in self.rows if not row.control and method in row.grades]
        return [
            row.name for row in rows if method in row.denied or row.grades[method] <= row.guessed.get(method, _LOWEST)
        ]

    def graded(self, method: str, control: bool) -> list[str]:
        """Organisms, or controls, with a finding of the method."""
        return [row.name for row in self.rows if row.control is control and method in row.grades]

    def claimed(self, method: str, control: bool) -> list[str]:
        """Those of them of which a finding says that something narrow changed; for a control a false alarm."""
        denied = {row.name for row in self.rows if method in row.denied}
        return [name for name in self.graded(method, control) if name not in denied]


def methods_tables(frame: pd.DataFrame) -> list[MethodsTable]:
    """One table a suite, of the rows of a grades frame whose agent is the keyless evidence reader.

    Raises:
        MendableError: When the frame holds no such rows.
    """
    read = frame[(frame["agent"].map(unqualified) == EVIDENCE_READER) & (frame["method"] != BLACKBOX)]
    if read.empty:
        agents = ", ".join(sorted(set(frame["agent"]))) or "none"
        raise MendableError(
            f"the logs hold no grades of the agent {EVIDENCE_READER} (agents: {agents}); make them with: "
            f"inspect eval benchmark/diffing.py -T agent={EVIDENCE_READER} -T organisms=all"
        )
    return [_table(str(suite), part) for suite, part in read.groupby("suite", sort=True)]


def markdown(table: MethodsTable) -> str:
    """The table with its means and what is not seen, as Markdown."""
    rows = [
        (
            Markdown(f"{code(row.name)} (control)") if row.control else code(row.name),
            *(_cell(row, method) for method in table.methods),
        )
        for row in table.rows
    ]
    means: list[tuple[str, Callable[[str], float | None]]] = [
        ("mean, undiluted organisms", lambda method: table.mean(method, control=False)),
        ("mean, controls", lambda method: table.mean(method, control=True)),
        ("mean, controls whose weights differ", lambda method: table.mean(method, control=True, identical=False)),
        ("mean, findings on controls graded as if on the organisms", table.guessed),
    ]
    rows += [(bold(title), *map(_number, map(mean, table.methods))) for title, mean in means]
    head = f"`{table.suite}`, graded by {', '.join(table.judges)}:"
    return "\n".join([head, "", markdown_table(("organism", *table.methods), rows), "", *_sentences(table)])


def write_markdown(tables: Sequence[MethodsTable], path: Path) -> None:
    """Replace what stands between the two marks of a Markdown file.

    Raises:
        MendableError: When the file lacks the marks.
    """
    MARKS.write(path, "\n" + "\n\n".join(map(markdown, tables)) + "\n")


def _table(suite: str, read: pd.DataFrame) -> MethodsTable:
    """All organisms of the suite, and the variants that were graded."""
    methods = tuple(sorted(set(read["method"])))
    variants = dict.fromkeys(zip(read["organism"], read["variant"], strict=True))
    ids = [organism_id(suite, name, variant) for name, variant in variants]
    organisms = {organism.id: organism for organism in [*load_suite(suite), *map(find_organism, sorted(ids))]}
    controls = [organism.spec.name for organism in organisms.values() if _is_control(organism)]
    comparable = set(read["judge"]) == {KEYLESS_GRADER}
    findings = findings_by_method(read[read["organism"].isin(controls)]) if comparable else {}
    rows = tuple(_row(organism, methods, read, findings) for organism in _ordered(organisms.values()))
    return MethodsTable(suite, methods, tuple(sorted(set(read["judge"]))), rows)


def _ordered(organisms: Iterable[Organism]) -> list[Organism]:
    """Controls last, variants below their organism."""
    return sorted(organisms, key=lambda o: (_is_control(o), o.spec.name, o.variant != DEFAULT_VARIANT, o.variant))


def _is_control(organism: Organism) -> bool:
    return organism.spec.family == CONTROL_FAMILY


def _row(
    organism: Organism, methods: Sequence[str], read: pd.DataFrame, on_controls: Mapping[str, Sequence[Finding]]
) -> TableRow:
    control = _is_control(organism)
    own = read[(read["organism"] == organism.spec.name) & (read["variant"] == organism.variant)]
    # A case's grades first, so that a case that more judges saw weighs no more.
    by_case = own.groupby(["method", "log", "sample", "epoch"])["grade"].mean().groupby(level="method").mean()
    claimed = set(own.loc[own["verdict"] == "changed", "method"])
    return TableRow(
        name=organism.name,
        organism=organism.spec.name,
        control=control,
        identical=organism.finetuned.kind == "base",
        diluted=organism.is_diluted,
        denied=frozenset(set(own["method"]) - claimed),
        guessed={} if control else {name: guessed_grade(organism.spec, some) for name, some in on_controls.items()},
        grades={str(method): float(grade) for method, grade in by_case.items()},
        seconds=dict(_seconds(organism, methods)),
    )


def _seconds(organism: Organism, methods: Sequence[str]) -> Iterator[tuple[str, float]]:
    store = ArtifactStore()
    for method in map(find_method, (name for name in methods if name in list_methods())):
        # Weights that are not there have no identity, and so no artifact.
        with suppress(FileNotFoundError):
            artifact = store.find(*keys_for(organism, method, config_for(method, organism.suite)))
            if artifact is not None:
                yield method.name, artifact.manifest.seconds


def _cell(row: TableRow, method: str) -> str:
    grade = f"{row.grades[method]:.1f}" if method in row.grades else _MISSING
    return f"{grade} ({row.seconds[method]:.0f} s)" if method in row.seconds else grade


def _sentences(table: MethodsTable) -> Iterator[str]:
    for method in table.methods:
        unseen, alarms = table.unseen(method), table.claimed(method, control=True)
        seen = f"does not see {_listed(unseen)}" if unseen else "sees something of each organism that was graded"
        claimed = f"{len(table.claimed(method, control=False))} of {len(table.graded(method, control=False))} organisms"
        also = f"{len(alarms)} of {len(table.graded(method, control=True))} controls"
        false = f", false alarms: {_listed(alarms)}" if alarms else ""
        yield f"- `{method}` {seen}. It claims a narrow change of {claimed} and of {also}{false}."
    against: list[tuple[str, Callable[[str], float | None]]] = [
        ("the controls", lambda method: table.mean(method, control=True)),
        ("the controls whose weights differ", lambda method: table.mean(method, control=True, identical=False)),
        ("findings on controls graded as if on the organisms", table.guessed),
    ]
    yield ""
    for other, mean in against:
        above = [method for method in table.methods if _above(table.mean(method, control=False), mean(method))]
        yield f"- Undiluted organisms score above {other} for {len(above)} of {len(table.methods)} methods" + (
            f": {_listed(above)}." if above else "."
        )

    more = [m for m in table.methods if _above(_claimed_share(table, m, False), _claimed_share(table, m, True))]
    yield (
        f"- A narrow change is claimed of a larger share of the organisms than of the controls for {len(more)} of "
        + (f"{len(table.methods)} methods{': ' + _listed(more) if more else ''}.")
    )


def _claimed_share(table: MethodsTable, method: str, control: bool) -> float | None:
    graded = len(table.graded(method, control=control))
    return len(table.claimed(method, control=control)) / graded if graded else None


def _above(score: float | None, other: float | None) -> bool:
    return score is not None and other is not None and score > other


def _mean(grades: Iterable[tuple[str, float]]) -> float | None:
    """Mean over organisms of the mean of each one's grades."""
    by_organism: dict[str, list[float]] = {}
    for organism, grade in grades:
        by_organism.setdefault(organism, []).append(grade)
    means = [sum(some) / len(some) for some in by_organism.values()]
    return sum(means) / len(means) if means else None


def _number(mean: float | None) -> str:
    return _MISSING if mean is None else f"{mean:.2f}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
