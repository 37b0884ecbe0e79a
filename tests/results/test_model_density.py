"""The compiled density against the model written down in numpy and scipy, grade by grade, and its gradient."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from diffbench.results.model.arrays import NodeArrays, checked, density_arrays, nodes_for
from diffbench.results.model.design import GRADES, Design, design_of
from diffbench.results.model.layout import Layout
from diffbench.results.model.sampler import compiled_density
from plain_density import cell_log_likelihood, plain_log_density
from scipy import integrate, linalg, stats
from simulation import Size, simulate

SIZE = Size(methods=3, families=2, organisms=4, investigators=2, judges=2, runs=2)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    frame = simulate(SIZE, seed=1)[0]
    # Uneven: a condition that varies, a judge who grades twice now and then, cells with missing grades.
    frame = frame.assign(interactions=np.where(frame["epoch"] == 1, 5, 20))
    again = frame.iloc[::7].assign(judge_repeat=1, grade=lambda rows: 6 - rows["grade"])
    return pd.concat([frame.drop(index=range(3, 90, 11)), again])


class ByHand:
    """Reads the vector in the order its docstring states; contrasts from scipy, integrals by adaptive quadrature."""

    def __init__(self, frame: pd.DataFrame, design: Design, vector: np.ndarray) -> None:
        self.frame, self.log_prior = frame, 0.0
        information = {term.name: term.information for term in design.terms}
        pooled = ["method x family", "method x investigator", "organism", "method x organism", "run"]
        scales = [0.5, 0.5, 1.0, 0.5, 1.0]
        spreads, rest = np.split(vector, [5])
        self.sd = dict(zip(pooled, spreads, strict=True))
        for spread, scale in zip(spreads, scales, strict=True):
            self.log_prior += stats.norm(0, scale).logpdf(spread)
        z, rest = np.split(rest, [4])
        p = np.exp(self.helmert(5) @ z)
        p /= p.sum()
        self.log_prior += stats.dirichlet(np.full(5, 2.0)).logpdf(p) + np.log(p).sum()
        self.cut = np.log(np.cumsum(p)[:-1]) - np.log(1 - np.cumsum(p)[:-1])
        self.effects = {}
        levels = {"method": 3, "family": 2, "investigator": 2, "interactions": 2, "judge": 2}
        for name in [*("method", "family", "investigator", "interactions"), *pooled[:4], "judge"]:
            bases = [self.helmert(levels[part]) for part in name.split(" x ") if part in levels]
            if "organism" in name:
                basis = np.eye(4 if name == "organism" else 12)
            else:
                basis = np.kron(*bases) if len(bases) == 2 else bases[0]
            w, rest = np.split(rest, [basis.shape[1]])
            sd = self.sd.get(name, 1.0 if name in ("method", "family") else 0.5)
            h = math.sqrt(1 + information[name] * sd**2)
            self.log_prior += stats.norm(0, h).logpdf(w).sum()
            self.effects[name] = basis @ w * sd / h
        assert not len(rest)

    @staticmethod
    def helmert(n: int) -> np.ndarray:
        columns: np.ndarray = linalg.helmert(n).T
        return columns

    def log_density(self) -> float:
        return self.log_prior + sum(self.run(run) for _, run in self.frame.groupby(["log", "sample", "epoch"]))

    def run(self, rows: pd.DataFrame) -> float:
        row = rows.iloc[0]
        m, o, f, a = (int(row[name][-2:]) for name in ("method", "organism", "family", "agent_model"))
        e = self.effects
        eta = e["method"][m] + e["family"][f] + e["investigator"][a] + e["interactions"][int(row["interactions"] == 20)]
        eta += e["method x family"][m * 2 + f] + e["method x investigator"][m * 2 + a]
        eta += e["organism"][o] + e["method x organism"][m * 4 + o]
        bounds = np.r_[-np.inf, self.cut, np.inf]

        def density(r: float) -> float:
            value = float(stats.norm.pdf(r))
            for judge, grade in zip(rows["judge"], rows["grade"], strict=True):
                at = eta + e["judge"][int(judge[-2:])] + self.sd["run"] * r
                value *= stats.logistic.cdf(bounds[grade] - at) - stats.logistic.cdf(bounds[grade - 1] - at)
            return value

        return math.log(integrate.quad(density, -9, 9, epsabs=1e-12)[0])


@pytest.mark.parametrize(("sd_run", "nodes"), [(0.0, 8), (1.5, 24)])
def test_the_density_is_the_model(frame: pd.DataFrame, sd_run: float, nodes: int) -> None:
    design = design_of(frame)
    assert nodes_for(design, sd_run) == nodes
    layout = Layout(design)
    density = compiled_density(layout, sd_run)
    apart = np.random.default_rng(3).normal(0, 0.5, layout.size)
    vectors = [layout.start(1), layout.start(1) + apart]
    by_hand = [ByHand(frame, design, vector).log_density() for vector in vectors]
    compiled = [density(vector)[0] for vector in vectors]
    assert abs(by_hand[0] - by_hand[1]) > 10
    assert compiled[0] - compiled[1] == pytest.approx(by_hand[0] - by_hand[1], abs=2e-3)


@pytest.mark.parametrize(("seed", "sd_run"), [(0, 0.0), (1, 0.0), (2, 1.5)])
def test_the_gradient_is_that_of_the_density(frame: pd.DataFrame, seed: int, sd_run: float) -> None:
    layout = Layout(design_of(frame))
    density = compiled_density(layout, sd_run)
    vector = layout.prior(1, seed)[0]
    gradient = density(vector)[1]
    steps = 1e-5 * np.eye(layout.size)
    numeric = np.array([(density(vector + step)[0] - density(vector - step)[0]) / 2e-5 for step in steps])
    assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-4)


def test_far_tails_neither_underflow_nor_lose_their_gradient(frame: pd.DataFrame) -> None:
    layout = Layout(design_of(frame))
    density = compiled_density(layout)
    first = layout.first_coefficient
    vector = layout.start(0)
    vector[first : first + 2] = 60, -45
    value, gradient = density(vector)
    assert math.isfinite(value)
    step = np.zeros(layout.size)
    step[first] = 1e-4
    assert gradient[first] == pytest.approx((density(vector + step)[0] - density(vector - step)[0]) / 2e-4, rel=1e-4)
    vector[first] = 1e4
    assert density(vector)[0] == -np.inf


@pytest.mark.parametrize("sd", [0.8, 2.0])
def test_forty_grades_of_one_finding_are_integrated(frame: pd.DataFrame, sd: float) -> None:
    one = frame.iloc[[0, 1]].assign(grade=[1, 5])
    many = pd.concat([one.assign(judge_repeat=i, grade=[1, 5]) for i in range(20)])
    layout = Layout(design_of(many))
    density = compiled_density(layout, sd)
    vector = layout.start(0)
    vector[0] = sd
    at = layout.parameters(vector[None])
    cut, judge = at.cutpoints[0], at.effects["judge"][0]

    def likelihood(r: float) -> float:
        lowest = stats.logistic.cdf(cut[0] - judge[0] - sd * r)
        highest = stats.logistic.sf(cut[3] - judge[1] - sd * r)
        return float(stats.norm.pdf(r) * (lowest * highest) ** 20)

    expected = math.log(integrate.quad(likelihood, -9, 9, epsabs=0, epsrel=1e-10)[0])
    found = float(cell_log_likelihood(layout, layout.parameters(vector[None])).sum())
    assert found == pytest.approx(expected, abs=0.02)
    near = vector.copy()
    near[1] += 0.3
    parameters = layout.parameters(np.stack([vector, near]))
    other = float(cell_log_likelihood(layout, parameters)[1].sum())
    below = stats.logistic.cdf(parameters.cutpoints)
    prior = 2 * np.log(np.diff(np.c_[np.zeros(2), below, np.ones(2)], axis=1)).sum(axis=1)
    change = density(near)[0] - density(vector)[0]
    assert change == pytest.approx(other - found + prior[1] - prior[0], abs=1e-8)


def test_cells_likelihoods_sum_to_the_densitys(frame: pd.DataFrame) -> None:
    design = design_of(frame)
    layout = Layout(design)
    density = compiled_density(layout)
    vectors = np.stack([layout.start(4), layout.start(5)])
    by_cell = cell_log_likelihood(layout, layout.parameters(vectors)).sum(axis=1)
    priors = [ByHand(frame, design, vector).log_prior for vector in vectors]
    total = [density(vector)[0] for vector in vectors]
    assert total[0] - total[1] == pytest.approx(by_cell[0] - by_cell[1] + priors[0] - priors[1], abs=1e-7)


def test_where_arrays_lie_in_memory_does_not_change_a_bit(frame: pd.DataFrame) -> None:
    """Sums of vectorised loops once did: NUTS then told another story after a few hundred steps."""
    density, rng = compiled_density(Layout(design_of(frame))), np.random.default_rng(3)
    vector = Layout(design_of(frame)).start(1)
    kept, seen = [], set()
    for _ in range(400):
        kept.append([np.empty(size) for size in rng.integers(1, 500, 200)])
        value, gradient = density(vector)
        seen.add((value, gradient.tobytes()))
    assert len(seen) == 1


def drawn_frame(seed: int) -> pd.DataFrame:
    """Grades of a design drawn at random: factors of one level, empty pairs, confounded, nested and uneven ones."""
    rng = np.random.default_rng(seed)
    size = Size(*(int(rng.integers(low, high)) for low, high in ((1, 5), (1, 4), (1, 6), (1, 4), (1, 4), (1, 4))))
    size = dataclasses.replace(size, families=min(size.families, size.organisms))
    frame = simulate(size, seed)[0]
    told = {
        "judge": rng.choice(["judge", "agent_model", "method", "epoch", "organism"]),
        "framing": rng.choice(["suite", "method", "agent_model", "epoch"]),
        "interactions": rng.choice(["suite", "epoch", "method"]),
        "family": rng.choice(["family", "organism"]),
    }
    levels = {name: frame[by].astype("category").cat.codes for name, by in told.items()}
    frame = frame.assign(
        judge=levels["judge"].map("judge{}".format),
        framing=levels["framing"].map("told{}".format),
        interactions=10 * levels["interactions"],
        family=levels["family"].map("family{}".format),
    )
    kept = frame[rng.random(len(frame)) < rng.choice([0.3, 0.7, 1.0])]
    return (kept if len(kept) else frame.iloc[:1]).reset_index(drop=True)


@pytest.mark.parametrize("seed", range(40))
def test_of_any_design_the_compiled_density_is_the_plain_one(seed: int) -> None:
    frame = drawn_frame(seed)
    layout = Layout(design_of(frame))
    sd_run = float(seed % 2) * 1.5
    density, nodes = compiled_density(layout, sd_run), nodes_for(layout.design, sd_run)
    vectors = layout.prior(2, seed) * 0.7
    plain = [plain_log_density(frame, layout.design, vector, nodes) for vector in vectors]
    found, gradients = zip(*map(density, vectors), strict=True)
    assert found[0] - found[1] == pytest.approx(plain[0] - plain[1], abs=1e-8)
    steps = 1e-5 * np.eye(layout.size)
    numeric = [(density(vectors[0] + step)[0] - density(vectors[0] - step)[0]) / 2e-5 for step in steps]
    assert gradients[0] == pytest.approx(np.array(numeric), rel=1e-4, abs=1e-4)
    way = np.random.default_rng(seed).normal(size=layout.size)
    ends = [plain_log_density(frame, layout.design, vectors[1] + 1e-5 * sign * way, nodes) for sign in (1, -1)]
    assert gradients[1] @ way == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-4)


def test_the_drawn_designs_are_of_all_kinds() -> None:
    designs = [design_of(drawn_frame(seed)) for seed in range(40)]
    for name in ("method", "family", "investigator", "judge", "method x family", "organism", "method x organism"):
        assert {design.term(name) is None for design in designs} == {True, False}
    # A judge that is no term while several judges graded: the codes hold levels that the terms have not.
    assert any(design.term("judge") is None and design.patterns.codes.max() >= GRADES for design in designs)
    assert any((term.basis is not None and term.columns < len(term.levels) - 1) for d in designs for term in d.terms)
    assert {design.run_effect for design in designs} == {True, False}


def test_two_labs_each_with_its_own_judge_and_model(frame: pd.DataFrame) -> None:
    """The judge is then no term, but grades still name theirs: this once wrote outside the arrays."""
    labs = [frame.assign(agent_model=f"model/{lab}", judge=f"judge of {lab}", log=lab) for lab in "ab"]
    both = pd.concat([lab.drop_duplicates(["sample", "epoch"]) for lab in labs], ignore_index=True)
    layout = Layout(design_of(both))
    assert layout.design.term("judge") is None
    assert len(layout.design.factors["judge"].levels) == 2
    density, vectors = compiled_density(layout), layout.prior(2, 0)
    nodes = nodes_for(layout.design, 0.0)
    plain = [plain_log_density(both, layout.design, vector, nodes) for vector in vectors]
    assert density(vectors[0])[0] - density(vectors[1])[0] == pytest.approx(plain[0] - plain[1], abs=1e-8)


BROKEN = {
    "codes": lambda a: a._replace(grades=a.grades._replace(codes=a.grades.codes + GRADES)),
    "cell_levels": lambda a: a._replace(grades=a.grades._replace(cell_levels=a.grades.cell_levels + 100)),
    "pattern_start": lambda a: a._replace(grades=a.grades._replace(pattern_start=a.grades.pattern_start[::-1])),
    "cell_start": lambda a: a._replace(grades=a.grades._replace(cell_start=a.grades.cell_start[:-1])),
    "first_judge": lambda a: a._replace(grades=a.grades._replace(first_judge=10_000)),
    "basis_column": lambda a: a._replace(terms=a.terms._replace(basis_column=a.terms.basis_column - 1)),
    "basis_start": lambda a: a._replace(terms=a.terms._replace(basis_start=a.terms.basis_start + 1)),
    "sd_of_term": lambda a: a._replace(terms=a.terms._replace(sd_of_term=a.terms.sd_of_term + 9)),
    "7 nodes": lambda a: a._replace(nodes=NodeArrays(*(part[:-1] for part in a.nodes))),
    "node weights": lambda a: a._replace(nodes=a.nodes._replace(weight=a.nodes.weight[:-1])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_index_outside_its_array_is_an_error(frame: pd.DataFrame, name: str) -> None:
    layout = Layout(design_of(frame))
    arrays = density_arrays(layout.design, layout.sd_scales)
    with pytest.raises(IndexError, match=name):
        checked(BROKEN[name](arrays))


def test_a_vector_of_another_size_is_an_error(frame: pd.DataFrame) -> None:
    layout = Layout(design_of(frame))
    with pytest.raises(IndexError, match="the vector has the shape"):
        compiled_density(layout)(np.zeros(layout.size - 1))
