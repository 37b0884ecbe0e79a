"""Texts that steer the screen are shown as what they are."""

from __future__ import annotations

from diffbench.views.html import page_html
from diffbench.views.panels import Note, Page
from diffbench.views.text import printable, shown_token


def test_signs_without_a_shape_are_escaped() -> None:
    assert printable("a\x00b\x1b[0m\u202ec\ud800\u200d\n\t") == "a\\x00b\\x1b[0m\\u202ec\\ud800\u200d\n\t"
    assert [shown_token(t) for t in ("", "\n", " owl", "\n" + 12 * " ")] == ["∅", "↵", " owl", "↵␣×12"]
    note = Note("\ud800", "\udfff\x07")
    assert page_html(Page("\ud800", (), (), (note,))).encode("utf-8")
