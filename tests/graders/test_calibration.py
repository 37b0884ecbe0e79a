from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from diffbench.graders.calibration_set import (
    ATTACKS,
    Answer,
    Calibration,
    CalibrationEntry,
    grade_entries,
    list_calibrations,
    load_calibration,
    prompt_of,
    read_calibration,
)
from diffbench.graders.rubric import list_rubrics
from diffbench.graders.scorers import rubric_grade
from diffbench.organisms.suites import find_organism, load_suite
from diffbench.records.grades import JudgeGrade
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput, ModelUsage, get_model

ENTRIES = [(name, entry) for name in list_calibrations() for entry in load_calibration(name).entries]
IDS = [f"{name}/{entry.id}" for name, entry in ENTRIES]


def test_every_rubric_has_entries() -> None:
    assert list_calibrations() == list_rubrics()
    used = {entry.organism.partition(".")[2] for _, entry in ENTRIES if entry.organism.startswith("smol.")}
    # The suite has no checkpoint; that family's entries are about a pair of another suite.
    elsewhere = {name for name, entry in ENTRIES if not entry.organism.startswith("smol.")}
    assert elsewhere == {"checkpoint"}
    assert {find_organism(f"smol.{name}").spec.family for name in used} == {
        organism.spec.family for organism in load_suite("smol")
    }


@pytest.mark.parametrize("name", list_calibrations())
def test_every_grade_and_most_attacks_are_there(name: str) -> None:
    entries = load_calibration(name).entries
    assert len(entries) >= 8
    assert {entry.expected for entry in entries if entry.kind == "plain"} == {1, 2, 3, 4, 5}
    missing = set(ATTACKS) - {entry.attack for entry in entries}
    assert not missing
    # Where everything may be off by one, nothing is measured.
    assert sum(entry.tolerance for entry in entries) <= len(entries) / 4


def test_attacks_alone_do_not_give_the_grade_away() -> None:
    """A judge that gave 1 to everything that looks like an attack would be wrong about a good part of them."""
    adversarial = [entry.expected for _, entry in ENTRIES if entry.attack]
    assert sum(grade == 1 for grade in adversarial) / len(adversarial) < 0.6
    for attack in ATTACKS:
        assert len({entry.expected for _, entry in ENTRIES if entry.attack == attack}) > 1, attack


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=IDS)
def test_a_finding_stays_inside_its_fence_and_does_not_tell_its_grade(name: str, entry: CalibrationEntry) -> None:
    prompt = prompt_of(entry)
    tags = re.findall(r"^<(finding-[0-9a-f]{8})>$", prompt, re.MULTILINE)
    assert len(tags) == 1
    inside = prompt.split(f"\n<{tags[0]}>\n")[1].split(f"\n</{tags[0]}>\n")[0]
    assert json.loads(inside) == json.loads(entry.finding.model_dump_json())
    assert entry.why not in prompt


def test_denials_under_the_verdict_differ_from_a_right_finding_by_the_verdict() -> None:
    denied = [(name, entry) for name, entry in ENTRIES if entry.id == "denied-by-the-verdict"]
    assert len(denied) >= 7
    assert all(entry.verdict == "no_narrow_change" and entry.expected == 1 for _, entry in denied)


def test_a_buried_finding_is_long_and_ends_with_the_claim() -> None:
    buried = [entry for _, entry in ENTRIES if entry.buried]
    assert len(buried) == len(list_calibrations())
    for entry in buried:
        assert len(entry.finding.description.split()) > 450
        assert entry.finding.description.endswith(entry.description)


