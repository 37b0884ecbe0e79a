"""A page as one HTML file: no scripts, nothing from the network, every text escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from .marks import text_of
from .panels import Group, HeatText, Page, Panel
from .text import NEWLINE, printable, shown_token

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["DEEPEST", "page_html"]

DEEPEST = 0.8
"""Opacity of the full colour: text on it stays legible in both colour schemes."""
_FAINTEST = 0.02
_LEVELS = 2
"""Headings that the contents name: panels, and what groups hold."""


def page_html(page: Page) -> str:
    """The file's text."""
    template = _environment().get_template("page.html.j2")
    return template.render(page=page, contents=_entries(page.panels, "p", _LEVELS))


@cache
def _environment() -> Environment:
    """Templates that escape every text they are given, and what steers the screen in it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from . import svg

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {
        "breakable": _breakable,
        "depth": lambda shade: f"{abs(shade) * DEEPEST:.2f}",
        "kind": lambda panel: type(panel).__name__,
        "number": lambda value, form: "" if value is None else format(value, form),
        "shown": shown_token,
        "tint": lambda shade: " hot" if shade and shade > 0 else " cold" if shade else "",
        "tokens": _tokens,
        "dots_chart": svg.dots_chart,
        "intervals_chart": svg.intervals_chart,
        "line_chart": svg.line_chart,
        "series_sign": svg.series_sign,
        "stacks_chart": svg.stacks_chart,
    }
    return environment


@dataclass(frozen=True)
class _Entry:
    """A line of the contents."""

    title: str
    place: str
    """Id of its heading."""
    below: tuple[_Entry, ...]


def _entries(panels: Sequence[Panel], prefix: str, levels: int) -> tuple[_Entry, ...]:
    """Panels with headings; single heat texts would drown all others."""
    if not levels:
        return ()
    return tuple(
        _Entry(
            panel.title,
            f"{prefix}{i}",
            _entries(panel.panels, f"{prefix}{i}-", levels - 1) if isinstance(panel, Group) and panel.headings else (),
        )
        for i, panel in enumerate(panels, 1)
        if not isinstance(panel, HeatText)
    )


@dataclass(frozen=True)
class _Token:
    """A token of a heat text as it is painted."""

    text: str
    kind: str
    """Classes of the style sheet."""
    depth: str
    """Opacity of its colour; empty for a token that was left out."""
    title: str


def _tokens(heat: HeatText) -> Iterator[_Token]:
    strongest = heat.strongest()
    for i, (token, value) in enumerate(zip(heat.tokens, heat.values, strict=True)):
        text = token.replace("\n", f"{NEWLINE}\n")
        if value is None:
            yield _Token(text, "o", "", "left out")
            continue
        shade = heat.shade(i)
        kind = " ".join(name for name, holds in (("n", shade < 0), ("s", i in strongest)) if holds)
        opacity = abs(shade) * DEEPEST
        yield _Token(text, kind, f"{opacity:.2f}" if opacity >= _FAINTEST else "0", f"{value:.4g}")


def _breakable(name: str) -> Markup:
    """A name that may break after its separators."""
    return Markup("<wbr>").join(map(text_of, re.split(r"(?<=\w[_/+])(?=\w)", name)))
