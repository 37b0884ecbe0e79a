"""What the command line shows of an error: one line of what a user can mend, a traceback of all else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner, Result
from diffbench.benchmark.cli.main import main
from diffbench.records.errors import MendableError, MissingError, unknown_name
from inspect_ai.model import get_model

Failing = Callable[[BaseException], Result]


@pytest.fixture
def failing() -> Iterator[Failing]:
    """Runs a command of ``diffbench`` whose code raises an error."""

    def run(error: BaseException) -> Result:
        @click.command("failing")
        def command() -> None:
            raise error

        main.add_command(command)
        return CliRunner().invoke(main, ["failing"])

    yield run
    main.commands.pop("failing", None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MendableError("the value is 7; it is 1 to 5"), "Error: the value is 7; it is 1 to 5\n"),
        (MissingError("no weights\nget them with: train"), "Error: no weights\nget them with: train\n"),
        (unknown_name("method", "kll", ["kl"]), "Error: unknown method 'kll'; did you mean kl?\n"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "Error: No module named 'torch'; install it with: pip install 'diffbench[local]'\n",
        ),
        (
            ModuleNotFoundError("No module named 'sklearn'", name="sklearn.decomposition"),
            "Error: No module named 'sklearn'; install it with: pip install 'diffbench[local]'\n",
        ),
        (
            ModuleNotFoundError("No module named 'nutpie'", name="nutpie"),
            "Error: No module named 'nutpie'; install it with: pip install 'diffbench[results]'\n",
        ),
        (click.ClickException("3 failed"), "Error: 3 failed\n"),
    ],
)
def test_what_a_user_can_mend_is_shown_alone(failing: Failing, error: BaseException, told: str) -> None:
    shown = failing(error)
    assert shown.exit_code == 1
    assert shown.output == told


def test_a_model_without_its_key_is_shown_alone(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    with pytest.raises(Exception, match="ANTHROPIC_API_KEY") as raised:
        get_model("anthropic/claude-test")
    shown = failing(raised.value)
    assert shown.exit_code == 1
    assert "Error: " in shown.output
    assert "ANTHROPIC_API_KEY" in shown.output


@pytest.mark.parametrize(
    "error",
    [
        ValueError("operands could not be broadcast together"),
        FileNotFoundError(2, "No such file or directory", "x"),
        KeyError("rows"),
        AssertionError(),
        ModuleNotFoundError("No module named 'of_a_method'", name="of_a_method"),
        ModuleNotFoundError("No module named 'diffbench.gone'", name="diffbench.gone"),
    ],
)
def test_every_other_error_keeps_its_traceback(failing: Failing, error: BaseException) -> None:
    shown = failing(error)
    assert shown.exception is error
    assert shown.output == ""


def test_tracebacks_of_all_errors_can_be_asked_for(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFBENCH_TRACEBACK", "1")
    error = MendableError("the value is 7")
    assert failing(error).exception is error


def test_a_process_shows_where_a_methods_code_failed() -> None:
    code = (
        "import click\n"
        "from diffbench.benchmark.cli.main import main\n"
        "def code_of_a_method(): raise ValueError('shapes differ')\n"
        "main.add_command(click.Command('failing', callback=code_of_a_method))\n"
        "main(['failing'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback (most recent call last):")
    assert "in code_of_a_method" in ended.stderr
    assert ended.stderr.rstrip().endswith("ValueError: shapes differ")
