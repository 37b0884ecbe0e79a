"""What a text says, once more as data at its end: for an investigator that is a program and reads no prose.

A block is three lines, a tag, JSON on one line and the tag that closes it:

    <data-0a1b2c3d>
    {…}
    </data-0a1b2c3d>

The digits of the tag hash the JSON, and only a block that ends a text is read. A model that is quoted further up can
write whatever it likes, a block included, and a quotation inside the JSON holds no line break.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from ..records.frozen import Frozen
from .fence import fence_tag

__all__ = ["data_block", "read_block"]

B = TypeVar("B", bound=Frozen)

_NAME = "data"


def data_block(data: Frozen) -> str:
    """The block that a text is to end with, without the line break before it."""
    text = data.model_dump_json()
    tag = fence_tag(_NAME, text)
    return f"<{tag}>\n{text}\n</{tag}>"


def read_block(text: str, kind: type[B]) -> B | None:
    """What the block at the end of a text holds; None where there is none, or one of another kind."""
    *_, opening, data, closing = ["", "", "", *text.rstrip().split("\n")]
    tag = fence_tag(_NAME, data)
    if (opening, closing) != (f"<{tag}>", f"</{tag}>"):
        return None
    try:
        return kind.model_validate_json(data)
    except ValidationError:
        return None
