"""Files and folders that are there whole or not at all.

Everything is written under a temporary name beside its place and then renamed: a killed run leaves no half-written
file, and a reader sees the old content or the new one. Leftovers of killed processes are removed by the next write.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
import psutil

__all__ = ["CACHE_VARIABLE", "cache_folder", "file_sha256", "replaced_file", "whole_folder", "write_whole"]

CACHE_VARIABLE = "DIFFBENCH_CACHE"
"""Environment variable: where converted base models and, by default, artifacts are kept."""

_PARTIAL = ".partial-"


def cache_folder() -> Path:
    """The user's diffbench cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("diffbench"))


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole, in place of one that is there; missing folders are made.

    Raises:
        OSError: When it cannot be written; what was there stays.
    """
    with replaced_file(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to be written to, which takes its place when the block ends without an error.

    For what writes files itself; missing folders are made. After an error nothing is left but what was there.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        with suppress(FileNotFoundError):
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, first_stays: bool = False) -> Iterator[Path]:
    """An empty temporary folder beside ``path``, which takes its place when the block ends without an error.

    A folder that was there is put aside, and removed only when the new one has its name; when that fails it is put
    back. After an error inside the block nothing is left but what was there.

    Args:
        path: The folder's place.
        first_stays: Keep a folder with files that is there when the block ends: another process, whose result is
            the same, was first and may be reading it.
    """
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        if first_stays:
            _put_unless_there(temporary, path)
        else:
            _exchange(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    aside = _temporary(path)
    path.rename(aside)
    try:
        new.rename(path)
    except OSError:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _put_unless_there(new: Path, path: Path) -> None:
    try:
        new.rename(path)
    except OSError:
        if not path.exists():
            raise


def _temporary(path: Path) -> Path:
    """A new name beside ``path``; leftovers beside it are removed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{_PARTIAL}*"):
        pid = leftover.name.removeprefix(_PARTIAL).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    # Not the process number alone: in containers it repeats, and a killed run may have left the same name.
    return path.parent / f"{_PARTIAL}{os.getpid()}-{uuid.uuid4().hex}-{path.name}"
