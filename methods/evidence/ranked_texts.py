"""Evidence of a method that ranks the texts of a corpus: the first ones against all others of their kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...agents.artifacts import Evidence
from ..activations.corpus import probe_corpus
from ..artifact import Artifact

__all__ = ["ranked_texts"]


def ranked_texts(
    artifact: Artifact,
    first: Sequence[dict[str, Any]],
    last: Sequence[dict[str, Any]],
    plain: Callable[[dict[str, Any]], str],
    texts: int,
    tokens: Sequence[str] = (),
    note: str = "",
) -> Evidence:
    """The texts ranked first, against the rest of the corpus.

    An artifact keeps few of the texts that rank low. Where it was computed on the whole bundled corpus, the rest is
    read there; else the contrast is what was kept of it.

    Args:
        artifact: Says which corpus it was computed on.
        first: Rows with ``kind`` and ``index`` of the texts ranked first.
        last: Rows of texts that rank lower.
        plain: The text of a row.
        texts: How many texts were ranked.
        tokens: See ``Evidence``.
        note: See ``Evidence``.
    """
    corpus = probe_corpus()
    places = {(row["kind"], row["index"]) for row in first}
    if artifact.manifest.corpus_sha256 == corpus.sha256 and texts == len(corpus.texts) + len(corpus.chats):
        items = {("text", i): text for i, text in enumerate(corpus.texts)}
        items |= {("chat", i): f"{chat.prompt}\n{chat.response}" for i, chat in enumerate(corpus.chats)}
        focus = [(items[row["kind"], row["index"]], row["kind"]) for row in first]
        contrast = [(text, kind) for (kind, i), text in items.items() if (kind, i) not in places]
    else:
        focus = [(plain(row), row["kind"]) for row in first]
        contrast = [(plain(row), row["kind"]) for row in last]
    return Evidence(
        identical=False,
        focus=tuple(text for text, _ in focus),
        contrast=tuple(text for text, _ in contrast),
        focus_strata=tuple(kind for _, kind in focus),
        contrast_strata=tuple(kind for _, kind in contrast),
        tokens=tuple(tokens),
        said=False,
        note=note,
    )
