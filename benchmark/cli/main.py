"""The command ``diffbench``."""

from __future__ import annotations

import os
from typing import Any

import click
from rich.text import Text

from .adl import adl
from .artifacts import artifacts, diff
from .audit import audit
from .export import export
from .judges import judges
from .leaderboard import leaderboard
from .methods import methods
from .organisms import organisms
from .power import power
from .run import run
from .show import show
from .submit import submit

__all__ = ["main"]


class _Group(click.Group):
    """Turns the errors that users can mend into one message without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if os.environ.get("DIFFBENCH_TRACEBACK") or not _can_be_mended(error):
                raise
            raise click.ClickException(_message(error)) from error


def _can_be_mended(error: Exception) -> bool:
    # Inspect's error for a missing key or package is of a class that it does not export.
    return isinstance(error, (ValueError, FileNotFoundError, ModuleNotFoundError)) or _is_prerequisite(error)


def _is_prerequisite(error: Exception) -> bool:
    return type(error).__name__ == "PrerequisiteError"


def _message(error: Exception) -> str:
    if _is_prerequisite(error):
        return " ".join(Text.from_markup(str(error)).plain.removeprefix("ERROR: ").split())
    if isinstance(error, ModuleNotFoundError):
        return f"{error}; install what local weights need with: pip install 'diffbench[local]'"
    return str(error)


@click.group(cls=_Group)
@click.version_option(package_name="diffbench")
def main() -> None:
    """Which model-diffing methods help an investigator find out what a finetune did?

    The benchmark itself runs with: inspect eval benchmark/diffing.py
    """


main.add_command(organisms)
main.add_command(diff)
main.add_command(artifacts)
main.add_command(methods)
main.add_command(show)
main.add_command(adl)
main.add_command(run)
main.add_command(leaderboard)
main.add_command(power)
main.add_command(judges)
main.add_command(audit)
main.add_command(export)
main.add_command(submit)
