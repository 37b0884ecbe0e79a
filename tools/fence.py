"""A fence around text that was written by a system under evaluation: nothing inside it can end it or forge another."""

from __future__ import annotations

import hashlib

__all__ = ["fence_tag"]


def fence_tag(name: str, text: str) -> str:
    """A tag, ``name`` and eight hexadecimal digits, that does not occur in ``text``.

    The digits hash the text, so who writes it cannot know them beforehand; the same text gets the same tag, so that
    prompts are reproducible.
    """
    salt = 0
    while True:
        digits = hashlib.sha256(f"{salt}:{text}".encode(errors="replace")).hexdigest()[:8]
        if digits not in text:
            return f"{name}-{digits}"
        salt += 1
