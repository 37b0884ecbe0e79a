"""Agents of other packages and files, as the task's argument ``agent`` and in sweeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from diffbench.agents.kinds import kind_of
from diffbench.agents.plugged_in import plugged_in
from diffbench.benchmark.diffing import diffing
from diffbench.benchmark.selection import select_methods
from diffbench.benchmark.sweep.file import load_sweep
from diffbench.benchmark.sweep.plan import make_plan
from diffbench.methods.registry import list_methods
from diffbench.results.frame import grades_frame
from diffbench.tools.case import CaseState
from inspect_ai import eval as evaluate
from inspect_ai.util import registry_info

MINE = f"{Path(__file__).parents[2] / 'examples' / 'my_agent.py'}@my_agent"


def test_an_agent_of_a_file_works_the_cases_and_is_named_in_the_frame(bench: Any, tmp_path: Path) -> None:
    task = diffing(suite="tiny", organisms="alpha", methods="blackbox", agent=MINE, interactions=2, response_tokens=3)
    (log,) = evaluate(task, log_dir=str(tmp_path), display="none")
    (sample,) = log.samples or []
    assert sample.error is None
    case = sample.store_as(CaseState)
    assert (case.finding_source, case.interactions_used) == ("submit", 2)
    assert grades_frame(tmp_path).frame["agent"].tolist() == [MINE]


def test_it_may_work_all_methods_as_the_investigator_does() -> None:
    assert (
        select_methods(None, kind_of(MINE))
        == select_methods(None, kind_of("investigator"))
        == ["blackbox", *list_methods()]
    )


@pytest.mark.parametrize(("agent", "kind"), [("inspect_ai/react", "agent"), ("inspect_ai/basic_agent", "solver")])
def test_an_agent_of_a_package_is_made_by_its_name(agent: str, kind: str) -> None:
    info = registry_info(plugged_in(agent))
    assert (info.type, info.name) == (kind, agent)


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ("nowhere/agent", "no such agent; install nowhere"),
        ("nowhere.py@agent", "there is no file nowhere.py in"),
        ("mine.py@agentt", "mine.py defines no agentt"),
        ("mine.py@plain", "plain is no agent but a function; decorate it with @agent"),
        ("mine.py@graded", "graded is no agent but a scorer"),
        ("mine.txt@agent", "mine.txt is no Python file"),
        ("mine", "one of yours: package/agent or file.py@agent"),
    ],
)
def test_what_is_no_agent_is_refused(agent: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = "@scorer(metrics=[accuracy()])\ndef graded():\n    return None\n"
    text = f"from inspect_ai.scorer import accuracy, scorer\n\ndef plain():\n    return None\n\n{scorer}"
    for name in ("mine.py", "mine.txt"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(told)):
        diffing(suite="smol", organisms="cake_bake", methods="blackbox", agent=agent)


def test_an_error_in_the_file_is_shown_each_time(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nowhere_to_be_found\n", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
            plugged_in(f"{path}@agent")


def test_a_sweep_takes_it_beside_ours(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"suites: {{tiny: [alpha]}}\nmethods: blackbox\nagents: [investigator, {MINE}]\n", encoding="utf-8")
    assert load_sweep(path).agents == ("investigator", MINE)
    assert [job.agent for job in make_plan(path, tmp_path / "logs").jobs] == ["investigator", MINE]
