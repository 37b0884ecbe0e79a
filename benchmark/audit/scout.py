"""The audit as a scanner for inspect-scout, which is a package of its own: ``pip install inspect-scout``."""

from typing import TYPE_CHECKING, Any

from .transcripts import audit_transcript

if TYPE_CHECKING:
    from inspect_scout import Scanner, Transcript  # type: ignore[import-not-found,unused-ignore]

__all__ = ["leak_scanner"]


def leak_scanner() -> "Scanner[Transcript]":
    """A scanner whose value is the number of leaks; each leak stands in the explanation and in the metadata.

    Raises:
        ModuleNotFoundError: Without inspect-scout.
    """
    # Scout reads the annotation of what is scanned.
    from inspect_scout import Result, Transcript, scanner

    @scanner(name="diffbench_leaks", messages="all", events="all")  # type: ignore[untyped-decorator,unused-ignore]
    def diffbench_leaks() -> Any:
        async def scan(transcript: Transcript) -> Any:
            metadata = transcript.metadata.get("sample_metadata", {})
            _, hits = audit_transcript(metadata, transcript.messages, transcript.events)
            lines = [f"{where}: {hit.kind}: {hit.excerpt}" for where, hit in hits]
            leaks = [{"where": where, "kind": hit.kind, "found": hit.found} for where, hit in hits]
            return Result(value=len(hits), explanation="\n".join(lines) or "no leak", metadata={"leaks": leaks})

        return scan

    return diffbench_leaks()
