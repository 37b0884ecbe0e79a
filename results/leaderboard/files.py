"""The leaderboard as JSON and CSV, unrounded."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from ...records.strict_json import null_for_nan, strict_json
from .ranking import Leaderboard

__all__ = ["leaderboard_csv", "leaderboard_json"]


def leaderboard_json(leaderboard: Leaderboard) -> str:
    """Everything, unrounded; what cannot be computed is null."""
    rows = [asdict(row) | {"is_baseline": row.is_baseline} for row in leaderboard.rows]
    data = asdict(leaderboard) | {"rows": rows}
    if stability := leaderboard.stability:
        data["stability"] |= {"same_best": stability.same_best, "same_order": stability.same_order}
    return strict_json(data)


def leaderboard_csv(leaderboard: Leaderboard) -> str:
    """One row a method, unrounded; what cannot be computed is empty."""
    rows = [dict(_flat("", asdict(row) | {"baselines": " ".join(row.baselines)})) for row in leaderboard.rows]
    names = dict.fromkeys(name for row in rows for name in row)
    # A gap or consistency that one row lacks is one empty column where another has several.
    kept = [name for name in names if not any(other.startswith(f"{name}_") for other in names)]
    text = io.StringIO()
    writer = csv.DictWriter(text, kept, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: null_for_nan(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _flat(prefix: str, value: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, item in value.items():
        name = f"{prefix}_{key}" if prefix else key
        if isinstance(item, dict):
            yield from _flat(name, item)
        else:
            yield name, item
