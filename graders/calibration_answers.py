"""The answers of a calibration as they come, in a file: a run that was stopped goes on where it ended."""

from __future__ import annotations

import hashlib
import re

from pydantic import ValidationError

from ..records.errors import MendableError
from ..records.files import cache_folder
from ..records.frozen import Frozen
from ..records.grades import JudgeGrade

__all__ = ["AnswerFile"]


class _Line(Frozen):
    prompt: str
    """Hash of the prompt: an answer to another wording is not taken."""
    given: JudgeGrade


class AnswerFile:
    """Answers of one judge, one a line, in the user's cache until `finish`."""

    def __init__(self, judge: str) -> None:
        """Read what an earlier run left.

        Raises:
            MendableError: If a whole line of it is no answer.
        """
        name = re.sub(r"[^\w.-]+", "_", judge)
        self.path = cache_folder() / "calibrations" / f"{name}.jsonl"
        self._known: dict[tuple[str, int], JudgeGrade] = {}
        written = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        *lines, cut_off = written.split("\n")
        for number, text in enumerate(lines, 1):
            try:
                line = _Line.model_validate_json(text)
            except ValidationError as error:
                raise MendableError(f"{self.path}: line {number} is no answer; delete the file to ask again") from error
            if line.given.judge == judge:
                self._known[line.prompt, line.given.repeat] = line.given
        if cut_off:  # the run was stopped while it wrote
            self.path.write_text(written.removesuffix(cut_off), encoding="utf-8")
        self.taken = len(self._known)
        """Answers of an earlier run."""

    def find(self, prompt: str, repeat: int) -> JudgeGrade | None:
        """The answer to this prompt that is already there."""
        return self._known.get((_hash(prompt), repeat))

    def keep(self, prompt: str, given: JudgeGrade) -> None:
        """Write an answer down before anything else is done with it."""
        line = _Line(prompt=_hash(prompt), given=given)
        self._known[line.prompt, given.repeat] = given
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json() + "\n")

    @property
    def kept(self) -> int:
        """Answers in the file."""
        return len(self._known)

    def finish(self) -> None:
        """Delete the file: the answers were handed on, and the next run asks anew."""
        self.path.unlink(missing_ok=True)


def _hash(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()