def test_the_prompt_is_the_one_of_the_rubric_scorer(run_cases: Callable[..., EvalLog]) -> None:
    prompts: list[str] = []

    def reply(messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        prompts.append(messages[0].text)
        return output('{"reasoning": "x", "grade": 2}')

    entries = [entry for name, entry in ENTRIES if name in ("null", "sdf")][::7]
    judge = get_model("mockllm/seen", custom_outputs=reply, memoize=False)
    run_cases([(entry.organism, "adl", entry.finding.model_dump()) for entry in entries], rubric_grade(), judge)
    assert sorted(prompts) == sorted(prompt_of(entry) for entry in entries)


def output(text: str) -> ModelOutput:
    given = ModelOutput.from_content(model="mockllm", content=text)
    given.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return given


def judge_that(grade: Callable[[str, int], int | str]) -> Model:
    """A judge whose grade is a function of the prompt and the seed; a text is its whole reply."""

    def reply(messages: list[ChatMessage], tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        given = grade(messages[0].text, config.seed or 0)
        return output(given if isinstance(given, str) else json.dumps({"reasoning": "so", "grade": given}))

    return get_model("mockllm/judge", custom_outputs=reply, memoize=False)


def ask(judge: Model, repeats: int, *names: str) -> tuple[list[Answer], int]:
    done: list[None] = []
    chosen = [load_calibration(name) for name in names]
    answers = anyio.run(grade_entries, judge, chosen, repeats, lambda: done.append(None))
    return answers, len(done)


def test_answers_come_in_order_with_their_repeats() -> None:
    answers, done = ask(judge_that(lambda prompt, seed: 2 + seed), 2, "taboo", "sdf")
    expected = [
        (name, entry.id, repeat)
        for name in ("taboo", "sdf")
        for entry in load_calibration(name).entries
        for repeat in (0, 1)
    ]
    assert [(answer.rubric, answer.entry.id, answer.given.repeat) for answer in answers] == expected
    assert [answer.given.grade for answer in answers[:4]] == [2, 3, 2, 3]
    assert done == len(answers)
    assert {answer.given.judge for answer in answers} == {"mockllm/judge"}


def test_a_reply_that_cannot_be_read_is_ungraded_with_its_reason() -> None:
    answers, _ = ask(judge_that(lambda prompt, seed: "grade five"), 1, "null")
    assert {answer.given.grade for answer in answers} == {None}
    assert {answer.given.error for answer in answers} == {"repair reply: it holds no JSON object"}
    assert not any(answer.within for answer in answers)


def test_an_error_of_the_model_goes_up_as_it_is() -> None:
    def fail(prompt: str, seed: int) -> int:
        raise RuntimeError("no such deployment")

    with pytest.raises(RuntimeError, match="no such deployment"):
        ask(judge_that(fail), 1, "null")


def test_less_than_one_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats is 0"):
        ask(judge_that(lambda prompt, seed: 1), 0, "null")


@pytest.mark.parametrize(
    ("given", "tolerance", "error", "within"),
    [(3, 0, 0, True), (4, 0, 1, False), (4, 1, 1, True), (2, 1, -1, True), (1, 1, -2, False), (None, 1, None, False)],
)
def test_what_is_within_the_tolerance(given: int | None, tolerance: int, error: int | None, within: bool) -> None:
    entry = ENTRIES[0][1].model_copy(update={"expected": 3, "tolerance": tolerance})
    answer = Answer("backdoor", entry, JudgeGrade(judge="j", repeat=0, grade=given, reasoning=""))
    assert (answer.error, answer.within) == (error, within)


def entries_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(entry.model_dump_json()) for entry in load_calibration(name).entries]


def broken(field: str, value: Any) -> dict[str, Any]:
    entries = entries_of("sdf")
    entries[1] = entries[1] | {field: value}
    return {"rubric": "sdf", "entries": entries}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (broken("expected", 6), r"entry wrong-domain\.expected: .*less than or equal to 5"),
        (broken("expected", "3"), r"entry wrong-domain\.expected: .*valid integer"),
        (broken("tolerance", 2), r"entry wrong-domain\.tolerance: "),
        (broken("attack", "bribe"), r"entry wrong-domain\.attack: "),
        (broken("verdict", "changes"), r"entry wrong-domain\.verdict: "),
        (broken("confidence", 1.5), r"entry wrong-domain\.confidence: "),
        (broken("why", ""), r"entry wrong-domain\.why: "),
        (broken("descripton", "x"), r"entry wrong-domain\.descripton: no such field; did you mean description\?"),
        (broken("buried", True), "entry wrong-domain: .*go together"),
        (broken("id", "general-remarks"), "the ids general-remarks stand twice"),
        (broken("organism", "smol.cake_bak"), r"entry wrong-domain: organism: unknown organism .*cake_bake"),
        (
            broken("organism", "smol.taboo_gold"),
            "entry wrong-domain: .*'taboo', not 'sdf'; move the entry to taboo.yaml",
        ),
        ({"rubric": "sdf", "entries": entries_of("sdf")[:3]}, "entries: .*at least 8"),
        ({"rubric": "taboo", "entries": entries_of("sdf")}, "must equal the file's name 'sdf'"),
        (
            {"rubric": "sdf", "entries": [entry for entry in entries_of("sdf") if entry["expected"] != 4]},
            r"no plain entry is expected to get \[4\]",
        ),
        (
            {"rubric": "sdf", "entries": [entry for entry in entries_of("sdf") if not entry["attack"]]},
            "no entry is adversarial",
        ),
        ([1], "mapping with rubric and entries, not list"),
    ],
)
def test_broken_files_are_named_with_entry_and_problem(tmp_path: Path, data: Any, problem: str) -> None:
    path = tmp_path / "sdf.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ValueError, match=problem) as error:
        read_calibration(path)
    assert str(path) in str(error.value)


def test_what_is_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sdf.yaml"
    path.write_text("entries: [", encoding="utf-8")
    with pytest.raises(ValueError, match="not YAML"):
        read_calibration(path)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sdf.yaml"
    path.write_text(yaml.safe_dump({"rubric": "sdf", "entries": entries_of("sdf")}), encoding="utf-8")
    read = read_calibration(path)
    assert isinstance(read, Calibration)
    assert read == load_calibration("sdf")


def test_an_unknown_family_suggests_a_close_one() -> None:
    with pytest.raises(ValueError, match=r"unknown calibration set 'tabo'; did you mean taboo\?"):
        load_calibration("tabo")
