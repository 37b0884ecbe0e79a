"""What stands on the page of one artifact, and how a page reaches the disk."""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass
from pathlib import Path

from ...agents.artifacts import PicturedReaders, readers_for
from ...methods.artifact import Artifact
from ...methods.registry import Labels, Method
from ..panels import Note, Panel

__all__ = ["NEWLINE", "Page", "page_of", "printable", "require_folder", "shown_token", "write_whole"]

NEWLINE = "↵"
"""Stands for a line break inside a token."""

_KEPT = {"\n", "\t", "\u200c", "\u200d"}
"""Controls that texts need: line breaks, tabs, and the joiners of scripts and of emoji."""


@dataclass(frozen=True)
class Page:
    """One artifact, ready to be drawn."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """What the artifact is, as names and values."""
    notes: tuple[str, ...]
    """What was scaled down or stood in for."""
    pictures: tuple[Panel, ...]


def page_of(organism: str, method: Method, artifact: Artifact, labels: Labels) -> Page:
    """The pictures of an artifact; its overview where the method's readers have none.

    Raises:
        CorruptArtifactError: When the artifact is broken.
    """
    manifest = artifact.manifest
    facts = (
        ("Organism", organism),
        ("Method", method.name),
        ("Corpus", manifest.corpus_name),
        ("Computed in", f"{manifest.seconds:.0f} s on {manifest.device}"),
        ("Artifact", artifact.key),
    )
    readers = readers_for(method.name)
    if isinstance(readers, PicturedReaders):
        pictures = tuple(readers.pictures(artifact, labels))
    else:
        why = f"The readers of {method.name} have no pictures; this is the method's overview."
        pictures = (Note("About this page", why), Note("Overview", method.overview(artifact, labels), verbatim=True))
    return Page(f"{organism}, {method.name}", facts, manifest.notes, pictures)


def printable(text: str) -> str:
    """``text`` with escapes for what has no shape of its own: controls, marks of direction, lone surrogates.

    A text of a model could otherwise turn the direction of what follows it, or be no valid UTF-8.
    """
    return "".join(c if c in _KEPT or unicodedata.category(c) not in {"Cc", "Cf", "Cs"} else _escape(c) for c in text)


def shown_token(token: str) -> str:
    """A token on one line: line breaks as a sign, many spaces as their number, nothing as an empty set."""
    shown = printable(token).replace("\n", NEWLINE).replace("\t", "⇥")
    return re.sub(" {3,}", lambda spaces: f"␣×{len(spaces[0])}", shown) or "∅"


def require_folder(path: Path) -> None:
    """Refuse a file that could not be written, before anything is drawn.

    Raises:
        FileNotFoundError: When its folder does not exist.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {folder}; create it first")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: under a temporary name beside it, then renamed.

    Raises:
        FileNotFoundError: When its folder does not exist.
        ValueError: When the folder does not take it.
    """
    require_folder(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
