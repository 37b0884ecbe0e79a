"""The script ``performance/faults.py``, scaled down: every kind of fault, one SIGKILL, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = 24


@pytest.mark.smol
def test_no_case_is_lost_when_providers_fail_and_the_run_is_killed(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    paths = os.pathsep.join([str(ROOT / "tests" / "support"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "performance/faults.py", "--cases", str(CASES), "--kills", "1", "--json", str(written)],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(written.read_text(encoding="utf-8"))
    assert figures["cases"] == figures["samples"] == CASES
    assert figures["findings"] + figures["refusals"] == CASES
    assert figures["grades"] + figures["reasons"] == CASES
    assert figures["rows_in_frame"] == figures["grades"]
    assert figures["rows_twice"] == figures["errors"] == figures["refused_by_server"] == 0
    assert len(figures["samples_logged_at_kills"]) == 1
    assert figures["samples_logged_at_kills"][0] < CASES
    assert len(figures["faults"]) > 8
