"""The check of a grades frame and its parquet file."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from diffbench.results.schema import COLUMNS, check_frame, load_frame, save_frame


def test_parquet_round_trip(tmp_path, row, frame):
    rows = frame(
        row("a", 5, error="broke", cost=0.25, fact_recall=0.5),
        row("b", 1, verdict=None, confidence=math.nan, interactions_used=None, seconds=math.nan),
    )
    path = save_frame(rows, tmp_path / "grades.parquet")
    loaded = load_frame(path)
    pd.testing.assert_frame_equal(loaded, check_frame(rows))
    assert {name: str(dtype) for name, dtype in loaded.dtypes.items()} == COLUMNS
    assert loaded["interactions_used"].isna().tolist() == [False, True]


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_frame"):
        load_frame(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ValueError, match="is no parquet file"):
        load_frame(tmp_path / "text.parquet")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("grade", 0, "column grade: row 1 has 0; allowed is 1 to 5"),
        ("grade", 2.5, "column grade: 2.5 is not int64"),
        ("grade", "four", "column grade: 'four' is not int64"),
        ("grade", None, "column grade: row 1 has no value"),
        ("fact_recall", 1.5, "column fact_recall: row 1 has 1.5"),
        ("confidence", -0.1, "column confidence: row 1 has -0.1"),
        ("verdict", "maybe", "column verdict: 'maybe' is none of changed"),
        ("blind", "yes", "column blind: 'yes' is not bool"),
        ("organism", None, "column organism: row 1 has no value"),
        ("tokens", -1, "column tokens: row 1 has -1"),
    ],
)
def test_bad_value_is_named(row, frame, column, value, message):
    with pytest.raises(ValueError, match=message):
        check_frame(frame(row("a", 3), row("a", 3) | {column: value}))


def test_columns_are_checked(row, frame):
    with pytest.raises(ValueError, match=r"missing columns \['grade'\], unknown columns \['score'\]"):
        check_frame(frame(row("a", 3)).rename(columns={"grade": "score"}))


def test_a_frame_from_before_there_were_hints_had_none(tmp_path, row, frame):
    old = frame(row("a", 3)).drop(columns="hints")
    old.to_parquet(tmp_path / "old.parquet", index=False)
    assert load_frame(tmp_path / "old.parquet")["hints"].tolist() == ["none"]
