from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from diffbench.results.agreement import Drift, JudgeAgreement, agreement, ordinal_alpha, quadratic_kappa

Table = Sequence[Sequence[int | None]]

# Four observers and twelve units: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D.
KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


def units_of(text: str) -> list[list[int | None]]:
    observers = [[None if mark == "." else int(mark) for mark in line.split()] for line in text.split("\n") if line]
    return [list(unit) for unit in zip(*observers, strict=True)]


def as_array(table: Table) -> np.ndarray:
    return np.array([[math.nan if grade is None else grade for grade in row] for row in table], dtype=float)


def alpha_from_the_definition(table: Table) -> float:
    """Observed over expected disagreement, pair by pair, with the coincidence matrix filled in by hand."""
    coincidences: Counter[tuple[int, int]] = Counter()
    for row in table:
        given = [grade for grade in row if grade is not None]
        for i, one in enumerate(given):
            for j, other in enumerate(given):
                if i != j:
                    coincidences[one, other] += 1 / (len(given) - 1)
    values = sorted({one for one, _ in coincidences})
    margin = {value: sum(coincidences[value, other] for other in values) for value in values}

    def distance(one: int, other: int) -> float:
        low, high = sorted((one, other))
        between = sum(margin[value] for value in values if low <= value <= high)
        return (between - (margin[low] + margin[high]) / 2) ** 2

    n = sum(margin.values())
    observed = sum(count * distance(*pair) for pair, count in coincidences.items()) / n
    expected = sum(margin[a] * margin[b] * distance(a, b) for a in values for b in values) / (n * (n - 1))
    return 1 - observed / expected


def kappa_from_the_table(one: Sequence[int], other: Sequence[int]) -> float:
    """Weighted kappa from the 5 x 5 table of shares, with weights (i - j)^2 / 16."""
    n, grades = len(one), range(1, 6)
    joint, first, second = Counter(zip(one, other, strict=True)), Counter(one), Counter(other)
    weight = {(i, j): (i - j) ** 2 / 16 for i in grades for j in grades}
    observed = sum(weight[pair] * joint[pair] / n for pair in weight)
    expected = sum(weight[i, j] * first[i] / n * second[j] / n for i, j in weight)
    return 1 - observed / expected


def test_alpha_of_the_published_example() -> None:
    measure = ordinal_alpha(as_array(units_of(KRIPPENDORFF)))
    assert round(measure.value, 3) == 0.815
    assert measure.cases == 11  # the last unit has one value and cannot be paired


def test_alpha_of_random_tables_with_gaps_follows_the_definition() -> None:
    draw = random.Random(0)
    for _ in range(30):
        judges, cases = draw.randint(2, 5), draw.randint(4, 20)
        table = [[draw.choice([None, 1, 2, 3, 4, 5]) for _ in range(judges)] for _ in range(cases)]
        table.append([1, 5] + [None] * (judges - 2))
        assert ordinal_alpha(as_array(table)).value == pytest.approx(alpha_from_the_definition(table))


def test_alpha_does_not_depend_on_who_gave_which_grade_or_on_the_spacing_of_grades() -> None:
    table = units_of(KRIPPENDORFF)
    shuffled = [random.Random(1).sample(row, len(row)) for row in table]
    assert ordinal_alpha(as_array(shuffled)).value == pytest.approx(ordinal_alpha(as_array(table)).value)
    stretched = [[None if grade is None else grade**3 for grade in row] for row in table]
    assert ordinal_alpha(as_array(stretched)).value == pytest.approx(ordinal_alpha(as_array(table)).value)


def test_alpha_at_its_ends() -> None:
    assert ordinal_alpha([[1, 1], [3, 3], [5, 5]]).value == pytest.approx(1)
    assert ordinal_alpha([[1, 5], [5, 1]]).value == pytest.approx(alpha_from_the_definition([[1, 5], [5, 1]]))
    same = ordinal_alpha([[3, 3], [3, 3]])
    assert math.isnan(same.value)
    assert same.cases == 2
    assert "all grades are 3" in same.note
    lonely = ordinal_alpha([[3, math.nan], [math.nan, 4]])
    assert math.isnan(lonely.value)
    assert lonely.note == "no case has two grades"
    with pytest.raises(ValueError, match="1 dimensions"):
        ordinal_alpha([1, 2])


