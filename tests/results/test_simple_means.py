"""The leaderboard's numbers against hand computation and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from diffbench.results.leaderboard.means import simple_means


@pytest.fixture
def small(row, frame):
    """Organism a: cases 4.5 and 1; b: 2; control quiet: 3, of whose two epochs one raised an alarm."""
    extra = {"sample": "smol.a.adl.blind", "interactions_used": 8}
    return frame(
        row("a", 5, fact_recall=1.0, seconds=10.0),
        row("a", 4, fact_recall=1.0, seconds=10.0, judge="j2"),
        row("a", 1, fact_recall=0.0, seconds=20.0, error="broke", verdict="inconclusive", **extra),
        row("b", 2, fact_recall=0.25, seconds=30.0),
        row("b", 2, fact_recall=0.25, seconds=30.0, judge_repeat=1),
        row("quiet", 4, family="null", seconds=40.0, verdict="changed"),
        row("quiet", 2, family="null", seconds=40.0, verdict="no_narrow_change", epoch=2),
    )


def test_means_by_hand(small):
    [row] = simple_means(small).rows
    assert row.grade == pytest.approx(((4.5 + 1) / 2 + 2 + 3) / 3)
    assert row.grade_narrow == pytest.approx(((4.5 + 1) / 2 + 2) / 2)
    assert row.grade_control == 3
    assert row.false_alarm_rate == 0.5
    assert row.fact_recall == pytest.approx((0.5 + 0.25) / 2)
    assert (row.organisms, row.cases, row.grades, row.errors) == (3, 4, 7, 1)
    assert row.interactions_used == pytest.approx((2 + 8 + 2 + 2 + 2) / 5)
    assert row.seconds == pytest.approx((10 + 20 + 30 + 40 + 40) / 5)
    assert [(o.organism, o.control, o.grade) for o in row.organism_grades] == [
        ("smol.a", False, 2.75),
        ("smol.b", False, 2.0),
        ("smol.quiet", True, 3.0),
    ]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_interval_against_all_27_resamples(small, level):
    means = sorted(sum(drawn) / 3 for drawn in itertools.product([2.75, 2.0, 3.0], repeat=3))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    [row] = simple_means(small, resamples=20_000, level=level).rows
    assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))


def test_interval_has_the_bootstrap_standard_error(row, frame):
    # For many organisms the interval nears mean +- 1.645 sd / sqrt(n), sd with denominator n.
    values = [1, 2, 3, 4, 5] * 40
    [result] = simple_means(frame(*(row(f"o{i}", v) for i, v in enumerate(values)))).rows
    half = 1.645 * np.std(values) / math.sqrt(len(values))
    assert result.low == pytest.approx(3 - half, abs=0.02)
    assert result.high == pytest.approx(3 + half, abs=0.02)


def test_one_organism_has_no_interval(row, frame):
    found = simple_means(frame(row("a", 3), row("a", 4, epoch=2)))
    assert math.isnan(found.rows[0].low)
    assert math.isnan(found.rows[0].high)
    assert math.isnan(found.rows[0].false_alarm_rate)
    assert math.isnan(found.rows[0].grade_control)
    assert math.isnan(found.rows[0].fact_recall)
    assert any("one organism only" in note for note in found.notes)


def test_seed_and_order_do_not_matter_to_other_rows(small, row, frame):
    [alone] = simple_means(small).rows
    both = simple_means(frame(*small[::-1].to_dict("records"), row("a", 5, method="kl"), row("b", 5, method="kl")))
    assert [r.method for r in both.rows] == ["kl", "adl"]
    assert both.rows[1] == alone
    assert simple_means(small).rows == simple_means(small).rows


def test_missing_verdict_is_no_false_alarm(row, frame):
    [result] = simple_means(frame(row("q", 1, family="null", verdict=None), row("r", 1, family="null"))).rows
    assert result.false_alarm_rate == 0.5


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [
        ({}, ()),
        ({"method": "blackbox"}, ("blackbox",)),
        ({"agent": "evidence_reader"}, ("reader",)),
        ({"agent": "diffbench/evidence_reader"}, ("reader",)),
        ({"method": "blackbox", "agent_model": "keyless/investigator"}, ("blackbox", "keyless")),
    ],
)
def test_baselines_are_marked(row, frame, columns, kinds):
    [result] = simple_means(frame(row("a", 3, **columns))).rows
    assert result.baselines == kinds
    assert result.is_baseline == bool(kinds)


def test_notes_state_the_bootstrap(small):
    note = simple_means(small, resamples=50, seed=3).notes[0]
    assert "90% percentile bootstrap intervals over organisms (50 resamples, seed 3)" in note
    assert "hierarchical" in note


def test_bad_arguments(small):
    with pytest.raises(ValueError, match="level is 90"):
        simple_means(small, level=90)
    with pytest.raises(ValueError, match="resamples is 0"):
        simple_means(small, resamples=0)
    with pytest.raises(ValueError, match="the grades frame is empty"):
        simple_means(small.iloc[:0])
