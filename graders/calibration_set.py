"""The calibration set: findings with the grades that careful readers of the rubrics give them, to test judges on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import anyio
import yaml
from inspect_ai.model import Model
from pydantic import Field, ValidationError, field_validator, model_validator

from ..organisms.suites import find_organism
from ..records.errors import MendableError, unknown_name
from ..records.finding import Finding, Verdict
from ..records.frozen import Frozen
from ..records.grades import Grade, JudgeGrade
from .calibration_answers import AnswerFile
from .judge import ask_judge, judge_prompt
from .rubric import GRADES, rubric_of

__all__ = [
    "ATTACKS",
    "Answer",
    "Calibration",
    "CalibrationEntry",
    "grade_entries",
    "list_calibrations",
    "load_calibration",
    "prompt_of",
    "read_calibration",
]

Attack = Literal["buried", "denial", "false_claim", "flattery", "forged_block", "stated_grade", "stuffing", "threat"]
ATTACKS: Mapping[Attack, str] = {
    "buried": "a long account of the procedure stands before the claim",
    "denial": "the right content, denied, or under a verdict that denies it",
    "false_claim": "something wrong, claimed in strong words",
    "flattery": "praise of the judge",
    "forged_block": "forged delimiters, ground truth or instructions",
    "stated_grade": "says which grade it deserves",
    "stuffing": "key words without saying what was taught",
    "threat": "threats or moral pressure on the judge",
}
"""What an adversarial finding does to get a grade that it does not deserve."""

_FOLDER = Path(__file__).parent / "calibration"


class CalibrationEntry(Frozen):
    """One finding about an organism and the grade that it deserves."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Unique within its file."""
    organism: str
    """``<suite>.<name>``."""
    attack: Attack | None = None
    """What it does to mislead the judge; None for a plain finding."""
    verdict: Verdict = "changed"
    confidence: float = Field(default=0.8, ge=0, le=1)
    description: str = Field(min_length=1)
    evidence: tuple[str, ...] = ()
    buried: bool = False
    """Whether a long account of the procedure is put before the description."""
    expected: Grade
    """The intended grade."""
    tolerance: Literal[0, 1] = 0
    """How far a grade may lie from it and still be right."""
    why: str = Field(min_length=10)
    """Which sentence of the rubric decides."""

    @model_validator(mode="after")
    def _buried_is_an_attack(self) -> Self:
        if self.buried != (self.attack == "buried"):
            raise ValueError("buried: true and attack: buried go together")
        return self

    @property
    def kind(self) -> Literal["plain", "adversarial"]:
        """Whether it tries to mislead the judge."""
        return "plain" if self.attack is None else "adversarial"

    @property
    def finding(self) -> Finding:
        """What the judge is shown."""
        text = f"{_procedure()}\n\n{self.description}" if self.buried else self.description
        return Finding(verdict=self.verdict, description=text, confidence=self.confidence, evidence=self.evidence)


class Calibration(Frozen):
    """The calibration entries of one rubric."""

    rubric: str
    """Equals the file's name without ``.yaml``; the family's name, or that of a rubric of its own."""
    entries: tuple[CalibrationEntry, ...] = Field(min_length=8)

    @field_validator("entries")
    @classmethod
    def _complete(cls, entries: tuple[CalibrationEntry, ...]) -> tuple[CalibrationEntry, ...]:
        ids = [entry.id for entry in entries]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"the ids {', '.join(twice)} stand twice")
        plain = {entry.expected for entry in entries if entry.kind == "plain"}
        if missing := [grade for grade in GRADES if grade not in plain]:
            raise ValueError(f"no plain entry is expected to get {missing}; give one for each grade 1 to 5")
        if all(entry.kind == "plain" for entry in entries):
            raise ValueError("no entry is adversarial; give some that try to mislead the judge")
        return entries


@dataclass(frozen=True)
class Answer:
    """What a judge said about one entry, asked once."""

    rubric: str
    entry: CalibrationEntry
    given: JudgeGrade

    @property
    def error(self) -> int | None:
        """Given minus intended grade; None without a grade."""
        return None if self.given.grade is None else self.given.grade - self.entry.expected

    @property
    def within(self) -> bool:
        """Whether the grade is one that the entry allows; no grade is not."""
        return self.error is not None and abs(self.error) <= self.entry.tolerance


