"""Files that commands write: refused before any work is done, and written whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ...records.errors import MendableError, MissingError
from ...records.files import write_whole

__all__ = ["OutputFile", "write_output"]


class OutputFile(click.Path):
    """The type of an option that names a file to be written: refused where there is no folder for it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Raises:
            MissingError: When its folder does not exist.
        """
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        folder = path.absolute().parent
        if not folder.is_dir():
            raise MissingError(f"{path} cannot be written: there is no folder {folder}; create it first")
        return path


def write_output(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        MendableError: When its folder does not take it.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise MendableError(f"{path} cannot be written: {error.strerror}; choose another place") from error
