"""The grades frame: its rows and columns, the check of its values, and its parquet files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypedDict, cast, get_args, get_type_hints

from pydantic import ConfigDict

from ..records.errors import MendableError, MissingError
from ..records.finding import Verdict
from ..records.names import NO_HINTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "CONTROL_FAMILY",
    "FINDING",
    "ORGANISM",
    "Grade",
    "GradeRow",
    "LeftOut",
    "check_frame",
    "grades_in",
    "load_frame",
    "load_packed",
    "save_frame",
    "save_packed",
]

CONTROL_FAMILY = "null"
"""Family of the organisms that have no narrow behaviour to be found."""

FINDING = ["log", "sample", "epoch"]
"""The columns that tell findings apart."""
ORGANISM = ["suite", "organism"]
"""The columns that tell organisms apart."""


class GradeRow(TypedDict):
    """A row of the grades frame. All but judge, repeat and grade is shared by the grades of a finding."""

    log: str
    sample: str
    epoch: int
    suite: str
    organism: str
    """Name without suite and variant: variants of one organism share its ground truth and are one cluster."""
    family: str
    variant: str
    method: str
    agent: str
    agent_model: str
    interactions: int
    framing: str
    blind: bool
    hints: str
    judge: str
    judge_repeat: int
    grade: int
    fact_recall: float | None
    verdict: str | None
    confidence: float | None
    interactions_used: int | None
    tokens: int
    cost: float | None
    """US dollars."""
    seconds: float | None
    error: str | None


_DTYPES: dict[object, str] = {
    str: "string",
    int: "int64",
    bool: "bool",
    str | None: "string",
    int | None: "Int64",
    float | None: "float64",
}
_TYPES = get_type_hints(GradeRow)
COLUMNS = {name: _DTYPES[kind] for name, kind in _TYPES.items()}
"""Column -> pandas dtype; one row is one grade."""

_RANGES = {"grade": (1, 5), "fact_recall": (0, 1), "confidence": (0, 1), "epoch": (1, math.inf)}
_RANGES |= dict.fromkeys(("interactions", "interactions_used", "tokens", "cost", "seconds"), (0, math.inf))
# Casts that refuse what the plain dtype would truncate or accept silently.
_STRICT = {"int64": "Int64", "bool": "boolean"}
_VERDICTS: tuple[str, ...] = get_args(Verdict)
_ATTEMPT = "attempt"
"""The column that packed grades have besides."""


@dataclass(frozen=True)
class Grade:
    """One row with what tells duplicates: the case within its run, and the attempt at it."""

    row: GradeRow
    task_id: str
    """Of the run: a retry keeps it, alone or in an eval set, and so does a re-scored copy."""
    attempt: str | None

    @property
    def case(self) -> tuple[object, ...]:
        """What attempts at one case share."""
        row = self.row
        return (self.task_id, row["sample"], row["epoch"], row["agent"], row["agent_model"])

    @property
    def key(self) -> tuple[object, ...]:
        """What no two rows of a frame share."""
        return (*self.case, self.row["judge"], self.row["judge_repeat"])


@dataclass(frozen=True)
class LeftOut:
    """Something that was read and is not, or not wholly, in the frame."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    log: str
    sample: str | None
    """None when it concerns the whole log."""
    reason: str


