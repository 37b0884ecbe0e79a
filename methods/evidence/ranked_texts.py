"""Evidence of a method that ranks the texts of a corpus: the first ones against all others of their kind."""

from __future__ import annotations

from collections.abc import Sequence

from ..activations.corpus import probe_corpus
from ..artifact import Artifact
from ..reading import KeptText
from .evidence import Evidence, EvidenceText, EvidenceToken

__all__ = ["ranked_texts"]


def ranked_texts(
    artifact: Artifact,
    first: Sequence[KeptText],
    last: Sequence[KeptText],
    texts: int,
    tokens: Sequence[EvidenceToken] = (),
    note: str = "",
) -> Evidence:
    """The texts ranked first, against the rest of the corpus.

    An artifact keeps few of the texts that rank low. Where it was computed on the whole bundled corpus, the rest is
    read there; else the contrast is what was kept of it.

    Args:
        artifact: Says which corpus it was computed on.
        first: Texts ranked first.
        last: Texts that rank lower.
        texts: How many texts were ranked.
        tokens: See ``Evidence``.
        note: See ``Evidence``.
    """
    corpus = probe_corpus()
    if artifact.manifest.corpus_sha256 == corpus.sha256 and texts == len(corpus.texts) + len(corpus.chats):
        items = {("text", i): text for i, text in enumerate(corpus.texts)}
        items |= {("chat", i): f"{chat.prompt}\n{chat.response}" for i, chat in enumerate(corpus.chats)}
        places = {text.place for text in first}
        focus = [EvidenceText(text=items[text.place], stratum=text.kind) for text in first]
        contrast = [EvidenceText(text=text, stratum=p[0]) for p, text in items.items() if p not in places]
    else:
        focus, contrast = ([EvidenceText(text=t.plain, stratum=t.kind) for t in side] for side in (first, last))
    return Evidence(focus=tuple(focus), contrast=tuple(contrast), tokens=tuple(tokens), said=False, note=note)
