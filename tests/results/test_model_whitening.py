"""Coordinates in which a posterior is round."""

from __future__ import annotations

import numpy as np
import pytest
from diffbench.results.model import sampler
from diffbench.results.model.design import design_of
from diffbench.results.model.layout import Layout
from diffbench.results.model.sampler import compiled_density, sample
from simulation import Size, simulate

pytest.importorskip("nutpie")


def test_a_normal_density_gets_its_covariance() -> None:
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(6, 6)) * [0.01, 0.1, 1, 1, 1, 3]
    covariance, mean = factor @ factor.T, rng.normal(size=6)
    precision = np.linalg.inv(covariance)

    def density(vector: np.ndarray) -> tuple[float, np.ndarray]:
        slope = precision @ (mean - vector)
        return -0.5 * float((vector - mean) @ precision @ (vector - mean)), slope

    # Scales that need no floor: it only holds back directions of which neither data nor priors tell anything.
    found = sampler.whiten(density, sampler.mode_of(density, np.zeros(6)))
    assert found is not None
    held = np.linalg.eigvalsh(covariance) < 1 / sampler._FLATTEST
    values = np.linalg.eigvalsh(found.root @ found.root)
    expected = np.linalg.eigvalsh(covariance)
    np.testing.assert_allclose(values[held], expected[held], rtol=1e-3)
    assert values[~held] == pytest.approx(1 / sampler._FLATTEST)
    np.testing.assert_allclose(found.vectors(np.eye(6)), found.centre + found.root, rtol=1e-12)


def test_draws_are_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(design_of(simulate(Size(3, 2, 6, 2, 2, 3), seed=4)[0]))
    with_it = sample(layout, tune=200, draws=500, chains=4, seed=1)
    monkeypatch.setattr(sampler, "LARGEST", 0)
    assert sampler.whiten(compiled_density(layout), layout.start(0)) is None
    without = sample(layout, tune=400, draws=500, chains=4, seed=2)
    ours, plain = (layout.parameters(draws.pooled).flat() for draws in (with_it, without))
    for name, values in ours.items():
        error = np.hypot(values.std(), plain[name].std()) / np.sqrt(200)  # of means of at least 200 independent draws
        assert abs(values.mean() - plain[name].mean()) < 4.5 * error, name
        assert values.std() == pytest.approx(plain[name].std(), rel=0.35), name
