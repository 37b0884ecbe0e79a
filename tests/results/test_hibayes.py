"""The folder for HiBayES, and reading its fit."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from diffbench.results.hibayes import export_hibayes, fit_with_hibayes, hibayes_command, hibayes_rows, read_hibayes_fit
from diffbench.results.schema import check_frame

ORGANISMS = {"cake": "sdf", "gold": "taboo", "calm": "null"}


@pytest.fixture
def grades(row, frame):
    """3 organisms x 2 methods x 2 runs, each run graded by two judges."""
    rng = np.random.default_rng(0)
    return check_frame(
        frame(
            *(
                row(organism, int(rng.integers(1, 6)), family=family, method=method, log=log, judge=judge)
                for organism, family in ORGANISMS.items()
                for method in ("adl", "kl")
                for log in ("a.eval", "b.eval")
                for judge in ("j1", "j2")
            )
        )
    )


def test_rows_are_what_hibayes_asks_for(grades, tmp_path):
    export_hibayes(grades, tmp_path / "out")
    read = pd.read_csv(tmp_path / "out" / "grades.csv")
    assert len(read) == len(grades) == 24
    assert pd.api.types.is_integer_dtype(read["score"])
    assert not {"method", "tolerance", "drop"} & set(read.columns)
    assert not read.isna().any(axis=None)
    counts = grades.groupby(["family", "method", "judge"])["grade"].sum()
    for (family, method, judge), total in counts.items():
        kind = "control" if family == "null" else family
        mine = read[(read["diff_method"] == method) & (read["grader"] == judge) & (read["organism_type"] == kind)]
        assert (mine["score"] + 1).sum() == total
    assert set(read["organism"]) == {"smol.cake", "smol.gold", "smol.calm"}
    assert set(read["agent"]) == {"method_agent with openai/gpt"}


def test_a_run_is_what_its_judges_share(grades):
    rows = hibayes_rows(grades)
    for _, cell in rows.groupby(["organism", "diff_method"]):
        assert sorted(cell["run_idx"]) == [0, 0, 1, 1]
        assert (cell.groupby("run_idx")["grader"].nunique() == 2).all()


def test_a_hint_is_a_condition_of_its_own(grades, tmp_path):
    hinted = grades.assign(hints=grades["log"].map({"a.eval": "none", "b.eval": "family"}))
    assert set(hibayes_rows(hinted)["run_idx"]) == {0}
    export_hibayes(hinted, tmp_path / "out")
    config = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert "hints" in config["model"]["models"][0]["config"]["main_effects"]


def test_config_is_the_ordered_logistic_model_and_asks_nothing(grades, tmp_path):
    export = export_hibayes(grades, tmp_path / "out")
    config = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    [model] = config["model"]["models"]
    assert model["name"] == "ordered_logistic_model"
    assert model["config"] == {
        "tag": "main",
        "main_effects": ["diff_method", "organism_type", "grader"],
        "num_classes": 5,
        "effect_coding_for_main_effects": True,
        "fit": {"samples": 2000, "warmup": 1000, "chains": 4, "seed": 0, "progress_bar": False},
    }
    assert config["check"]["checkers"]
    assert config["communicate"]["communicators"]
    assert config["data_loader"]["paths"]["extracted_data"] == ["grades.csv"]
    [_, features] = config["data_process"]["processors"]
    named = features["extract_features"]["categorical_features"]
    assert set(named) <= set(pd.read_csv(tmp_path / "out" / "grades.csv").columns)
    assert "agent: one level only, method_agent with openai/gpt" in export.left_out
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "hibayes-full --config config.yaml --out fit --no-tui" in readme
    assert all(reason in readme for reason in export.left_out)


def test_confounded_factors_are_left_out_and_named(row, frame, tmp_path):
    by_agent = {"gpt": "neutral", "claude": "presuppositional"}
    given = frame(
        *(
            row("cake", 3, method=method, agent_model=model, framing=framing)
            for method in ("adl", "kl")
            for model, framing in by_agent.items()
        )
    )
    export = export_hibayes(given, tmp_path / "out")
    assert export.factors == ("diff_method", "agent")
    assert "framing: confounded with agent" in export.left_out


def test_confounded_with_several_together(row, frame, tmp_path):
    # Three cells are spanned by method and agent; blinding is a function of neither, but of both.
    given = frame(
        row("cake", 3, method="adl", agent_model="gpt", blind=True),
        row("cake", 3, method="adl", agent_model="claude", blind=False),
        row("cake", 3, method="kl", agent_model="gpt", blind=False),
    )
    export = export_hibayes(given, tmp_path / "out")
    assert export.factors == ("diff_method", "agent")
    assert "blind: confounded with diff_method, agent together" in export.left_out


def test_existing_folder_is_refused_and_an_empty_one_filled(grades, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="name a new one with --out"):
        export_hibayes(grades, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    export_hibayes(grades, tmp_path / "empty")
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"grades.csv", "config.yaml", "README.md"}


@pytest.mark.parametrize("judge", ["NA", "None", "null", "nan"])
def test_names_that_csv_loses_leave_nothing_behind(grades, tmp_path, judge):
    given = grades.assign(judge=grades["judge"].replace("j2", judge).astype("string"))
    with pytest.raises(ValueError, match=f"column grader: the name '{judge}' does not survive"):
        export_hibayes(given, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_empty_frame(grades, tmp_path):
    with pytest.raises(ValueError, match="the grades frame is empty"):
        export_hibayes(grades.iloc[:0], tmp_path / "out")


COMMAND = """#!{python}
import sys
from pathlib import Path
assert sys.argv[1:] == ["--config", "config.yaml", "--out", "fit", "--no-tui"], sys.argv
assert Path("grades.csv").is_file() and sys.stdin.read() == ""
import numpy as np
import xarray as xr
folder = Path("fit/models/ordered_logistic_modelmain")
folder.mkdir(parents=True)
rng = np.random.default_rng(1)
free = rng.normal(size=(2, 50))
posterior = xr.Dataset(
    {{
        "diff_method_effects": (("chain", "draw", "diff_method"), np.stack([free, -free], axis=-1)),
        "intercept": (("chain", "draw"), rng.normal(size=(2, 50))),
        "cutpoints": (("chain", "draw", "cutpoints_dim_0"), np.sort(rng.normal(size=(2, 50, 4)))),
    }},
    coords={{"diff_method": ["adl", "kl"]}},
)
posterior.to_netcdf(folder / "inference_data.nc", group="posterior", engine="h5netcdf")
stats = xr.Dataset({{"diverging": (("chain", "draw"), np.arange(100).reshape(2, 50) < 3)}})
stats.to_netcdf(folder / "inference_data.nc", group="sample_stats", engine="h5netcdf", mode="a")
"""


def command(folder: Path, text: str) -> list[str]:
    path = folder / "hibayes-full"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return [str(path)]


def test_fit_is_run_in_the_folder_and_read(grades, tmp_path):
    pytest.importorskip("h5netcdf")
    export_hibayes(grades, tmp_path / "out")
    fit = fit_with_hibayes(tmp_path / "out", command(tmp_path, COMMAND.format(python=sys.executable)))
    drawn = np.random.default_rng(1).normal(size=(2, 50)).ravel()
    assert fit.effects["diff_method"]["adl"].to_numpy() == pytest.approx(drawn)
    assert fit.intercept.shape == (100,)
    assert fit.cutpoints.shape == (100, 4)
    assert (np.diff(fit.cutpoints) >= 0).all()
    assert (fit.chains, fit.divergences) == (2, 3)
    assert fit.effects["diff_method"]["kl"].to_numpy() == pytest.approx(-drawn)
    with pytest.raises(ValueError, match="remove it to fit again"):
        fit_with_hibayes(tmp_path / "out")


def test_the_command_is_found_beside_python_before_the_path(tmp_path, monkeypatch):
    python, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
    for folder in (python, elsewhere):
        folder.mkdir()
        command(folder, "#!/bin/sh\n")
    monkeypatch.setattr(sys, "executable", str(python / "python"))
    monkeypatch.setenv("PATH", str(elsewhere))
    assert hibayes_command() == str(python / "hibayes-full")
    (python / "hibayes-full").unlink()
    assert hibayes_command() == str(elsewhere / "hibayes-full")


def test_what_is_missing_or_fails_is_said(grades, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="diffbench export hibayes"):
        fit_with_hibayes(tmp_path)
    export_hibayes(grades, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "python"))
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(FileNotFoundError, match=r"HiBayES is not installed.*pip install git"):
            fit_with_hibayes(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no fit/models"):
        read_hibayes_fit(tmp_path / "out")
    broken = command(tmp_path, f"#!{sys.executable}\nimport sys\nprint('line')\nsys.exit('no obs')\n")
    with pytest.raises(ValueError, match=r"(?s)exit status 1.*line.*no obs"):
        fit_with_hibayes(tmp_path / "out", broken)
