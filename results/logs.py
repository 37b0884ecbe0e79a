"""Evaluation logs of the task ``diffing``: finding, reading and refusing them."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..records.errors import MendableError, MissingError
from ..records.progress import Track, ticking, untracked

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

__all__ = ["TASKS", "LogRefused", "age", "damage", "find_logs", "read_log", "read_transcripts", "reading", "unfinished"]

TASKS = ("diffing", "diffbench/diffing")
"""Names of the task: run from its file, and run from the installed package."""

_REMEDY = "run: inspect eval benchmark/diffing.py --log-dir {folder}"
_UNUSED = {"messages", "events", "events_data", "attachments", "timelines"}


class LogRefused(MendableError):  # noqa: N818 - it reads as what happened
    """A file that is no readable log of the task; the message says why."""


def find_logs(paths: str | Path | Iterable[str | Path]) -> list[str]:
    """The log files named, and those in the folders named and their sub-folders; each once.

    Raises:
        MissingError: For a path that does not exist.
        MendableError: For a folder without logs, or when no path is given.
    """
    from inspect_ai.log import list_eval_logs

    found: dict[Path, None] = {}
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not given:
        raise MendableError(f"no log given; {_REMEDY.format(folder='logs')}")
    for path in map(Path, given):
        if not path.exists():
            raise MissingError(f"no log at {path}; {_REMEDY.format(folder=path)}")
        files = [path]
        if path.is_dir():
            files = [Path(info.name.removeprefix("file://")) for info in list_eval_logs(str(path.resolve()))]
        if not files:
            raise MendableError(f"no evaluation log in {path}; {_REMEDY.format(folder=path)}")
        found |= dict.fromkeys(file.resolve() for file in sorted(files))
    return [str(file) for file in found]


def read_log(path: str, tick: Callable[[], object] = lambda: None) -> EvalLog:
    """The log with its samples, without their transcripts.

    Args:
        path: The file.
        tick: Called after each sample.

    Raises:
        LogRefused: When the file cannot be read or is the log of another task.
    """
    from inspect_ai.log import read_eval_log

    with _refusing_damage():
        header = read_eval_log(path, header_only=True)
        _require_task(header)
        if not zipfile.is_zipfile(path):
            return read_eval_log(path, exclude_fields=_UNUSED)
        header.samples = list(_packed_samples(path, tick))
    return header


def read_transcripts(path: str, tick: Callable[[], object] = lambda: None) -> tuple[EvalLog, Iterator[EvalSample]]:
    """The log's header, and its samples with their transcripts, read one at a time as they are asked for.

    Args:
        path: The file.
        tick: Called after each sample.

    Raises:
        LogRefused: When the file cannot be read or is the log of another task; in the iterator as well.
    """
    from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries

    def packed() -> Iterator[EvalSample]:
        for found in read_eval_log_sample_summaries(path):
            yield read_eval_log_sample(path, found.id, found.epoch, resolve_attachments="full")

    def samples() -> Iterator[EvalSample]:
        with _refusing_damage():
            whole = None if zipfile.is_zipfile(path) else read_eval_log(path, resolve_attachments="full").samples or []
            for sample in packed() if whole is None else whole:
                yield sample
                tick()

    with _refusing_damage():
        header = read_eval_log(path, header_only=True)
        _require_task(header)
    return header, samples()


@contextmanager
def _refusing_damage() -> Iterator[None]:
    try:
        yield
    except LogRefused:
        raise
    except damage() as error:
        line = str(error).partition("\n")[0]
        raise LogRefused(f"unreadable or truncated: {type(error).__name__}: {line}") from error


def _require_task(header: EvalLog) -> None:
    if header.eval.task not in TASKS:
        raise LogRefused(f"log of the task {header.eval.task!r}, not of {TASKS[0]!r}")


def damage() -> tuple[type[Exception], ...]:
    """What reading a damaged log raises."""
    from ijson.common import JSONError  # type: ignore[import-untyped,unused-ignore]
    from zstandard import ZstdError

    zipped = (zipfile.BadZipFile, zlib.error, ZstdError)
    return (ValueError, KeyError, OSError, EOFError, RuntimeError, JSONError, *zipped)


def _packed_samples(path: str, tick: Callable[[], object]) -> Iterator[EvalSample]:
    """Samples of an ``.eval`` file, one parsed at a time: much faster than Inspect's own reading without transcripts.

    The file is a zip of JSON, a member a sample; of members of one name the last counts.
    """
    from inspect_ai.log import EvalSample

    with zipfile.ZipFile(path) as archive:
        for name in dict.fromkeys(archive.namelist()):
            if name.startswith("samples/") and name.endswith(".json"):
                content = json.loads(archive.read(name))
                yield EvalSample.model_validate({key: value for key, value in content.items() if key not in _UNUSED})
                tick()


@contextmanager
def reading(track: Track, paths: Sequence[str | Path], label: str) -> Iterator[Callable[[], object]]:
    """The function to call after each sample that is read of the logs, all of which are shown together."""
    # Headers are read for the number alone: not where nobody looks.
    total = 0 if track is untracked else sum(map(_expected_samples, paths))
    with ticking(track, total, label) as tick:
        yield tick


def _expected_samples(path: str | Path) -> int:
    """How many samples a log should hold, from its header; 0 for a file that cannot be read."""
    from inspect_ai.log import read_eval_log

    try:
        return _expected(read_eval_log(str(path), header_only=True))
    except damage():
        return 0


def _expected(log: EvalLog) -> int:
    return (log.eval.dataset.samples or 0) * (log.eval.config.epochs or 1)


def unfinished(log: EvalLog, read: int | None = None) -> str | None:
    """For a log whose run did not succeed: how far it goes; None for a complete one.

    Args:
        log: The log, or its header.
        read: How many samples it has; those in ``log`` when not given.
    """
    if log.status == "success":
        return None
    error = f" ({log.error.message.partition(chr(10))[0]})" if log.error else ""
    there = len(log.samples or []) if read is None else read
    return (
        f"unfinished, status {log.status!r}{error}: {there} of {_expected(log)} samples are there and "
        "read; to finish it: inspect eval-retry"
    )


def age(name: str, log: EvalLog, modified: float) -> tuple[str, str, float, str]:
    """Sorts logs from old to new: by start, then end of the run, then by the file's time (re-scored copies)."""
    return (str(log.eval.created), str(log.stats.completed_at), modified, name)
