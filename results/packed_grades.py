"""Grades without their logs: a grades frame as parquet, with what tells attempts at the same case apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..records.errors import MendableError
from .rows import Grade, GradeRow
from .schema import COLUMNS, check_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_packed", "save_packed"]

_ATTEMPT = "attempt"


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
    for row, attempt in zip(_rows(check_frame(frame.drop(columns=_ATTEMPT))), attempts, strict=True):
        if (log := row["log"]) in grades:
            grades[log].append(Grade(row, task_ids[log], attempt))
    return grades


def _rows(checked: pd.DataFrame) -> list[GradeRow]:
    return cast("list[GradeRow]", checked.to_dict("records"))