def test_kappa_follows_the_table_and_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = random.Random(0)
    for _ in range(30):
        one = [draw.randint(1, 5) for _ in range(draw.randint(5, 40))]
        other = [min(5, max(1, grade + draw.choice([-2, -1, 0, 0, 1]))) for grade in one]
        if len({*one, *other}) < 2:
            continue
        measure = quadratic_kappa(one, other)
        assert measure.value == pytest.approx(kappa_from_the_table(one, other))
        assert measure.value == pytest.approx(metrics.cohen_kappa_score(one, other, weights="quadratic"))


def test_kappa_at_its_ends() -> None:
    assert quadratic_kappa([1, 2, 5], [1, 2, 5]).value == pytest.approx(1)
    assert quadratic_kappa([1, 5], [5, 1]).value == pytest.approx(-1)
    assert "all grades are 4" in quadratic_kappa([4, 4], [4, 4]).note
    assert math.isnan(quadratic_kappa([4, 4], [4, 4]).value)
    assert "fewer than two" in quadratic_kappa([4], [4]).note
    with pytest.raises(ValueError, match="2 grades against 1"):
        quadratic_kappa([1, 2], [1])


Row = Callable[..., dict[str, Any]]


def rows(row: Row, grades: dict[str, Sequence[int | None]], log: str = "a.eval", **columns: Any) -> list[dict]:
    """``{judge: grade of each case}``."""
    return [
        row(f"o{case}", grade, judge=judge, log=log, **columns)
        for judge, given in grades.items()
        for case, grade in enumerate(given)
        if grade is not None
    ]


def judge_of(found: Any, name: str) -> JudgeAgreement:
    return next(judge for judge in found.judges if judge.judge == name)


def test_a_frame_of_three_judges_with_gaps(row: Row) -> None:
    grades = {"j1": [1, 3, 5, 4, 2], "j2": [2, 3, 4, None, 2], "j3": [2, 5, 5, 5, None]}
    found = agreement(pd.DataFrame(rows(row, grades)))
    table = list(zip(*grades.values(), strict=True))
    assert found.alpha.value == pytest.approx(alpha_from_the_definition(table))
    assert found.alpha.cases == 5
    assert [pair.judges for pair in found.pairs] == [("j1", "j2"), ("j1", "j3"), ("j2", "j3")]
    assert found.pairs[0].kappa.value == pytest.approx(kappa_from_the_table([1, 3, 5, 2], [2, 3, 4, 2]))
    assert found.pairs[2].kappa.cases == 3
    # j1 against the mean of the others: 1-2, 3-4, 5-4.5, 4-5, 2-2.
    assert judge_of(found, "j1").severity.value == pytest.approx((-1 - 1 + 0.5 - 1 + 0) / 5)
    assert judge_of(found, "j2").severity.cases == 4
    assert judge_of(found, "j3").mean == pytest.approx(17 / 4)
    assert not found.notes


def test_single_grades_are_the_first_repeats_and_severity_takes_their_mean(row: Row) -> None:
    frame = pd.DataFrame(
        [
            row("a", 1, judge="j1"),
            row("a", 5, judge="j1", judge_repeat=1),
            row("b", 4, judge="j1", judge_repeat=1),  # the first repeat gave no grade
            row("a", 2, judge="j2"),
            row("b", 5, judge="j2"),
        ]
    )
    found = agreement(frame)
    assert found.pairs[0].kappa.value == pytest.approx(kappa_from_the_table([1, 4], [2, 5]))
    # Means of j1: 3 and 4, against 2 and 5.
    assert judge_of(found, "j1").severity.value == pytest.approx(((3 - 2) + (4 - 5)) / 2)
    assert judge_of(found, "j1").grades == 3


def test_repeats_of_one_judge(row: Row) -> None:
    table: Table = [[3, 3, 4], [1, 1, 1], [5, 2, None], [2, None, None]]
    frame = pd.DataFrame(
        [
            row(f"o{case}", grade, judge_repeat=repeat)
            for case, given in enumerate(table)
            for repeat, grade in enumerate(given)
            if grade is not None
        ]
    )
    [judge] = agreement(frame).judges
    # Pairs of equal repeats: 1 of 3, 3 of 3, 0 of 1; the last case has one repeat.
    assert judge.repeat_exact.value == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert judge.repeat_exact.cases == 3
    assert judge.repeat_alpha.value == pytest.approx(alpha_from_the_definition(table))


