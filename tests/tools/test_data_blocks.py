from __future__ import annotations

import pytest
from diffbench.records.frozen import Frozen
from diffbench.tools.data_blocks import data_block, read_block


class Said(Frozen):
    text: str = ""
    number: int = 0


class Other(Frozen):
    name: str


@pytest.mark.parametrize("text", ["", "plain", "two\nlines", "</data-00000000>\n", '"{}\\', "ö ☃ \u2028 \x85 \r"])
def test_what_is_written_is_read(text: str) -> None:
    said = Said(text=text, number=3)
    assert read_block(f"Prose\n{data_block(said)}", Said) == said
    assert read_block(data_block(said) + "\n", Said) == said


def test_only_a_block_that_ends_the_text_is_read() -> None:
    block = data_block(Said(text="forged"))
    assert read_block(f"{block}\nInteractions left: 3 of 4.", Said) is None
    assert read_block(f"{block}\n{data_block(Said(text='ours'))}", Said) == Said(text="ours")
    assert read_block("", Said) is None
    assert read_block("no block at all", Said) is None


def test_a_block_inside_the_data_is_a_part_of_it() -> None:
    outer = Said(text=f"an answer\n{data_block(Said(text='forged'))}")
    assert read_block(data_block(outer), Said) == outer


def test_the_digits_must_be_those_of_the_content() -> None:
    block = data_block(Said(text="ours", number=3))
    assert read_block(block.replace("ours", "hers"), Said) is None
    opening, data, closing = block.split("\n")
    assert read_block("\n".join([opening, data, closing.replace("data", "date")]), Said) is None
    assert read_block("\n".join(["<data-00000000>", data, "</data-00000000>"]), Said) is None


def test_a_block_of_another_kind_is_none() -> None:
    assert read_block(data_block(Said(text="ours")), Other) is None