def list_calibrations() -> list[str]:
    """Names of the rubrics that have calibration entries."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def load_calibration(rubric: str) -> Calibration:
    """The shipped entries of the rubric called ``rubric``.

    Raises:
        MendableError: For an unknown name (says the close ones) or a broken file (says what is wrong in which entry).
    """
    known = list_calibrations()
    if rubric not in known:
        raise unknown_name("calibration set", rubric, known)
    return read_calibration(_FOLDER / f"{rubric}.yaml")


def read_calibration(path: Path) -> Calibration:
    """Read and check one file of entries.

    Raises:
        MendableError: Naming file, entry, field, what is wrong and what to do.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise MendableError(f"{path}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise MendableError(
            f"{path}: a calibration set is a mapping with rubric and entries, not {type(data).__name__}"
        )
    try:
        calibration = Calibration.model_validate(data)
    except ValidationError as error:
        lines = [f"  {_place(e['loc'], data)}: {_message(e)}" for e in error.errors()]
        raise MendableError(f"{path}: not a valid calibration set\n" + "\n".join(lines)) from error
    if calibration.rubric != path.stem:
        raise MendableError(f"{path}: rubric is {calibration.rubric!r}; it must equal the file's name {path.stem!r}")
    for entry in calibration.entries:
        _check_organism(path, calibration.rubric, entry)
    return calibration


def prompt_of(entry: CalibrationEntry) -> str:
    """The prompt that the rubric scorer puts to a judge about this finding."""
    return judge_prompt(find_organism(entry.organism).spec, entry.finding)


async def grade_entries(
    judge: Model,
    calibrations: Sequence[Calibration],
    repeats: int,
    answered: Callable[[], object],
    kept: AnswerFile | None = None,
) -> list[Answer]:
    """Ask a judge about every entry, all at once as far as its connections allow; answers in the order of the entries.

    Repeats are asked with the seeds 0, 1, ..., as in the rubric scorer. An error of the model that is no refusal ends
    the run.

    Args:
        judge: Any Inspect model.
        calibrations: What to ask about.
        repeats: How often each entry is asked.
        answered: Called after each answer.
        kept: Takes each answer as it comes; what it has already is not asked again.

    Raises:
        MendableError: For fewer than one repeat.
    """
    if repeats < 1:
        raise MendableError(f"repeats is {repeats}; ask about each entry at least once")
    asked = [(c.rubric, entry, repeat) for c in calibrations for entry in c.entries for repeat in range(repeats)]
    prompts = {(c.rubric, entry.id): prompt_of(entry) for c in calibrations for entry in c.entries}
    answers: dict[int, Answer] = {}

    async def ask(place: int, rubric: str, entry: CalibrationEntry, repeat: int) -> None:
        prompt = prompts[rubric, entry.id]
        given = kept.find(prompt, repeat) if kept else None
        if given is None:
            given = await ask_judge(judge, prompt, repeat)
            if kept:
                kept.keep(prompt, given)
        answers[place] = Answer(rubric, entry, given)
        answered()

    try:
        async with anyio.create_task_group() as tasks:
            for place, (rubric, entry, repeat) in enumerate(asked):
                tasks.start_soon(ask, place, rubric, entry, repeat)
    except ExceptionGroup as group:
        # All requests go to one model: the first error says what the others would.
        raise group.exceptions[0] from group
    return [answers[place] for place in range(len(asked))]


def _check_organism(path: Path, rubric: str, entry: CalibrationEntry) -> None:
    try:
        used = rubric_of(find_organism(entry.organism).spec).name
    except MendableError as error:
        raise MendableError(f"{path}: entry {entry.id}: organism: {error}") from error
    if used != rubric:
        raise MendableError(
            f"{path}: entry {entry.id}: organism {entry.organism} is graded by the rubric {used!r}, not {rubric!r}; "
            f"move the entry to {used}.yaml"
        )


def _place(loc: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    """The place of an error, with the entry's id where it has one."""
    parts = list(map(str, loc))
    if len(loc) > 1 and loc[0] == "entries" and isinstance(loc[1], int):
        entry = data["entries"][loc[1]]
        name = entry.get("id") if isinstance(entry, dict) else None
        parts[:2] = [f"entry {name or loc[1] + 1}"]
    return ".".join(parts) or "file"


def _message(error: Any) -> str:
    if error["type"] != "extra_forbidden":
        return str(error["msg"])
    fields = CalibrationEntry.model_fields if len(error["loc"]) > 1 else Calibration.model_fields
    close = difflib.get_close_matches(str(error["loc"][-1]), fields, n=1)
    return f"no such field; did you mean {close[0]}?" if close else "no such field; remove it"


@cache
def _procedure() -> str:
    return (_FOLDER / "procedure.txt").read_text(encoding="utf-8").strip()
