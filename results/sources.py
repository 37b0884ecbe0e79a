"""Where grades come from: logs as files or in folders, and submissions, in which logs or grades are packed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .logs import find_logs
from .packed_grades import load_packed
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
    grades: tuple[tuple[dict[str, Any], tuple[object, ...], str | None], ...]
    """Row, case and attempt of each grade."""


@dataclass(frozen=True)
class Sources:
    """All that was found, each log once."""

    logs: tuple[LogSource, ...]
    packed: tuple[PackedSource, ...]
    left_out: tuple[tuple[str, str | None, str], ...]
    """Log or submission, sample or None, and the reason."""


@contextmanager
def open_sources(paths: str | Path | Iterable[str | Path]) -> Iterator[Sources]:
    """Find logs and submissions; logs in submissions are unpacked for as long as the context lasts.

    A log that is there several times is taken once: the one that lies there as a file, else that of a submission with
    logs, else the packed grades; in the order given.

    Raises:
        FileNotFoundError: For a path that does not exist.
        ValueError: For a folder without logs and submissions, or when no path is given.
    """
    files, archives = _find(paths)
    with tempfile.TemporaryDirectory(prefix="diffbench-", ignore_cleanup_errors=True) as temporary:
        logs = [LogSource(file, file, Path(file).stat().st_mtime) for file in files]
        packed: list[PackedSource] = []
        left_out: list[tuple[str, str | None, str]] = []
        # Hashing logs is needed only where one may be in a submission too.
        seen = {file_sha256(Path(file)): file for file in files} if archives else {}
        for number, submission in enumerate(_opened(archives, left_out)):
            wanted = _unseen(submission, seen, left_out)
            folder = Path(temporary) / str(number)
            try:
                submission.extract(folder)
                if submission.manifest.kind == "grades":
                    packed += _packed(submission, wanted, folder)
                    left_out += _notes(submission, wanted)
                else:
                    logs += [LogSource(str(folder / "logs" / e.name), _name(submission, e), e.modified) for e in wanted]
            except SubmissionRefused as refused:
                left_out.append((str(submission.path), None, str(refused)))
        yield Sources(tuple(logs), tuple(packed), tuple(left_out))


def _find(paths: str | Path | Iterable[str | Path]) -> tuple[list[str], list[Path]]:
    """Logs and submissions, each once."""
    given = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
    if not given:
        find_logs([])
    logs: dict[str, None] = {}
    archives: dict[Path, None] = {}
    for path in given:
        here = sorted(path.rglob("*.zip")) if path.is_dir() else [path] if path.suffix == ".zip" else []
        archives |= dict.fromkeys(archive.resolve() for archive in here)
        if path in here and path.is_file():
            continue
        try:
            logs |= dict.fromkeys(find_logs(path))
        except ValueError:
            if not here:
                raise
    return list(logs), list(archives)


def _opened(archives: list[Path], left_out: list[tuple[str, str | None, str]]) -> list[Submission]:
    """Those that are whole; with logs before those with grades alone, else in the order given."""
    opened = []
    for archive in archives:
        try:
            opened.append(read_submission(archive))
        except SubmissionRefused as refused:
            left_out.append((str(archive), None, str(refused)))
    return sorted(opened, key=lambda submission: submission.manifest.kind != "logs")


def _unseen(
    submission: Submission, seen: dict[str, str], left_out: list[tuple[str, str | None, str]]
) -> list[LogEntry]:
    """The submission's logs that were not met before; they count as met from now on."""
    wanted = []
    for log in submission.manifest.logs:
        name = _name(submission, log)
        if log.sha256 in seen:
            left_out.append((name, None, f"duplicate: the same log as {seen[log.sha256]}, which is counted instead"))
            continue
        seen[log.sha256] = name
        wanted.append(log)
    return wanted


def _packed(submission: Submission, logs: list[LogEntry], folder: Path) -> list[PackedSource]:
    try:
        grades = load_packed(folder / GRADES, {log.name: log.task_id for log in logs})
    except ValueError as error:
        raise SubmissionRefused(f"{GRADES}: {error}") from error
    packed = []
    for log in logs:
        name = _name(submission, log)
        if len(grades[log.name]) != log.grades:
            raise SubmissionRefused(f"{GRADES} has {len(grades[log.name])} grades of {log.name}, not {log.grades}")
        mine = tuple((row | {"log": name}, case, attempt) for row, case, attempt in grades[log.name])
        packed.append(PackedSource((log.created, log.completed, log.modified, name), mine))
    return packed


def _notes(submission: Submission, logs: list[LogEntry]) -> list[tuple[str, str | None, str]]:
    names = {log.name for log in logs}
    return [
        (f"{submission.path}/logs/{note.log}", note.sample, note.reason)
        for note in submission.manifest.notes
        if note.log in names
    ]


def _name(submission: Submission, log: LogEntry) -> str:
    return f"{submission.path}/logs/{log.name}"
