"""The command ``diffbench``."""

from __future__ import annotations

import os
import re
from importlib.metadata import requires
from typing import Any

import click
from rich.text import Text

from ...records.errors import MendableError
from .adl import adl
from .artifacts import artifacts
from .audit import audit
from .diff import diff
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

_DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""Package -> distribution, where their names differ."""
_NAME = re.compile(r"[\w.-]+")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


class _Group(click.Group):
    """Shows what a user can mend as one line; every other exception keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            told = _told(error)
            if told is None or os.environ.get("DIFFBENCH_TRACEBACK"):
                raise
            raise click.ClickException(told) from error


def _told(error: Exception) -> str | None:
    """The message for a user who can mend the error; None for any other."""
    if isinstance(error, MendableError):
        return str(error)
    # Inspect's error for a missing key or package is of a class that it does not export.
    if type(error).__name__ == "PrerequisiteError":
        return " ".join(Text.from_markup(str(error)).plain.removeprefix("ERROR: ").split())
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_with(error.name or "")):
        return f"{error}; install it with: pip install 'diffbench[{extra}]'"
    return None


def _extra_with(module: str) -> str | None:
    """The optional part of this package that brings a module, as its metadata say."""
    package = module.partition(".")[0].replace("_", "-")
    wanted = {package, _DISTRIBUTIONS.get(package)}
    for requirement in requires("diffbench") or []:
        name, extra = _NAME.match(requirement), _EXTRA.search(requirement)
        if name and extra and name[0].lower().replace("_", "-") in wanted:
            return extra[1]
    return None


@click.group(cls=_Group)
@click.version_option(package_name="diffbench")
def main() -> None:
    """Which model-diffing methods help an investigator find out what a finetune did?

    The benchmark itself runs with: inspect eval benchmark/diffing.py
    """


for command in (
    organisms, diff, artifacts, methods, show, adl, run, leaderboard, power, judges, audit, export, submit
):  # fmt: skip
    main.add_command(command)
