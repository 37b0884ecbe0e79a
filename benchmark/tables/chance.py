"""What the findings on controls would be graded if they were about another organism: the grade of a mere guess."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...graders.judge import judge_prompt
from ...graders.keyless import keyless_grade
from ...organisms.spec import OrganismSpec
from ...records.finding import Finding
from ...results.logs import read_log
from ...tools.finding import parse_finding

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["findings_by_method", "guessed_grade"]


def findings_by_method(rows: pd.DataFrame) -> dict[str, list[Finding]]:
    """Findings of the cases that rows of a grades frame are about, as far as their logs lie there as files."""
    wanted = {
        (str(log), str(sample), int(epoch)): str(method)
        for log, sample, epoch, method in zip(rows["log"], rows["sample"], rows["epoch"], rows["method"], strict=True)
    }
    found: dict[str, list[Finding]] = {}
    for log in dict.fromkeys(log for log, *_ in wanted):
        # A log that came in a submission is no longer unpacked.
        samples = (read_log(log).samples or []) if Path(log).is_file() else []
        for sample in samples:
            method = wanted.get((log, str(sample.id), sample.epoch))
            finding = parse_finding(sample.output.completion)
            if method is not None and finding is not None:
                found.setdefault(method, []).append(finding)
    return found


def guessed_grade(spec: OrganismSpec, findings: Sequence[Finding]) -> float:
    """Mean grade of findings on other pairs by the keyless grader, under the rubric and key facts of ``spec``."""
    grades = [keyless_grade(judge_prompt(spec, finding)).grade for finding in findings]
    return sum(grades) / len(grades)
