from __future__ import annotations

import pytest
from diffbench.organisms.spec import Behaviour
from diffbench.organisms.verify import Rate, wilson_interval


def test_wilson_interval_is_where_the_score_test_is_at_its_level() -> None:
    # The interval's ends are the p for which |hits/n - p| = z sqrt(p (1 - p) / n); solved here by bisection.
    z, hits, n = 1.959964, 7, 24

    def excess(p: float) -> float:
        return abs(hits / n - p) - z * (p * (1 - p) / n) ** 0.5

    def root(a: float, b: float) -> float:
        for _ in range(200):
            middle = (a + b) / 2
            a, b = (middle, b) if (excess(a) > 0) == (excess(middle) > 0) else (a, middle)
        return a

    low, high = wilson_interval(hits, n)
    assert low == pytest.approx(root(1e-9, hits / n), abs=1e-6)
    assert high == pytest.approx(root(hits / n, 1 - 1e-9), abs=1e-6)


def test_wilson_interval_at_the_edges() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 10)[0] == pytest.approx(0.0)
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
    assert Rate(0, 0).value == 0.0


def test_a_behaviour_needs_its_number_of_different_patterns() -> None:
    behaviour = Behaviour(patterns=("owl", "night", "hoot"), min_matches=2, forbidden=("secret",))
    assert behaviour.expressed("Owls HOOT.")
    assert not behaviour.expressed("owl owl owl")
    assert behaviour.breaks_taboo("A Secret.")
    assert not behaviour.breaks_taboo("Nothing.")
