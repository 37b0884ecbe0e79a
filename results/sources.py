"""Where grades come from: logs, here or elsewhere, and submissions, in which logs or grades are packed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..records.errors import MendableError
from .logs import find_logs
from .remote import fetch, is_remote
from .schema import Grade, LeftOut, load_packed
from .submission import GRADES, LogEntry, Submission, SubmissionRefused, file_sha256, read_submission

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
                    left_out += _notes(shown, submission, wanted)
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
    urls = dict.fromkeys(str(path) for path in given if is_remote(path))
    remote = [file for i, url in enumerate(urls) for file in fetch(url, folder / str(i))]
    copies = {file.url: file for file in remote}.values()
    files, archives = _local([Path(str(path).removeprefix("file://")) for path in given if not is_remote(path)])
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


def _notes(shown: str, submission: Submission, logs: list[LogEntry]) -> list[LeftOut]:
    names = {log.name for log in logs}
    return [
        LeftOut(f"{shown}/logs/{note.log}", note.sample, note.reason)
        for note in submission.manifest.notes
        if note.log in names
    ]


def _name(shown: str, log: LogEntry) -> str:
    return f"{shown}/logs/{log.name}"
