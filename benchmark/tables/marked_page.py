"""Pages of Markdown in which a command replaces what stands between two marks."""

from __future__ import annotations

from pathlib import Path

__all__ = ["parts_of"]


def parts_of(path: Path, begin: str, end: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks, which are in none of the parts.

    Raises:
        ValueError: When the page lacks a mark or has it twice.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{path}: needs the two lines {begin!r} and {end!r}, once each, between which the table goes")
    before, rest = text.split(begin)
    inside, after = rest.split(end)
    return before, inside, after
