"""Files that commands write: refused before any work is done, and written whole."""

from __future__ import annotations

from pathlib import Path

from ...records.errors import MendableError, MissingError
from ...records.files import write_whole

__all__ = ["require_folder", "write_output"]


def require_folder(path: Path) -> None:
    """Refuse a file that could not be written, before anything is computed.

    Raises:
        MissingError: When its folder does not exist.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise MissingError(f"{path} cannot be written: there is no folder {folder}; create it first")


def write_output(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        MissingError: When its folder does not exist.
        MendableError: When the folder does not take it.
    """
    require_folder(path)
    try:
        write_whole(path, content)
    except OSError as error:
        raise MendableError(f"{path} cannot be written: {error.strerror}; choose another place") from error
