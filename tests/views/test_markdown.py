"""Tables in Markdown: whatever a cell holds, the table keeps its shape and the page its words."""

from __future__ import annotations

import re

import pytest
from diffbench.views.markdown import bold, code, escape_markdown, markdown_table


def test_cells_are_aligned_and_escaped() -> None:
    table = markdown_table(("name", "n", "why"), [("a|b", "1", "x\ny"), (code("a*b"), "2", bold("<c>"))], names=1)
    assert table.splitlines() == [
        "| name | n | why |",
        "| --- | ---: | ---: |",
        r"| a\|b | 1 | x y |",
        "| `a*b` | 2 | **&lt;c>** |",
    ]


@pytest.mark.parametrize("text", [r"\|", "a|b|c", "[x](y)", "*a* `b`", "<script>", "two\nlines", "\\\\|"])
def test_no_text_breaks_a_row(text: str) -> None:
    """Escapes taken back give the text; no bar stands without an odd number of backslashes before it."""
    shown = escape_markdown(text)
    assert re.sub(r"\\(.)", r"\1", shown).replace("&lt;", "<") == text.replace("\n", " ")
    assert all(len(found[1]) % 2 for found in re.finditer(r"(\\*)\|", shown))
    assert escape_markdown(code("a|b")) == "`a|b`"
