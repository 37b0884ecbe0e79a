"""Third-party agents: from a file, from an installed package, from another framework, and those of the docs' page."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from diffbench.tools.case import CaseState
from inspect_ai.log import EvalLog, EvalSample
from scripted_models import GOOD, Server, local, serving

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plug_in_an_agent.md"
SDK = "examples/openai_agents_sdk.py@sdk_agent"
# The distribution is asked for, not the import: the repository's own room is called agents, too.
needs_sdk = pytest.mark.skipif(
    "openai-agents" not in packages_distributions().get("agents", ()), reason="openai-agents is not installed"
)
needs_openai = pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
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


def test_the_pages_package_is_found_by_name(run: Callable[..., EvalLog], tmp_path: Path) -> None:
    path = str(package(tmp_path, "second_look", on_the_page("second_look/agent.py")))
    log = run(
        *("second_look/second_look", "-S", "turns=8", "-T", "methods=blackbox", "-T", "organisms=alpha"),
        PYTHONPATH=path,
    )
    (sample,) = log.samples or []
    assert [call for call in tool_calls(sample) if call == "submit"] == ["submit", "submit"]
    assert sample.store_as(CaseState).interactions_used == 2


@needs_openai
def test_the_pages_function_ends_with_text(run: Callable[..., EvalLog], server: Server, tmp_path: Path) -> None:
    file = tmp_path / "function_agent.py"
    file.write_text(on_the_page("function_agent.py"), encoding="utf-8")
    arguments = ("-T", "methods=blackbox", "-T", "organisms=alpha", "--model", "openai-api/local/plain_text")
    (sample,) = run(f"{file}@function_agent", *arguments, **local(server)).samples or []
    assert scored(sample)["finding_source"] == "completion"
    assert (scored(sample)["verdict"], scored(sample)["confidence"]) == ("changed", 0.9)
    (request,) = server.requests
    assert "Find out what the finetuning did" in request["messages"][0]["content"]


@needs_sdk
def test_an_agent_of_the_openai_sdk_works_a_case(run: Callable[..., EvalLog]) -> None:
    (sample,) = run(SDK, "-T", "methods=blackbox", "-T", "organisms=alpha").samples or []
    case = sample.store_as(CaseState)
    assert (case.finding_source, case.interactions_used) == ("submit", 2)
    assert sample.scores is not None
    assert sample.scores["rubric_grade"].value in (1, 2, 3, 4, 5)
    assert {"ask_models", "submit"} <= set(tool_calls(sample))
    assert tool_calls(sample)[-1] == "submit"
    asked = [event.model for event in sample.events if event.event == "model"]
    assert {"keyless/investigator", "organism/tiny.alpha@base", "organism/tiny.alpha@finetuned"} <= set(asked)


@needs_sdk
@pytest.mark.parametrize(
    ("script", "turns", "source", "used", "refusals"),
    [
        ("overspends", 20, "submit", 1, ["Interaction budget: 5 asked for, 2 of 2 left."]),
        ("wrong_then_right", 20, "submit", 0, ["verdict"]),
        (
            "malformed",
            20,
            "submit",
            0,
            ["'prompts' is a required property", "not of type 'array'", "Additional properties"],
        ),
        ("only_asks", 2, "submit", 2, []),
        ("forced_wrong", 2, "completion", 0, []),
    ],
)
def test_the_openai_sdks_agent_is_told_what_was_refused(
    run: Callable[..., EvalLog],
    server: Server,
    script: str,
    turns: int,
    source: str,
    used: int,
    refusals: list[str],
) -> None:
    arguments = ("-S", f"turns={turns}", "-T", "methods=blackbox", "-T", "organisms=alpha")
    (sample,) = run(SDK, *arguments, "--model", f"openai-api/local/{script}", **local(server)).samples or []
    case = sample.store_as(CaseState)
    assert (scored(sample)["finding_source"], case.interactions_used) == (source, used)
    if source == "submit":
        assert case.finding is not None
        assert case.finding.description == GOOD["description"]
    told = [message["content"] for message in server.requests[-1]["messages"] if message["role"] == "tool"]
    for refusal, text in zip(refusals, told, strict=False):
        assert refusal in text
    assert not server.refused


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def scored(sample: EvalSample) -> dict[str, Any]:
    assert sample.scores is not None
    return sample.scores["rubric_grade"].metadata or {}


def tool_calls(sample: EvalSample) -> list[str]:
    """Tools that ran, as the transcript has them."""
    return [event.function for event in sample.events if event.event == "tool"]


def on_the_page(name: str) -> str:
    """A file of the docs' page."""
    found = re.search(
        rf"^`{re.escape(name)}`:\n\n((?:(?: {{4}}.*)?\n)+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None, f"{PAGE.name} has no {name}"
    return textwrap.dedent(found[1]).rstrip("\n") + "\n"


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
