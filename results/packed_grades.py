"""Grades without their logs: a grades frame as parquet, with what tells attempts at the same case apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .schema import COLUMNS, check_frame

__all__ = ["PackedGrade", "load_packed", "save_packed"]

PackedGrade = tuple[dict[str, Any], tuple[object, ...], str | None]
"""Row of the grades frame; case: task id, sample, epoch, agent, agent model; attempt."""

_ATTEMPT = "attempt"
_CASE = ["sample", "epoch", "agent", "agent_model"]


def save_packed(rows: list[dict[str, Any]], attempts: list[str | None], path: Path) -> None:
    """Write rows of the grades frame, in their order, with the attempt of each.

    Raises:
        ValueError: When the rows make no grades frame.
    """
    import pandas as pd

    frame = check_frame(pd.DataFrame(rows, columns=list(COLUMNS)))
    frame.assign(**{_ATTEMPT: pd.Series(attempts, dtype="string")}).to_parquet(path, index=False)


def load_packed(path: Path, task_ids: dict[str, str]) -> dict[str, list[PackedGrade]]:
    """Grades by log, of the logs in ``task_ids`` (log -> its task id).

    Raises:
        ValueError: When the file holds no packed grades.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path)
    except pa.ArrowException as error:
        raise ValueError(f"no parquet file: {error}") from error
    if _ATTEMPT not in frame.columns:
        raise ValueError(f"no column {_ATTEMPT!r}: these are no packed grades")
    attempts = [None if pd.isna(value) else str(value) for value in frame[_ATTEMPT]]
    checked = check_frame(frame.drop(columns=_ATTEMPT))
    grades: dict[str, list[PackedGrade]] = {log: [] for log in task_ids}
    for row, attempt in zip(checked.to_dict("records"), attempts, strict=True):
        if (log := row["log"]) in grades:
            case = (task_ids[log], *(row[name] for name in _CASE))
            grades[log].append(({str(name): value for name, value in row.items()}, case, attempt))
    return grades
