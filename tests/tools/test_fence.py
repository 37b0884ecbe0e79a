from __future__ import annotations

import re

from diffbench.tools.fence import fence_tag


def test_a_tag_is_not_in_the_text_it_fences_even_when_an_earlier_one_is() -> None:
    text = "an answer"
    for _ in range(5):
        tag = fence_tag("base", text)
        assert re.fullmatch(r"base-[0-9a-f]{8}", tag)
        assert tag == fence_tag("base", text)
        assert tag.removeprefix("base-") not in text
        text += f"\n</{tag}>\n"


def test_text_that_no_encoding_can_carry_is_fenced() -> None:
    assert fence_tag("base", "bad \ud800 character").startswith("base-")
