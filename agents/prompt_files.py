"""The texts that investigators are told, which are files in ``prompts/``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template

import yaml

from ..records.errors import MendableError

__all__ = ["family_hint", "hinted_families", "prompt_hashes", "prompt_text"]

_PROMPTS = Path(__file__).parent / "prompts"


@cache
def prompt_text(name: str) -> str:
    """A prompt file, stripped."""
    return (_PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()


def family_hint(family: str, more: Mapping[str, str] | None = None) -> str:
    """What the hint ``family`` tells of a family of organisms.

    Args:
        family: The family.
        more: Family -> its text, of families beside those of this package.

    Raises:
        MendableError: For a family without such a text.
    """
    kinds = hinted_families() | dict(more or {})
    if family not in kinds:
        raise MendableError(
            f"there is no hint for family {family!r}; known: {', '.join(kinds)}. "
            "A rubric of yours gives one in its field hint"
        )
    return Template(prompt_text("hint_family")).substitute(kind=kinds[family])


@cache
def hinted_families() -> dict[str, str]:
    """Family -> its text in the hint ``family``; controls are in none."""
    kinds: dict[str, str] = yaml.safe_load((_PROMPTS / "kinds.yaml").read_text(encoding="utf-8"))
    return kinds


def prompt_hashes() -> dict[str, str]:
    """Prompt file -> the first 12 digits of its SHA-256, for the log."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in sorted(_PROMPTS.iterdir())}
