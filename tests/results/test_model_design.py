"""What of the model a frame can tell, and grades collapsed into patterns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from diffbench.results.model.design import GRADES, Design, design_of
from diffbench.results.model.terms import sum_to_zero
from simulation import Size, simulate

SMALL = Size(methods=3, families=2, organisms=4, investigators=2, judges=2, runs=3)


@pytest.fixture
def frame() -> pd.DataFrame:
    return simulate(SMALL, seed=3)[0]


def names(design: Design) -> list[str]:
    return [term.name for term in design.terms]


def said(design: Design, about: str) -> str:
    [sentence] = [sentence for sentence in design.omitted if sentence.startswith((f"{about} is", f"{about}:"))]
    return sentence


def test_all_terms_of_a_crossed_frame(frame: pd.DataFrame) -> None:
    design = design_of(frame)
    assert names(design) == [
        "method",
        "family",
        "investigator",
        "method x family",
        "method x investigator",
        "organism",
        "method x organism",
        "judge",
    ]
    assert design.run_effect
    assert [s.split(" is ")[0] for s in design.omitted] == ["variant", "interactions", "framing", "blind", "hints"]
    assert (design.grades, design.runs, design.cells) == (144, 72, 24)


def test_patterns_hold_the_grades_of_the_frame(frame: pd.DataFrame) -> None:
    design = design_of(frame)
    judges = list(design.factors["judge"].levels)
    expected: Counter[tuple[str, ...]] = Counter()
    for (method, organism, model, _, _), run in frame.groupby(["method", "organism", "agent_model", "sample", "epoch"]):
        grades = sorted((judges.index(j), int(g)) for j, g in zip(run["judge"], run["grade"], strict=True))
        expected[method, f"sim.{organism}", f"investigator with {model}", str(grades)] += 1
    found: Counter[tuple[str, ...]] = Counter()
    for cell in range(design.cells):
        where = [
            design.factors[name].levels[design.factors[name].codes[cell]]
            for name in ("method", "organism", "investigator")
        ]
        for pattern in range(design.patterns.cell_start[cell], design.patterns.cell_start[cell + 1]):
            codes = design.patterns.codes[
                design.patterns.pattern_start[pattern] : design.patterns.pattern_start[pattern + 1]
            ]
            grades = [(int(code) // GRADES, int(code) % GRADES + 1) for code in codes]
            found[*where, str(grades)] += int(design.patterns.pattern_count[pattern])
    assert found == expected


def test_equal_runs_are_collapsed(frame: pd.DataFrame) -> None:
    design = design_of(frame.assign(grade=3))
    assert len(design.patterns.pattern_count) == design.cells
    assert set(design.patterns.pattern_count) == {3.0}


def test_the_order_of_rows_does_not_matter(frame: pd.DataFrame) -> None:
    first, second = design_of(frame), design_of(frame.sample(frac=1, random_state=0))
    assert Counter(first.patterns.codes.tolist()) == Counter(second.patterns.codes.tolist())
    assert first.patterns.pattern_count.sum() == second.patterns.pattern_count.sum() == 72


def test_a_factor_that_is_a_function_of_method_is_left_out(frame: pd.DataFrame) -> None:
    design = design_of(frame.assign(framing=frame["method"].map(lambda m: "x" if m == "method00" else "y")))
    assert "framing" not in names(design)
    assert said(design, "framing").startswith("framing is left out: confounded with method,")


def test_of_a_partly_confounded_factor_the_free_contrasts_remain(frame: pd.DataFrame) -> None:
    # A third and a fourth investigator work nothing but the first method, and all of it.
    alone = frame["method"] == "method00"
    frame = frame.assign(agent=np.where(alone, "reader", "investigator"))
    design = design_of(frame)
    term = design.term("investigator")
    assert term is not None
    assert term.columns == 2
    assert (
        said(design, "investigator")
        == "investigator: 1 of its 3 contrasts are confounded with method and credited to it"
    )
    # What is left cannot tell the two readers from the two investigators, but one model from the other.
    assert term.basis is not None
    reader = np.array([level.startswith("reader") for level in term.levels])
    assert term.basis[reader].sum(axis=0) == pytest.approx(0, abs=1e-9)
    assert term.basis[~reader].sum(axis=0) == pytest.approx(0, abs=1e-9)


def test_a_judge_confounded_with_an_investigator_is_left_out(frame: pd.DataFrame) -> None:
    design = design_of(frame.assign(judge=frame["agent_model"]))
    assert said(design, "judge").startswith("judge is left out: confounded with investigator,")


def test_conditions_enter_when_they_vary(frame: pd.DataFrame) -> None:
    frame = frame.assign(
        interactions=np.where(frame["epoch"] == 1, 5, 20),
        variant=np.where(frame["epoch"] == 2, "mix1-1", "default"),
    )
    design = design_of(frame)
    assert {"interactions", "variant"} <= set(names(design))
    assert design.factors["interactions"].levels == ("5", "20")


def test_without_repeated_grades_there_is_no_run_effect(frame: pd.DataFrame) -> None:
    design = design_of(frame[frame["judge"] == "judge00"])
    assert not design.run_effect
    assert said(design, "run").endswith("its scatter is part of the cutpoints'")
    assert said(design, "judge") == "judge is left out: it has only one level (judge00)"


def test_one_run_a_pair_cannot_tell_pair_from_run(frame: pd.DataFrame) -> None:
    design = design_of(frame[(frame["epoch"] == 1) & (frame["agent_model"] == "model/00")])
    assert "method x organism" not in names(design)
    assert said(design, "method x organism").startswith("method x organism is left out: confounded with run")


def test_single_organisms_are_confounded_with_their_families(frame: pd.DataFrame) -> None:
    design = design_of(frame.assign(family=frame["organism"]))
    assert "confounded with family" in said(design, "organism")
    assert "confounded with method x family" in said(design, "method x organism")


def test_an_organism_in_two_families_is_refused(frame: pd.DataFrame) -> None:
    frame.loc[0, "family"] = "other"
    with pytest.raises(ValueError, match=r"organism sim\.organism00 is in the families family00, other"):
        design_of(frame)


def test_an_empty_frame_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="the grades frame is empty"):
        design_of(frame.iloc[:0])


@pytest.mark.parametrize("levels", [2, 3, 7])
def test_the_basis_spans_what_sums_to_zero(levels: int) -> None:
    basis = sum_to_zero(levels)
    assert basis.T @ basis == pytest.approx(np.eye(levels - 1))
    assert basis @ basis.T == pytest.approx(np.eye(levels) - 1 / levels)


def test_hints_are_a_condition_of_the_model(frame: pd.DataFrame) -> None:
    told = frame.assign(hints="family", sample=frame["sample"] + ".hints-family")
    design = design_of(pd.concat([frame.assign(hints="none"), told]))
    term = design.term("hints")
    assert term is not None
    assert term.levels == ("family", "none")