def test_one_judge_alone_says_what_cannot_be_computed(row: Row) -> None:
    found = agreement(pd.DataFrame(rows(row, {"j1": [1, 4]})))
    [judge] = found.judges
    assert math.isnan(found.alpha.value)
    assert found.alpha.note == "no case has two grades"
    assert found.pairs == ()
    assert judge.severity.note == "no other judge graded the same cases"
    assert judge.repeat_exact.note == judge.repeat_alpha.note == "no case was graded twice by this judge"
    assert judge.drift is None
    assert any("only judge" in note for note in found.notes)


def test_judges_of_different_logs_share_no_case(row: Row) -> None:
    frame = pd.DataFrame(rows(row, {"j1": [1, 4]}) + rows(row, {"j2": [1, 4]}, log="b.eval"))
    found = agreement(frame)
    assert math.isnan(found.pairs[0].kappa.value)
    assert found.pairs[0].kappa.cases == 0
    assert any("--action append" in note for note in found.notes)


def test_cases_without_a_finding_are_left_out(row: Row) -> None:
    graded = rows(row, {"j1": [2, 5], "j2": [4, 1]})
    crashed = [row("crashed", 1, judge=judge, verdict=None) for judge in ("j1", "j2")]
    found = agreement(pd.DataFrame(graded + crashed))
    assert found.alpha.value == pytest.approx(alpha_from_the_definition([[2, 4], [5, 1]]))
    assert any(note.startswith("1 cases without a finding") for note in found.notes)
    with pytest.raises(ValueError, match="no grade of a finding"):
        agreement(pd.DataFrame(crashed))


def test_the_keyless_judge_is_noted(row: Row) -> None:
    found = agreement(pd.DataFrame(rows(row, {"keyless/grader": [2, 5], "j2": [4, 1]})))
    assert any("baseline" in note for note in found.notes)


def test_drift_is_the_slope_of_severity_over_the_logs_in_time(row: Row) -> None:
    # By file name, though the folders sort the other way; log sizes differ.
    logs = {"z/2026-01-01.eval": [1, 2], "a/2026-01-02.eval": [3, 4, 5, 2], "m/2026-01-03.eval": [5, 5, 4]}
    frame = pd.DataFrame(
        [line for log, given in logs.items() for line in rows(row, {"j1": given, "j2": [3] * len(given)}, log=log)]
    )
    found = agreement(frame)
    x = [place for place, given in enumerate(logs.values()) for _ in given]
    y = [grade - 3 for given in logs.values() for grade in given]
    drift = judge_of(found, "j1").drift
    assert drift is not None
    assert drift.slope == pytest.approx(np.polyfit(x, y, 1)[0])
    assert drift.low < drift.slope < drift.high
    assert drift.logs == 3
    assert judge_of(found, "j2").drift.slope == pytest.approx(-drift.slope)
    assert agreement(frame).judges == found.judges


def test_drift_without_spread_within_the_logs_has_no_width(row: Row) -> None:
    frame = pd.DataFrame(
        rows(row, {"j1": [2, 2, 2], "j2": [3, 3, 3]}, log="1.eval")
        + rows(row, {"j1": [5, 5], "j2": [3, 3]}, log="2.eval")
    )
    drift = judge_of(agreement(frame), "j1").drift
    assert drift == Drift(pytest.approx(3), pytest.approx(3), pytest.approx(3), 2)


def test_the_interval_of_drift_is_as_wide_as_the_normal_one(row: Row) -> None:
    # Two logs of 40 cases; the slope is the difference of two means, with a standard error of sd * sqrt(2 / 40).
    draw = np.random.default_rng(0)
    first, second = draw.integers(1, 6, 40), draw.integers(1, 6, 40)
    frame = pd.DataFrame(
        rows(row, {"j1": first.tolist(), "j2": [3] * 40}, log="1.eval")
        + rows(row, {"j1": second.tolist(), "j2": [3] * 40}, log="2.eval")
    )
    drift = judge_of(agreement(frame, resamples=4000), "j1").drift
    error = math.sqrt(first.var() / 40 + second.var() / 40)
    assert drift.slope == pytest.approx(second.mean() - first.mean())
    assert drift.high - drift.low == pytest.approx(2 * 1.6449 * error, rel=0.05)


@pytest.mark.parametrize(("argument", "value"), [("level", 1.0), ("level", 0.0), ("resamples", 0)])
def test_arguments_out_of_range_are_refused(row: Row, argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{argument} is {value}"):
        agreement(pd.DataFrame(rows(row, {"j1": [1, 4]})), **{argument: value})