def check_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy of ``frame`` with the columns of `COLUMNS` in their order and dtypes; ``hints`` may be missing.

    Raises:
        MendableError: Naming the column and the value that does not fit.
    """
    if "hints" not in frame.columns:
        frame = frame.assign(hints=NO_HINTS)
    missing = [name for name in COLUMNS if name not in frame.columns]
    extra = [str(name) for name in frame.columns if name not in COLUMNS]
    if missing or extra:
        raise MendableError(
            f"not a grades frame: missing columns {missing}, unknown columns {extra}; make one with grades_frame(logs)"
        )
    checked = frame[list(COLUMNS)].reset_index(drop=True)
    for name, dtype in COLUMNS.items():
        checked[name] = _cast(checked[name], dtype)
        _check_range(checked[name])
    bad = checked["verdict"].notna() & ~checked["verdict"].isin(_VERDICTS)
    if bad.any():
        raise MendableError(
            f"column verdict: {checked.loc[bad, 'verdict'].iloc[0]!r} is none of {', '.join(_VERDICTS)}"
        )
    return checked


def grades_in(frame: pd.DataFrame) -> pd.DataFrame:
    """The checked frame, as `check_frame`, which holds grades.

    Raises:
        MendableError: For a frame that is empty or no grades frame.
    """
    frame = check_frame(frame)
    if frame.empty:
        raise MendableError("the grades frame is empty; make one with grades_frame(logs)")
    return frame


def save_frame(frame: pd.DataFrame, path: str | Path) -> Path:
    """Check ``frame`` and write it as parquet; returns the path.

    Raises:
        MendableError: When it is no grades frame.
    """
    path = Path(path)
    check_frame(frame).to_parquet(path, index=False)
    return path


def load_frame(path: str | Path) -> pd.DataFrame:
    """Read and check a grades frame that `save_frame` wrote.

    Raises:
        MissingError: When there is no such file.
        MendableError: When it is no parquet file, or holds no grades frame.
    """
    import pandas as pd
    import pyarrow as pa

    if not Path(path).is_file():
        raise MissingError(f"no grades frame at {path}; write one with save_frame(grades_frame(logs).frame, path)")
    try:
        frame = pd.read_parquet(path)
    except pa.ArrowInvalid as error:
        raise MendableError(f"{path} is no parquet file: {error}") from error
    return check_frame(frame)


def save_packed(grades: Sequence[Grade], path: Path) -> None:
    """Write the rows of grades, in their order, with the attempt of each.

    Raises:
        MendableError: When the rows make no grades frame.
    """
    import pandas as pd

    frame = check_frame(pd.DataFrame([grade.row for grade in grades], columns=list(COLUMNS)))
    attempts = pd.Series([grade.attempt for grade in grades], dtype="string")
    frame.assign(**{_ATTEMPT: attempts}).to_parquet(path, index=False)


def load_packed(path: Path, task_ids: dict[str, str]) -> dict[str, list[Grade]]:
    """Grades by log, of the logs in ``task_ids`` (log -> its task id).

    Raises:
        MendableError: When the file holds no packed grades.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path)
    except pa.ArrowException as error:
        raise MendableError(f"no parquet file: {error}") from error
    if _ATTEMPT not in frame.columns:
        raise MendableError(f"no column {_ATTEMPT!r}: these are no packed grades")
    attempts = [None if pd.isna(value) else str(value) for value in frame[_ATTEMPT]]
    grades: dict[str, list[Grade]] = {log: [] for log in task_ids}
    rows = cast("list[GradeRow]", check_frame(frame.drop(columns=_ATTEMPT)).to_dict("records"))
    for row, attempt in zip(rows, attempts, strict=True):
        if (log := row["log"]) in grades:
            grades[log].append(Grade(row, task_ids[log], attempt))
    return grades


def _cast(column: pd.Series, dtype: str) -> pd.Series:
    from pandas.api.types import pandas_dtype

    strict = _STRICT.get(dtype, dtype)
    try:
        converted = column.astype(pandas_dtype(strict))
    except (TypeError, ValueError) as error:
        raise MendableError(f"column {column.name}: {_first_misfit(column, strict)!r} is not {dtype}") from error
    if converted.isna().any() and type(None) not in get_args(_TYPES[str(column.name)]):
        raise MendableError(f"column {column.name}: row {int(converted.isna().argmax())} has no value; it is required")
    final: pd.Series = converted.astype(pandas_dtype(dtype))
    return final


def _first_misfit(column: pd.Series, dtype: str) -> object:
    import pandas as pd
    from pandas.api.types import pandas_dtype

    for value in column:
        try:
            pd.Series([value], dtype=object).astype(pandas_dtype(dtype))
        except (TypeError, ValueError):
            return value
    return column.dtype


def _check_range(column: pd.Series) -> None:
    if column.name not in _RANGES:
        return
    low, high = _RANGES[str(column.name)]
    bad = column.notna() & ~column.between(low, high)
    if bad.any():
        row = int(bad.argmax())
        raise MendableError(f"column {column.name}: row {row} has {column.iloc[row]}; allowed is {low} to {high}")
