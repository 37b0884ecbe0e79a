"""Where grades come from: logs, here or elsewhere, and submissions, in which logs or grades are packed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..records.errors import MendableError, MissingError
from ..records.files import file_sha256
from .logs import find_logs
from .schema import Grade, LeftOut, load_packed
from .submission import GRADES, LogEntry, Submission, SubmissionRefused, read_submission

__all__ = ["LogSource", "PackedSource", "Sources", "open_sources"]


@dataclass(frozen=True)
class LogSource:
    """A log to be read."""

    path: str
    name: str
    """What the frame calls it: its path, or ``<submission>/logs/<file>``."""
    modified: float


@dataclass(frozen=True)
class PackedSource:
    """Grades that were packed without their log."""

    age: tuple[str, str, float, str]
    grades: tuple[Grade, ...]


@dataclass(frozen=True)
class Sources:
    """All that was found, each log once."""

    logs: tuple[LogSource, ...]
    packed: tuple[PackedSource, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _RemoteFile:
    """A file that was copied."""

    url: str
    copy: Path
    modified: float
    """Seconds since 1970, as the other side tells it; 0 where it does not."""


@contextmanager
def open_sources(paths: str | Path | Iterable[str | Path]) -> Iterator[Sources]:
    """Find logs and submissions; those elsewhere are copied, and logs in submissions unpacked, while the context lasts.

    A log that is there several times is taken once: the one that lies there as a file, else that of a submission with
    logs, else the packed grades; in the order given.

    Args:
        paths: Files, folders, and URLs of either that Inspect reads, such as ``s3://bucket/logs``.

    Raises:
        MissingError: For a path that does not exist.
        MendableError: For a folder without logs and submissions, for a URL that cannot be read, or without a path.
    """
    with tempfile.TemporaryDirectory(prefix="diffbench-", ignore_cleanup_errors=True) as temporary:
        logs, archives = _find(paths, Path(temporary) / "remote")
        packed: list[PackedSource] = []
        left_out: list[LeftOut] = []
        # Hashing logs is needed only where one may be in a submission too.
        seen = {file_sha256(Path(log.path)): log.name for log in logs} if archives else {}
        for number, (shown, submission) in enumerate(_opened(archives, left_out)):
            wanted = _unseen(shown, submission, seen, left_out)
            folder = Path(temporary) / str(number)
            try:
                submission.extract(folder)
                if submission.manifest.kind == "grades":
                    packed += _packed(shown, wanted, folder)
                    kept = {log.name for log in wanted}
                    notes = [note for note in submission.manifest.notes if note.log in kept]
                    left_out += [replace(note, log=f"{shown}/logs/{note.log}") for note in notes]
                else:
                    logs += [LogSource(str(folder / "logs" / e.name), _name(shown, e), e.modified) for e in wanted]
            except SubmissionRefused as refused:
                left_out.append(LeftOut(shown, None, str(refused).replace(str(submission.path), shown)))
        yield Sources(tuple(logs), tuple(packed), tuple(left_out))


def _find(paths: str | Path | Iterable[str | Path], folder: Path) -> tuple[list[LogSource], dict[Path, str]]:
    """Logs, and submissions with what they are called, each once; remote ones are copied into ``folder``."""
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        find_logs([])
    urls = dict.fromkeys(str(path) for path in given if _is_remote(path))
    remote = [file for i, url in enumerate(urls) for file in _fetch(url, folder / str(i))]
    copies = {file.url: file for file in remote}.values()
    files, archives = _local([Path(str(path).removeprefix("file://")) for path in given if not _is_remote(path)])
    logs = [LogSource(file, file, Path(file).stat().st_mtime) for file in files]
    logs += [LogSource(str(file.copy), file.url, file.modified) for file in copies if file.copy.suffix != ".zip"]
    called = {archive: str(archive) for archive in archives}
    return logs, called | {file.copy: file.url for file in copies if file.copy.suffix == ".zip"}


def _local(given: list[Path]) -> tuple[list[str], list[Path]]:
    """Logs and submissions among this machine's files."""
    logs: dict[str, None] = {}
    archives: dict[Path, None] = {}
    for path in given:
        here = sorted(path.rglob("*.zip")) if path.is_dir() else [path] if path.suffix == ".zip" else []
        archives |= dict.fromkeys(archive.resolve() for archive in here)
        if path in here and path.is_file():
            continue
        try:
            logs |= dict.fromkeys(find_logs(path))
        except MendableError:
            if not here:
                raise
    return list(logs), list(archives)


def _opened(archives: dict[Path, str], left_out: list[LeftOut]) -> list[tuple[str, Submission]]:
    """Those that are whole; with logs before those with grades alone, else in the order given."""
    opened = []
    for archive, shown in archives.items():
        try:
            opened.append((shown, read_submission(archive)))
        except SubmissionRefused as refused:
            left_out.append(LeftOut(shown, None, str(refused).replace(str(archive), shown)))
    return sorted(opened, key=lambda item: item[1].manifest.kind != "logs")


def _unseen(shown: str, submission: Submission, seen: dict[str, str], left_out: list[LeftOut]) -> list[LogEntry]:
    """The submission's logs that were not met before; they count as met from now on."""
    wanted = []
    for log in submission.manifest.logs:
        name = _name(shown, log)
        if log.sha256 in seen:
            why = f"duplicate: the same log as {seen[log.sha256]}, which is counted instead"
            left_out.append(LeftOut(name, None, why))
            continue
        seen[log.sha256] = name
        wanted.append(log)
    return wanted


def _packed(shown: str, logs: list[LogEntry], folder: Path) -> list[PackedSource]:
    try:
        grades = load_packed(folder / GRADES, {log.name: log.task_id for log in logs})
    except MendableError as error:
        raise SubmissionRefused(f"{GRADES}: {error}") from error
    packed = []
    for log in logs:
        name = _name(shown, log)
        if len(grades[log.name]) != log.grades:
            raise SubmissionRefused(f"{GRADES} has {len(grades[log.name])} grades of {log.name}, not {log.grades}")
        mine = tuple(replace(grade, row={**grade.row, "log": name}) for grade in grades[log.name])
        packed.append(PackedSource((log.created, log.completed, log.modified, name), mine))
    return packed


def _name(shown: str, log: LogEntry) -> str:
    return f"{shown}/logs/{log.name}"


def _is_remote(path: str | Path) -> bool:
    """Whether it is the URL of another place than this machine's files."""
    return isinstance(path, str) and bool(re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://", path))


def _fetch(url: str, folder: Path) -> list[_RemoteFile]:
    """Copy what is at ``url`` into ``folder``: the file, or the logs and zip files below it.

    Every place is read that Inspect reads logs from; fsspec's packages for the protocols do it.

    Raises:
        MissingError: When nothing is there.
        MendableError: When it is a folder without logs and zip files, when the protocol is unknown or its package is
            not installed, or when the other side refuses.
    """
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped,unused-ignore]

    try:
        return _copied(url, folder)
    except FileNotFoundError:
        raise
    except (ImportError, OSError, BotoCoreError) as error:
        raise MendableError(f"{url} cannot be read: {type(error).__name__}: {error}") from error


def _copied(url: str, folder: Path) -> list[_RemoteFile]:
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
        files.append(_RemoteFile(str(fs.unstrip_protocol(path)), copy, modified))
    return files
