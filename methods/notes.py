"""What a manifest notes of settings other than the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..records.frozen import Frozen

__all__ = ["changed_settings", "in_brackets", "scaled_down"]


class _Sized(Protocol):
    """Settings of a method that reads a corpus."""

    @property
    def max_texts(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...


def scaled_down(config: _Sized, published: _Sized, seen: int, told: str = "texts") -> list[str]:
    """A note when fewer texts, or less of each, were read than published.

    Args:
        config: The settings.
        published: The published ones.
        seen: Texts that were read.
        told: What they are, with their number in front where they are told apart.
    """
    if seen >= published.max_texts and config.max_tokens >= published.max_tokens:
        return []
    what = told if told[0].isdigit() else f"{seen} {told}"
    return [
        f"scaled down: {what} of at most {config.max_tokens} tokens "
        f"(published: {published.max_texts:,} x {published.max_tokens:,})"
    ]


def changed_settings(config: Frozen, names: Sequence[str]) -> list[str]:
    """Those of the named settings that differ from the default, each with the default in brackets."""
    published = type(config)()
    values = [(name, getattr(config, name), getattr(published, name)) for name in names]
    return [f"{name} {value} ({default})" for name, value, default in values if value != default]


def in_brackets(changed: Sequence[str], what: str = "scaled down") -> list[str]:
    """A note of settings such as ``prompts 8 (20)``; none without any."""
    return [f"{what}, published value in brackets: {', '.join(changed)}"] if changed else []
