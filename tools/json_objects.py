"""The JSON objects that stand somewhere in the text of a reply."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["json_objects"]

WINDOW = 50_000
"""Only so many characters at the end of a text are searched: a failed start costs time that grows with the text."""

_START = re.compile(r'\{\s*["}]')


def json_objects(text: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Outermost JSON objects of ``text`` in order, each with the position behind its end.

    Text around them (prose, code fences) is skipped, and so is a brace that starts no valid object. Only the last
    50 000 characters are searched, and nesting beyond Python's recursion limit ends the search: no reply that is meant
    to be read looks like that.
    """
    decoder = json.JSONDecoder(strict=False)  # judges put raw line breaks into strings
    skipped = max(0, len(text) - WINDOW)
    window, position = text[skipped:], 0
    while start := _START.search(window, position):
        try:
            found, position = decoder.raw_decode(window, start.start())
        except json.JSONDecodeError:
            position = start.start() + 1
            continue
        except RecursionError:
            return
        yield found, skipped + position
