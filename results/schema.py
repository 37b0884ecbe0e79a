"""The grades frame: its columns, the check of its values and its parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..records.errors import MendableError, MissingError
from ..records.finding import Verdict
from ..records.names import NO_HINTS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "CONTROL_FAMILY", "check_frame", "load_frame", "save_frame"]

CONTROL_FAMILY = "null"
"""Family of the organisms that have no narrow behaviour to be found."""

_VERDICTS: tuple[str, ...] = get_args(Verdict)

COLUMNS: dict[str, str] = {
    "log": "string",
    "sample": "string",
    "epoch": "int64",
    "suite": "string",
    "organism": "string",
    "family": "string",
    "variant": "string",
    "method": "string",
    "agent": "string",
    "agent_model": "string",
    "interactions": "int64",
    "framing": "string",
    "blind": "bool",
    "hints": "string",
    "judge": "string",
    "judge_repeat": "int64",
    "grade": "int64",
    "fact_recall": "float64",
    "verdict": "string",
    "confidence": "float64",
    "interactions_used": "Int64",
    "tokens": "int64",
    "cost": "float64",
    "seconds": "float64",
    "error": "string",
}
"""Column -> pandas dtype; one row is one grade."""

_OPTIONAL = {"fact_recall", "verdict", "confidence", "interactions_used", "cost", "seconds", "error"}
_RANGES = {
    "grade": (1, 5),
    "fact_recall": (0, 1),
    "confidence": (0, 1),
    "epoch": (1, float("inf")),
    "interactions": (0, float("inf")),
    "interactions_used": (0, float("inf")),
    "tokens": (0, float("inf")),
    "cost": (0, float("inf")),
    "seconds": (0, float("inf")),
}
# Casts that refuse what the plain dtype would truncate or accept silently.
_STRICT = {"int64": "Int64", "bool": "boolean"}


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


def _cast(column: pd.Series, dtype: str) -> pd.Series:
    from pandas.api.types import pandas_dtype

    strict = _STRICT.get(dtype, dtype)
    try:
        cast = column.astype(pandas_dtype(strict))
    except (TypeError, ValueError) as error:
        raise MendableError(f"column {column.name}: {_first_misfit(column, strict)!r} is not {dtype}") from error
    if str(column.name) not in _OPTIONAL and cast.isna().any():
        raise MendableError(f"column {column.name}: row {int(cast.isna().argmax())} has no value; it is required")
    final: pd.Series = cast.astype(pandas_dtype(dtype))
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
