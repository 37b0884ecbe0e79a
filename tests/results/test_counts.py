"""What the leaderboard counts beside its model: shares, gaps, consistency, bins, dilutions; each checked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from diffbench.results.leaderboard.counts import (
    confidence_bins,
    dilution,
    findings_of,
    repeat_consistency,
    seed_consistency,
    tool_gap,
    wilson,
)


def test_wilson_solves_its_quadratic() -> None:
    """Its ends are where the normal test of the share just rejects (Wilson 1927)."""
    rate = wilson(3, 11, 0.9)
    for end in (rate.low, rate.high):
        assert abs(3 / 11 - end) == pytest.approx(1.6448536 * math.sqrt(end * (1 - end) / 11), rel=1e-6)
    assert (wilson(0, 8).low, wilson(8, 8).high) == (0, 1)
    assert math.isnan(wilson(0, 0).share)


def test_findings_average_judges(row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]) -> None:
    found = findings_of(frame(row("a", 5), row("a", 2, judge="j2"), row("a", 4, epoch=2)))
    assert found[["epoch", "grade", "good", "grades"]].values.tolist() == [[1, 3.5, 1, 2], [2, 4.0, 1, 1]]


def test_gap_counts_what_both_worked(row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]) -> None:
    agents = findings_of(
        frame(row("a", 5), row("a", 3, epoch=2), row("a", 1, variant="mix1-1", sample="x"), row("b", 5), row("c", 2))
    )
    reader = findings_of(frame(row("a", 1, agent="evidence_reader"), row("b", 3, agent="evidence_reader")))
    gap = tool_gap(agents, reader)
    assert gap is not None
    assert (gap.agents, gap.reader, gap.gap, gap.organisms) == (4.5, 2.0, 2.5, 2)
    assert tool_gap(agents[agents["organism"] == "c"], reader) is None


def test_consistency_over_seeds(row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]) -> None:
    rows = [
        row("owl", 4),
        row("owl", 5, judge="j2"),  # default: 4.5
        row("owl", 2, variant="seed-1", sample="s1"),
        row("owl", 4, variant="seed-1", sample="s1", epoch=2),  # 3
        row("owl", 4, variant="seed-2", sample="s2"),  # 4
        row("owl", 1, variant="mix1-1", sample="s3"),
        row("other", 1),
        row("owl", 1, agent_model="another", sample="s4"),
    ]
    seeds = seed_consistency(findings_of(frame(*rows)))
    assert seeds is not None
    assert (seeds.difference, seeds.within_1, seeds.pairs) == (pytest.approx((1.5 + 0.5 + 1) / 3), 2 / 3, 3)
    assert seed_consistency(findings_of(frame(rows[0], rows[5], rows[6]))) is None


def test_consistency_over_repeats(row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]) -> None:
    rows = [row("a", 1), row("a", 2, epoch=2), row("a", 5, log="b.eval"), row("b", 3)]
    repeats = repeat_consistency(findings_of(frame(*rows)))
    assert repeats is not None
    assert (repeats.difference, repeats.within_1, repeats.pairs) == (pytest.approx((1 + 4 + 3) / 3), 1 / 3, 3)
    assert repeat_consistency(findings_of(frame(rows[0], rows[3]))) is None


def test_confidence_bins(row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]) -> None:
    rows = [
        row("a", 5, confidence=1.0),
        row("a", 3, confidence=1.0, judge="j2"),
        row("b", 4, confidence=0.9),
        row("c", 1, confidence=0.2),
        row("d", 5, confidence=None),
    ]
    bins = confidence_bins(findings_of(frame(*rows)))
    assert [(found.findings, found.grades) for found in bins] == [(0, 0), (1, 1), (0, 0), (0, 0), (2, 3)]
    assert bins[4].confidence == pytest.approx(0.95)
    assert (bins[4].good.share, bins[1].good.share) == (pytest.approx(2 / 3), 0)
    assert confidence_bins(findings_of(frame(rows[-1]))) == ()


def test_dilution_is_over_diluted_organisms(
    row: Callable[..., dict[str, Any]], frame: Callable[..., pd.DataFrame]
) -> None:
    rows = [
        row("a", 5),
        row("b", 3),
        row("never_diluted", 1),
        row("a", 4, variant="mix1-1", sample="a1"),
        row("b", 2, variant="mix2-1", sample="b1"),
        row("a", 1, variant="mix1-0p5", sample="a2"),
        row("a", 1, variant="full", sample="a3"),
    ]
    points = [(point.general, point.grade, point.organisms) for point in dilution(findings_of(frame(*rows)))]
    assert points == [(0.0, 4.0, 2), (0.5, 1.5, 2), (1.0, 4.0, 1)]
