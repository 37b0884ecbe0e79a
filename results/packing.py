"""Packing logs, or their grades alone, into a submission."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..organisms.suites import Organism, find_organism, load_suite
from ..records.case import CaseMetadata
from ..records.errors import MendableError
from ..records.files import file_sha256, replaced_file
from ..records.progress import Track, untracked
from .frame import log_grades
from .logs import LogRefused, damage, find_logs, read_log, reading, unfinished
from .redaction import SecretFoundError, find_secret, strip_log
from .schema import Grade, LeftOut, save_packed
from .submission import FORMAT_VERSION, GRADES, MANIFEST, ArtifactUse, LogEntry, Member, SubmissionManifest

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

__all__ = ["write_submission"]

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_PACKAGES = ("diffbench", "inspect_ai")


@dataclass(frozen=True)
class _Packed:
    """What a submission says of one log."""

    entry: LogEntry
    grades: tuple[Grade, ...]
    left_out: tuple[LeftOut, ...]
    artifacts: frozenset[tuple[str, str, str]]


def write_submission(
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    name: str,
    contact: str | None = None,
    grades_only: bool = False,
    allow_partial: bool = False,
    track: Track = untracked,
) -> SubmissionManifest:
    """Pack logs into one file, whole or not at all. The same logs give the same bytes.

    Args:
        paths: Logs or folders of logs.
        out: The file to be written, ``*.zip``.
        name: Who submits: shown to readers.
        contact: How to reach them.
        grades_only: Pack the grades frame in place of the logs.
        allow_partial: Also take logs of unfinished runs.
        track: Shows how many samples were read.

    Raises:
        MissingError: For a path that does not exist.
        MendableError: When the file exists, and for logs that cannot be read, have no grades, are unfinished or seem to
            hold secrets, and for organisms whose specs are not here; says which and what to do.
    """
    out = Path(out)
    if out.suffix != ".zip":
        raise MendableError(f"{out} is no name for a submission; end it in .zip")
    if out.exists():
        raise MendableError(f"{out} exists; remove it or name another file with --out")
    files = [Path(file) for file in find_logs(paths)]
    with tempfile.TemporaryDirectory(prefix="diffbench-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        with reading(track, files, "Reading samples") as tick:
            packed = _read_all(files, folder, grades_only, allow_partial, tick)
        manifest = _manifest(packed, folder, name, contact, grades_only)
        text = manifest.model_dump_json(indent=1) + "\n"
        if found := find_secret(text.encode()):
            raise MendableError(f"the manifest seems to hold {found}; look at --name, --contact and the logs' errors")
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        with replaced_file(out) as partial:
            _zip(folder, [MANIFEST, *manifest.members], partial)
    return manifest


def _read_all(
    files: list[Path], folder: Path, grades_only: bool, allow_partial: bool, tick: Callable[[], object]
) -> list[_Packed]:
    """Read all logs and write what is packed below ``folder``; refuse with all reasons at once."""
    packed, refused = [], []
    for file, name in zip(files, _names(files), strict=True):
        try:
            log = read_log(str(file), tick)
        except LogRefused as error:
            refused.append(f"{file}: {error}")
            continue
        left_out: list[LeftOut] = []
        grades = tuple(log_grades(name, log, left_out))
        note = unfinished(log)
        if note and not allow_partial:
            refused.append(f"{file}: {note}; or name only finished logs; or pack it as it is with --allow-partial")
        elif not grades:
            why = f" ({left_out[0].reason})" if left_out else ""
            refused.append(f"{file}: no grades{why}; grade it with: inspect score {file}")
        else:
            left_out = [LeftOut(name, None, note), *left_out] if note else left_out
            stripped = () if grades_only else _copy(file, folder / "logs" / name)
            packed.append(_describe(file, name, log, grades, left_out, stripped))
    if refused:
        raise MendableError(f"{len(refused)} of {len(files)} logs cannot be submitted:\n  " + "\n  ".join(refused))
    if grades_only:
        _save_grades(packed, folder / GRADES)
    return packed


def _copy(file: Path, target: Path) -> tuple[str, ...]:
    target.parent.mkdir(exist_ok=True)
    try:
        return strip_log(file, target)
    except SecretFoundError:
        raise
    except damage() as error:
        raise MendableError(f"{file}: unreadable or truncated: {type(error).__name__}: {error}") from error


def _save_grades(packed: list[_Packed], path: Path) -> None:
    grades = [grade for log in packed for grade in log.grades]
    for error in {str(grade.row["error"]) for grade in grades}:
        if found := find_secret(error.encode()):
            raise MendableError(f"the error of a sample seems to hold {found}; remove it from the log")
    save_packed(grades, path)


def _names(files: list[Path]) -> list[str]:
    """File names, made different where two logs have the same."""
    names: list[str] = []
    for file in files:
        name, number = file.name, 2
        while name in names:
            name, number = f"{file.stem}-{number}{file.suffix}", number + 1
        names.append(name)
    return names


def _describe(
    file: Path, name: str, log: EvalLog, grades: tuple[Grade, ...], left_out: list[LeftOut], stripped: tuple[str, ...]
) -> _Packed:
    entry = LogEntry(
        name=name,
        sha256=file_sha256(file),
        task_id=log.eval.task_id,
        created=str(log.eval.created),
        completed=str(log.stats.completed_at),
        modified=int(file.stat().st_mtime),
        status=log.status,
        samples=len(log.samples or []),
        grades=len(grades),
        model=log.eval.model,
        packages={str(key): str(value) for key, value in log.eval.packages.items()},
        stripped=stripped,
    )
    artifacts = frozenset(
        (case.organism_id, method, key)
        for case in _cases(log)
        if case.artifact_key
        for method, key in _artifacts_of(case.method, case.artifact_key)
    )
    return _Packed(entry, grades, tuple(left_out), artifacts)


def _cases(log: EvalLog) -> Iterator[CaseMetadata]:
    """The cases whose metadata can be read; of the others no grade was read either."""
    for sample in log.samples or []:
        with suppress(ValidationError):
            yield CaseMetadata.model_validate(sample.metadata)


def _artifacts_of(method: str, key: str) -> Iterator[tuple[str, str]]:
    """Method and key of each artifact of a case; of several methods, ``adl+kl``, the keys are joined likewise."""
    methods = method.split("+")
    yield from zip(methods, key.split("+") if len(methods) > 1 else [key], strict=True)


def _manifest(
    packed: list[_Packed], folder: Path, name: str, contact: str | None, grades_only: bool
) -> SubmissionManifest:
    files = [GRADES] if grades_only else [f"logs/{log.entry.name}" for log in packed]
    notes = [note for log in packed for note in dict.fromkeys(log.left_out)]
    organisms = sorted({(grade.row["suite"], grade.row["organism"]) for log in packed for grade in log.grades})
    return SubmissionManifest(
        format_version=FORMAT_VERSION,
        name=name,
        contact=contact,
        kind="grades" if grades_only else "logs",
        members={
            file: Member(sha256=file_sha256(folder / file), bytes=(folder / file).stat().st_size)
            for file in sorted(files)
        },
        logs=tuple(log.entry for log in packed),
        artifacts=tuple(
            ArtifactUse(organism=organism, method=method, key=key)
            for organism, method, key in sorted({use for log in packed for use in log.artifacts})
        ),
        methods=tuple(sorted({grade.row["method"] for log in packed for grade in log.grades})),
        suites={suite: _suite_hash(suite) for suite in sorted({suite for suite, _ in organisms})},
        organisms={f"{suite}.{organism}": _spec_hash(_organism(suite, organism)) for suite, organism in organisms},
        versions={package: importlib.metadata.version(package) for package in _PACKAGES}
        | {"python": platform.python_version()},
        notes=tuple(notes) if grades_only else (),
    )


def _organism(suite: str, name: str) -> Organism:
    try:
        return find_organism(f"{suite}.{name}")
    except ValueError as error:
        raise MendableError(
            f"{error}; the logs have cases on {suite}.{name}: name the folder of its spec in DIFFBENCH_ORGANISMS"
        ) from error


def _spec_hash(organism: Organism) -> str:
    """Of what the spec says, not of how its file is written."""
    content = organism.spec.model_dump(mode="json")
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _suite_hash(suite: str) -> str:
    specs = sorted((organism.spec.name, _spec_hash(organism)) for organism in load_suite(suite))
    return hashlib.sha256(json.dumps(specs).encode()).hexdigest()


def _zip(folder: Path, names: list[str], target: Path) -> None:
    """Members sorted, uncompressed (logs are compressed already) and with a fixed time: the same bytes every time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(names):
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.external_attr = 0o644 << 16
            info.create_system = 3
            with (folder / name).open("rb") as source, archive.open(info, "w", force_zip64=True) as out:
                shutil.copyfileobj(source, out)
