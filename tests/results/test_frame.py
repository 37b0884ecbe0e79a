"""Reading real (tiny) logs into the grades frame."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from diffbench.results.frame import grades_frame
from diffbench.results.schema import COLUMNS
from hand_logs import hand_log, hand_sample
from inspect_ai.log import read_eval_log, write_eval_log


@pytest.fixture(scope="module")
def log(tmp_path_factory, run_log, case, grade):
    """Two judges, an ungraded entry, crashed and unscored samples."""
    cases = [
        case(
            "cake+mix1-1",
            grades=[grade(4), grade(5, "j2"), grade(None, "j2", 1, "no verdict\nin the reply")],
            tokens={"": 100, "target_base": 30, "grader": 7},
            recall=0.75,
        ),
        case("calm", family="null", grades=[grade(1)], verdict=None, confidence=None, crash=True),
        case("mute", grades=None),
        case("odd", grades=[]),
    ]
    return run_log(tmp_path_factory.mktemp("logs"), cases, score_on_error=True)


def reasons(grades):
    return {(item.sample, item.reason) for item in grades.left_out}


def test_rows(log):
    frame = grades_frame(log.location).frame
    assert list(frame.columns) == list(COLUMNS)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert frame[["organism", "judge", "judge_repeat", "grade"]].values.tolist() == [
        ["cake", "j1", 0, 4],
        ["cake", "j2", 0, 5],
        ["calm", "j1", 0, 1],
    ]
    first = frame.iloc[0].to_dict()
    expected = {
        "log": log.location,
        "sample": "smol.cake+mix1-1.adl",
        "epoch": 1,
        "suite": "smol",
        "family": "sdf",
        "variant": "mix1-1",
        "method": "adl",
        "agent": "method_agent",
        "agent_model": "mockllm/model",
        "interactions": 10,
        "framing": "neutral",
        "blind": True,
        "fact_recall": 0.75,
        "verdict": "changed",
        "confidence": 0.5,
        "interactions_used": 2,
        "tokens": 100,
    }
    assert {name: first[name] for name in expected} == expected
    assert first["seconds"] >= 0
    assert pd.isna(first["cost"])
    assert pd.isna(first["error"])


def test_crashed_case_counts(log):
    crashed = grades_frame(log.location).frame.query("organism == 'calm'").iloc[0]
    assert crashed["error"] == repr(RuntimeError("the agent broke\nin two lines"))
    assert pd.isna(crashed["verdict"])
    assert pd.isna(crashed["confidence"])


def test_left_out_reasons(log):
    found = reasons(grades_frame(log.location))
    assert ("smol.cake+mix1-1.adl", "ungraded by j2, repeat 1: no verdict") in found
    assert ("smol.mute.adl", "no rubric_grade; the sample was not scored") in found
    assert ("smol.odd.adl", "rubric_grade without grades: no reason given") in found
    assert len(found) == 3


def test_solver_names_the_agent_and_keyless_the_model(log, tmp_path):
    copy = read_eval_log(log.location)
    copy.eval.solver, copy.eval.model = "my_agent.py@my_agent", "none/none"
    write_eval_log(copy, tmp_path / "a.eval")
    frame = grades_frame(tmp_path).frame
    assert set(frame["agent"]) == {"my_agent.py@my_agent"}
    assert set(frame["agent_model"]) == {"keyless/investigator"}


def test_epochs_and_unqualified_task_name(run_log, case, tmp_path):
    run_log(tmp_path / "deep" / "er", [case("cake")], name="diffing", epochs=2)
    frame = grades_frame([tmp_path]).frame
    assert frame["epoch"].tolist() == [1, 2]


def test_errored_unscored_and_other_task(run_log, case, tmp_path):
    text = "the agent broke\nin two lines"
    crashed = run_log(tmp_path / "crashed", [case("cake", crash=True), case("kansas")])
    other = run_log(tmp_path / "other", [case("cake")], name="riddles")
    grades = grades_frame(tmp_path)
    assert grades.frame["organism"].tolist() == ["kansas"]
    assert ("smol.cake.adl", f"no rubric_grade; the sample errored: {RuntimeError(text)!r}") in reasons(grades)
    assert (None, "log of the task 'riddles', not of 'diffing'") in reasons(grades)
    with pytest.raises(ValueError, match=r"(?s)no grade could be read.*riddles"):
        grades_frame(other.location)
    assert grades_frame(crashed.location).frame.equals(grades.frame)


def test_same_file_twice_is_read_once(log):
    once = grades_frame(log.location)
    twice = grades_frame([log.location, Path(log.location).parent])
    assert once.frame.equals(twice.frame)
    assert once.left_out == twice.left_out


def test_copy_is_a_duplicate(log, tmp_path):
    shutil.copy(log.location, tmp_path / "copy.eval")
    grades = grades_frame([log.location, tmp_path])
    assert len(grades.frame) == 3
    assert sum("duplicate" in item.reason for item in grades.left_out) == 2


def test_rescored_copy_adds_judges_and_wins(log, tmp_path):
    rescored = read_eval_log(log.location)
    scored = rescored.samples[0].scores["rubric_grade"].metadata
    scored["grades"] = [scored["grades"][0] | {"grade": 2}, scored["grades"][1] | {"judge": "j3"}]
    write_eval_log(rescored, tmp_path / "rescored.eval")
    frame = grades_frame([log.location, tmp_path]).frame.query("organism == 'cake'")
    assert dict(zip(frame["judge"], frame["grade"], strict=True)) == {"j1": 2, "j2": 5, "j3": 5}


def test_newer_attempt_of_a_retry_replaces_all_grades(log, tmp_path):
    retry = read_eval_log(log.location)
    retry.eval.created = "2099-01-01T00:00:00+00:00"
    retry.samples = retry.samples[:1]
    retry.samples[0].uuid = "another"
    score = retry.samples[0].scores["rubric_grade"].metadata
    score["grades"] = [score["grades"][0] | {"grade": 1}]
    write_eval_log(retry, tmp_path / "retry.eval")
    grades = grades_frame([tmp_path / "retry.eval", log.location])
    assert grades.frame.query("organism == 'cake'")["grade"].tolist() == [1]
    duplicate = f"duplicate: superseded by {tmp_path / 'retry.eval'}"
    assert ("smol.cake+mix1-1.adl", duplicate) in reasons(grades)


def test_runs_started_separately_are_all_kept(log, tmp_path):
    other = read_eval_log(log.location)
    other.eval.task_id = "another"
    write_eval_log(other, tmp_path / "other.eval")
    grades = grades_frame([tmp_path, log.location])
    assert len(grades.frame) == 6
    assert not any("duplicate" in item.reason for item in grades.left_out)


@pytest.mark.parametrize("suffix", ["eval", "json"])
def test_unfinished_log_is_read_as_far_as_it_goes(log, tmp_path, suffix):
    cut = read_eval_log(log.location)
    cut.status, cut.samples = "cancelled", cut.samples[:1]
    write_eval_log(cut, tmp_path / f"2026-01-01T00-00-00_diffing_x.{suffix}")
    grades = grades_frame(tmp_path)
    assert grades.frame["grade"].tolist() == [4, 5]
    [note] = [item.reason for item in grades.left_out if item.sample is None]
    assert "status 'cancelled': 1 of 4 samples" in note


def test_killed_run_without_header(log, tmp_path):
    with zipfile.ZipFile(log.location) as whole, zipfile.ZipFile(tmp_path / "killed.eval", "w") as killed:
        for name in whole.namelist():
            if name.startswith(("_journal/", "samples/")):
                killed.writestr(name, whole.read(name))
    grades = grades_frame(tmp_path)
    assert len(grades.frame) == 3
    assert any("status 'started'" in item.reason for item in grades.left_out)


def test_truncated_and_foreign_files_are_named(log, tmp_path):
    content = Path(log.location).read_bytes()
    (tmp_path / "cut.eval").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.eval").write_text("no zip")
    (tmp_path / "empty.eval").write_bytes(b"")
    grades = grades_frame([log.location, tmp_path])
    named = {Path(item.log).name for item in grades.left_out if item.reason.startswith("unreadable or truncated")}
    assert named == {"cut.eval", "text.eval", "empty.eval"}
    assert len(grades.frame) == 3


def test_damaged_sample_leaves_the_log_out(log, tmp_path):
    with zipfile.ZipFile(log.location) as whole, zipfile.ZipFile(tmp_path / "damaged.eval", "w") as damaged:
        for name in whole.namelist():
            content = whole.read(name)
            damaged.writestr(name, content[:200] if name.startswith("samples/") else content)
    with pytest.raises(ValueError, match=r"(?s)no grade could be read.*damaged.eval.*unreadable or truncated"):
        grades_frame(tmp_path)


@pytest.mark.parametrize(("damage", "error"), [("cut", "BadZipFile"), ("garbled", "ZstdError")])
def test_a_log_with_a_damaged_zstd_member_is_left_out_and_named(log, tmp_path, damage, error):
    whole = Path(log.location).read_bytes()
    with zipfile.ZipFile(log.location) as archive:
        member = next(info for info in archive.infolist() if info.filename.startswith("samples/"))
    assert member.compress_type == 93  # Zstandard
    content, name = bytearray(whole), member.filename.encode()
    if damage == "cut":
        # The central directory says where a member ends: 46 bytes before its name its entry begins, 20 in is the size.
        entry = whole.rindex(name) - 46
        content[entry + 20 : entry + 24] = (member.compress_size // 2).to_bytes(4, "little")
    else:
        data = whole.index(name) + len(name)
        content[data : data + member.compress_size] = bytes(member.compress_size)
    (tmp_path / "damaged.eval").write_bytes(content)
    grades = grades_frame([log.location, tmp_path])
    assert len(grades.frame) == 3
    [reason] = [item.reason for item in grades.left_out if Path(item.log).name == "damaged.eval"]
    assert reason.startswith(f"unreadable or truncated: {error}: ")


def test_invalidated_and_foreign_metadata(log, tmp_path):
    from inspect_ai.log import ProvenanceData

    changed = read_eval_log(log.location)
    changed.samples[0].invalidation = ProvenanceData(author="me", reason="wrong adapter")
    del changed.samples[1].metadata["family"]
    write_eval_log(changed, tmp_path / "changed.eval")
    with pytest.raises(ValueError, match=r"(?s)invalidated: wrong adapter.*sample metadata: family: Field required"):
        grades_frame(tmp_path)


def test_a_sample_with_a_grade_out_of_range_is_left_out(log, tmp_path):
    wrong = read_eval_log(log.location)
    wrong.samples[0].scores["rubric_grade"].metadata["grades"][0]["grade"] = 7
    write_eval_log(wrong, tmp_path / "wrong.eval")
    grades = grades_frame(tmp_path)
    assert grades.frame["organism"].tolist() == ["calm"]
    reason = "rubric_grade: grades.0.grade: Input should be less than or equal to 5"
    assert ("smol.cake+mix1-1.adl", reason) in reasons(grades)


def test_a_log_of_the_version_before_reads_as_it_did(tmp_path):
    """As it was written: no ``hints``, no ``organism_id``, no budgets of tools, no source of the finding."""
    sample = hand_sample("cake_bake+mix1-1")
    sample.metadata |= {"variant": "mix1-1", "blind": True}
    for name in ("organism_id", "seed", "artifact_key", "needs"):
        del sample.metadata[name]
    assert not {"hints", "tool_budgets"} & set(sample.metadata)
    frame = grades_frame(hand_log(tmp_path / "old.eval", [sample])).frame
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS
    assert frame["judge"].tolist() == ["j1", "j2"]
    assert frame["grade"].tolist() == [3, 4]
    first = frame.iloc[0].dropna().to_dict()
    assert first == {
        "log": str(tmp_path / "old.eval"),
        "sample": "smol.cake_bake+mix1-1.adl",
        "epoch": 1,
        "suite": "smol",
        "organism": "cake_bake",
        "family": "sdf",
        "variant": "mix1-1",
        "method": "adl",
        "agent": "method_agent",
        "agent_model": "openai/gpt",
        "interactions": 10,
        "framing": "neutral",
        "blind": True,
        "hints": "none",
        "judge": "j1",
        "judge_repeat": 0,
        "grade": 3,
        "verdict": "changed",
        "confidence": 0.5,
        "interactions_used": 2,
        "tokens": 0,
        "seconds": 1.5,
    }


def test_a_log_of_a_later_version_reads_as_far_as_it_is_known(tmp_path):
    known, later = hand_sample(), hand_sample()
    later.metadata |= {"compute_budget": {"seconds": 60}, "framing": "adversarial", "hints": "family"}
    score = later.scores["rubric_grade"].metadata
    score |= {"lineup": [0.2, 0.8], "finding_source": "from_the_board"}
    score["grades"] = [given | {"rationale_tokens": 9} for given in score["grades"]]
    frames = [grades_frame(hand_log(tmp_path / f"{i}.eval", [s])).frame for i, s in enumerate((known, later))]
    assert set(frames[1]["framing"]) == {"adversarial"}
    assert set(frames[1]["hints"]) == {"family"}
    same = [frame.drop(columns=["log", "framing", "hints"]) for frame in frames]
    pd.testing.assert_frame_equal(*same)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"verdict": "maybe"}, "verdict: Input should be 'changed', 'no_narrow_change' or 'inconclusive'"),
        ({"grades": None}, "grades: Field required"),
        ({"grades": [{"judge": "j1", "grade": 3}]}, "grades.0.repeat: Field required"),
    ],
)
def test_what_a_score_says_wrong_is_the_reason(tmp_path, change, reason):
    odd = hand_sample()
    odd.scores["rubric_grade"].metadata |= change
    grades = grades_frame(hand_log(tmp_path / "a.eval", [hand_sample("null_identical"), odd]))
    assert set(grades.frame["organism"]) == {"null_identical"}
    assert (odd.id, f"rubric_grade: {reason}") in reasons(grades)


def test_empty_and_missing_folder_say_what_to_run(tmp_path):
    with pytest.raises(ValueError, match=r"run: inspect eval benchmark/diffing\.py --log-dir"):
        grades_frame(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"run: inspect eval benchmark/diffing\.py --log-dir"):
        grades_frame(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no log given"):
        grades_frame([])


def test_import_is_light():
    code = (
        "import sys, diffbench.results.frame, diffbench.results.leaderboard.means, diffbench.results.table; "
        "sys.exit(','.join({'pandas', 'inspect_ai', 'numpy', 'torch', 'rich'} & set(sys.modules)) or None)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
