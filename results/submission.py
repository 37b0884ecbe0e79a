"""Submissions: evaluation logs, or their grades alone, in one checked file that others can read."""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ..records.errors import MendableError, MissingError
from ..records.files import file_sha256
from ..records.frozen import Frozen
from .schema import LeftOut

__all__ = [
    "ArtifactUse",
    "LogEntry",
    "Member",
    "Submission",
    "SubmissionManifest",
    "SubmissionRefused",
    "read_submission",
]

FORMAT_VERSION = 1
LIMIT = 4 * 1024**3
"""Bytes of all members together, unpacked, above which a submission is not read unless asked."""

MANIFEST, GRADES = "manifest.json", "grades.parquet"

_MANIFEST_LIMIT = 64 * 1024**2
_MEMBERS = 10_000
_NAME = re.compile(r"logs/[\w+.-]{1,200}\.(eval|json)")
_SYMLINK, _KIND = 0o120000, 0o170000

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SubmissionRefused(MendableError):  # noqa: N818 - it reads as what happened
    """A file that is no whole submission; the message says why."""


class Member(Frozen):
    """A file in the submission."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class LogEntry(Frozen):
    """An evaluation log that was packed, or whose grades were."""

    name: str = Field(pattern=_NAME.pattern.removeprefix("logs/"))
    """File name; in the submission ``logs/<name>``."""
    sha256: Sha256
    """Of the log as it was, before anything was stripped: tells the same log in several submissions."""
    task_id: str
    created: str
    completed: str
    modified: int
    """Seconds since 1970: the file's time, which tells a re-scored copy from the log it was made of."""
    status: str
    samples: int
    """Samples in the log."""
    grades: int = Field(ge=1)
    model: str
    packages: dict[str, str]
    """Versions that the log itself names."""
    stripped: tuple[str, ...] = ()
    """Fields whose values were removed because they can hold secrets."""


class ArtifactUse(Frozen):
    """An artifact that cases were worked with."""

    organism: str
    """Organism id, ``smol.cake_bake+mix1-1``."""
    method: str
    key: str


class SubmissionManifest(Frozen):
    """``manifest.json`` of a submission."""

    format_version: Literal[1]
    name: str = Field(min_length=1, max_length=200)
    contact: str | None = None
    kind: Literal["logs", "grades"]
    members: dict[str, Member]
    """Every other file, by its name."""
    logs: tuple[LogEntry, ...] = Field(min_length=1)
    artifacts: tuple[ArtifactUse, ...]
    methods: tuple[str, ...]
    suites: dict[str, Sha256]
    """Suite -> hash of all its specs, on the submitter's machine at the time of packing."""
    organisms: dict[str, Sha256]
    """Organism -> hash of its spec, of those in the grades."""
    versions: dict[str, str]
    """diffbench, inspect_ai and python that packed."""
    notes: tuple[LeftOut, ...] = ()
    """With grades alone: what the logs held besides."""


@dataclass(frozen=True)
class Submission:
    """A submission whose members were all checked against their hashes."""

    path: Path
    manifest: SubmissionManifest

    def extract(self, folder: Path) -> None:
        """Write all members but the manifest below ``folder``.

        Raises:
            SubmissionRefused: When the file changed since it was checked.
        """
        with zipfile.ZipFile(self.path) as archive:
            for name, member in self.manifest.members.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
                if (target.stat().st_size, file_sha256(target)) != (member.bytes, member.sha256):
                    raise SubmissionRefused(f"{self.path}: {name} changed while it was read; try again")


def read_submission(path: str | Path, limit: int = LIMIT) -> Submission:
    """Open a submission and check every member against the manifest; nothing is written.

    Args:
        path: The file.
        limit: Bytes of all members together, unpacked, that are read at most.

    Raises:
        MissingError: When there is no such file.
        SubmissionRefused: When it is none, is damaged, has unsafe names or is too large; says which.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no submission at {path}; make one with: diffbench submit LOGS --out {path} --name NAME")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(path, archive.infolist(), limit)
            manifest = _manifest(path, archive)
            _check_members(path, archive, manifest)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise SubmissionRefused(f"{path} is no whole submission: {type(error).__name__}: {error}") from error
    return Submission(path, manifest)


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], limit: int) -> None:
    """Refuse names that could be written elsewhere, and sizes over the limits, before anything is unpacked."""
    names = [entry.filename for entry in entries]
    if len(names) > _MEMBERS:
        raise SubmissionRefused(f"{path} has {len(names)} members; allowed are {_MEMBERS}")
    for entry in entries:
        # The name as it stands in the file: zipfile turns other separators into slashes.
        safe = entry.orig_filename == entry.filename and (
            entry.filename in (MANIFEST, GRADES) or _NAME.fullmatch(entry.filename)
        )
        if not safe or (entry.external_attr >> 16) & _KIND == _SYMLINK:
            raise SubmissionRefused(
                f"{path} has a member {entry.orig_filename!r}; allowed are {MANIFEST}, {GRADES} and logs/NAME.eval"
            )
        if names.count(entry.filename) > 1:
            raise SubmissionRefused(f"{path} has the member {entry.filename} more than once")
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise SubmissionRefused(f"{path} unpacks to {total} bytes; read are at most {limit}: ask for a smaller one")


def _manifest(path: Path, archive: zipfile.ZipFile) -> SubmissionManifest:
    if MANIFEST not in archive.namelist():
        raise SubmissionRefused(f"{path} has no {MANIFEST}: it is no submission; make one with: diffbench submit")
    if archive.getinfo(MANIFEST).file_size > _MANIFEST_LIMIT:
        raise SubmissionRefused(f"{path}: {MANIFEST} has more than {_MANIFEST_LIMIT} bytes")
    text = archive.read(MANIFEST)
    version = re.search(rb'"format_version":\s*(\d+)', text)
    if version and int(version[1]) != FORMAT_VERSION:
        raise SubmissionRefused(
            f"{path} has format version {int(version[1])}; this diffbench reads {FORMAT_VERSION}: "
            "pip install --upgrade diffbench, or ask for a file of that version"
        )
    try:
        return SubmissionManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SubmissionRefused(f"{path}: {MANIFEST}: {where or 'whole file'}: {first['msg']}") from error


def _check_members(path: Path, archive: zipfile.ZipFile, manifest: SubmissionManifest) -> None:
    present, named = set(archive.namelist()) - {MANIFEST}, set(manifest.members)
    expected = {GRADES} if manifest.kind == "grades" else {f"logs/{log.name}" for log in manifest.logs}
    if present != named or named != expected:
        odd = sorted((present ^ named) | (named ^ expected))
        raise SubmissionRefused(f"{path}: its files and its manifest disagree on {', '.join(odd)}")
    for name, member in manifest.members.items():
        with archive.open(name) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        if (digest, archive.getinfo(name).file_size) != (member.sha256, member.bytes):
            raise SubmissionRefused(f"{path}: {name} does not match its hash: damaged or changed; ask for a new copy")
