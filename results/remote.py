"""Logs and submissions that lie elsewhere (``s3://``, ``gs://``, ``memory://`` …), copied here to be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..records.errors import MendableError, MissingError

__all__ = ["RemoteFile", "fetch", "is_remote"]


@dataclass(frozen=True)
class RemoteFile:
    """A file that was copied."""

    url: str
    copy: Path
    modified: float
    """Seconds since 1970, as the other side tells it; 0 where it does not."""


def is_remote(path: str | Path) -> bool:
    """Whether it is the URL of another place than this machine's files."""
    return isinstance(path, str) and bool(re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://", path))


def fetch(url: str, folder: Path) -> list[RemoteFile]:
    """Copy what is at ``url`` into ``folder``: the file, or the logs and zip files below it.

    Every place is read that Inspect reads logs from; fsspec's packages for the protocols do it.

    Raises:
        MissingError: When nothing is there.
        MendableError: When it is a folder without logs and zip files, when the protocol is unknown or its package is
            not installed, or when the other side refuses.
    """
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped,unused-ignore]

    try:
        return _fetch(url, folder)
    except FileNotFoundError:
        raise
    except (ImportError, OSError, BotoCoreError) as error:
        raise MendableError(f"{url} cannot be read: {type(error).__name__}: {error}") from error


def _fetch(url: str, folder: Path) -> list[RemoteFile]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped,unused-ignore]
    from inspect_ai.log import list_eval_logs

    try:
        fs, root = url_to_fs(url)
    except ValueError as error:
        raise MendableError(f"{url} cannot be read: {error}") from error
    if not fs.exists(root):
        raise MissingError(f"nothing at {url}; to write logs there: inspect eval … --log-dir {url}")
    found = {root}
    if fs.isdir(root):
        found = {url_to_fs(log.name)[1] for log in list_eval_logs(url)}
        found |= {path for path in fs.find(root) if path.endswith(".zip")}
    if not found:
        raise MendableError(f"no evaluation log and no submission at {url}")
    files = []
    for number, path in enumerate(sorted(found)):
        copy = folder / str(number) / PurePosixPath(path).name
        copy.parent.mkdir(parents=True)
        fs.get_file(path, str(copy))
        try:
            modified = fs.modified(path).timestamp()
        except NotImplementedError:
            modified = 0.0
        files.append(RemoteFile(str(fs.unstrip_protocol(path)), copy, modified))
    return files
