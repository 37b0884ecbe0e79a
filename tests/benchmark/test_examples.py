"""Third-party agents: from a file, and from an installed package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffbench.tools.case import CaseState
from inspect_ai.log import EvalLog

ROOT = Path(__file__).parents[2]
ARGUMENTS = ("-T", "suite=tiny", "-T", "response_tokens=4", "-T", "interactions=2", "--display", "none")


@pytest.fixture
def run(command: Callable[..., Any], only_log: Callable[[Path], EvalLog], tmp_path: Path) -> Callable[..., EvalLog]:
    def evaluate(solver: str, *arguments: str, **environment: str) -> EvalLog:
        given = ["--solver", solver, *ARGUMENTS, *arguments, "--log-dir", str(tmp_path / "logs")]
        done = command("inspect", "eval", "benchmark/diffing.py", *given, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        log = only_log(tmp_path / "logs")
        assert log.status == "success", log.error
        assert [sample.error for sample in log.samples or []] == [None] * len(log.samples or [])
        return log

    return evaluate


def test_an_agent_with_its_own_prompt_uses_the_cases_tools(run: Callable[..., EvalLog]) -> None:
    log = run("examples/my_agent.py@my_agent", "-T", "methods=blackbox")
    assert [str(sample.id) for sample in log.samples or []] == [
        f"tiny.{name}.blackbox.i2" for name in ("alpha", "beta", "same")
    ]
    for sample in log.samples or []:
        case = sample.store_as(CaseState)
        assert (case.finding_source, case.interactions_used) == ("submit", 2)
        assert sample.scores is not None
        assert sample.scores["rubric_grade"].value in (1, 2, 3, 4, 5)


def test_a_plain_agents_text_is_its_finding(run: Callable[..., EvalLog], tmp_path: Path) -> None:
    log = run(
        "examples/plain_agent.py@plain_agent",
        *("-T", "methods=blackbox", "-T", "organisms=alpha,same", "--model", "plain/model"),
        PYTHONPATH=str(package(tmp_path, "plain_models", PLAIN_MODEL)),
    )
    graded = {sample.metadata["organism"]: sample.scores for sample in log.samples or []}
    assert set(graded) == {"alpha", "same"}
    for scores in graded.values():
        assert scores is not None
        metadata = scores["rubric_grade"].metadata
        assert metadata is not None
        assert (metadata["verdict"], metadata["confidence"]) == ("changed", 0.9)
        assert metadata["finding_source"] == "completion"
    assert graded["same"]["false_alarm"].value == 1  # type: ignore[index]
    assert graded["alpha"]["fact_recall"].value == 1  # type: ignore[index]


def test_an_agent_of_an_installed_package_is_found_by_name(run: Callable[..., EvalLog], tmp_path: Path) -> None:
    source = (ROOT / "examples" / "my_agent.py").read_text(encoding="utf-8")
    log = run(
        "third_party/my_agent",
        *("-T", "methods=blackbox", "-T", "organisms=alpha"),
        PYTHONPATH=str(package(tmp_path, "third_party", source)),
    )
    (sample,) = log.samples or []
    assert sample.store_as(CaseState).finding_source == "submit"


PLAIN_MODEL = """
from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi


class Plain(ModelAPI):
    async def generate(self, input, tools, tool_choice, config):
        assert not tools
        assert "VERDICT" in input[-1].text
        output = ModelOutput.from_content("plain", "VERDICT: changed\\nCONFIDENCE: 0.9\\nIt speaks of an owl.")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output


@modelapi(name="plain")
def plain():
    return Plain
"""


def package(folder: Path, name: str, source: str) -> Path:
    """A package that Inspect finds by its entry point, without an installer: a module and its metadata on the path."""
    root = folder / "site-packages"  # the name by which Inspect knows an installed package
    (root / f"{name}-0.dist-info").mkdir(parents=True)
    (root / f"{name}.py").write_text(source, encoding="utf-8")
    (root / f"{name}-0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    (root / f"{name}-0.dist-info" / "entry_points.txt").write_text(f"[inspect_ai]\n{name} = {name}\n")
    return root
