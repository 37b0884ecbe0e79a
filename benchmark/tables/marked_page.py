"""Pages of Markdown in which a command replaces what stands between two marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...records.errors import MendableError
from ...records.files import write_whole

__all__ = ["Marks"]


@dataclass(frozen=True)
class Marks:
    """The two comments between which a command writes."""

    name: str
    command: str
    """What writes there."""
    begins_pages: bool = False
    """Whether a page that is not there is begun, rather than refused."""

    @property
    def begin(self) -> str:
        """The first one."""
        return f"<!-- {self.name}: begin, written by {self.command} -->"

    @property
    def end(self) -> str:
        """The last one."""
        return f"<!-- {self.name}: end -->"

    def inside(self, path: Path) -> str:
        """What stands between the marks of a page.

        Raises:
            MendableError: When the page lacks a mark or has it twice.
        """
        return self._parts(path)[1]

    def write(self, path: Path, content: str) -> None:
        """Put lines between the marks of a page, in place of what stands there.

        Raises:
            MendableError: When the page lacks a mark or has it twice.
        """
        before, _, after = self._parts(path)
        write_whole(path, f"{before}{self.begin}\n{content}\n{self.end}{after}")

    def _parts(self, path: Path) -> tuple[str, str, str]:
        """What stands before, between and after the marks, which are in none of the parts."""
        if self.begins_pages and not path.exists():
            return "", "", "\n"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        begin, end = self.begin, self.end
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise MendableError(
                f"{path}: needs the two lines {begin!r} and {end!r}, once each, between which the table goes"
            )
        before, rest = text.split(begin)
        inside, after = rest.split(end)
        return before, inside, after
