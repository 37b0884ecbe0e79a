"""What the artifacts of one run have in common, and who hears what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..records.progress import Track, untracked
from .activations.corpus import Corpus
from .activations.passes import BATCH_SIZE, CHUNK_TOKENS
from .artifact import Artifact, DtypeChoice
from .failures import Failure
from .jobs import Job
from .memory import what_to_lower
from .store import ArtifactStore

__all__ = ["SHARE", "Report", "Run"]

SHARE = 4
"""Organisms that share a pass at most."""


class Report:
    """Hears what happens to each job; does nothing by itself."""

    def found(self, job: Job, artifact: Artifact) -> None:
        """The artifact was there."""

    def begins(self, job: Job) -> None:
        """Its computation, or the pass it shares with others, begins."""

    def saved(self, job: Job, artifact: Artifact) -> None:
        """It was computed and stored."""

    def failed(self, failure: Failure) -> None:
        """It could not be computed; the run goes on with the others."""


@dataclass(frozen=True)
class Run:
    """What the artifacts of a run have in common; nothing in it changes a result but the corpus and the dtype."""

    corpus: Corpus
    store: ArtifactStore = field(default_factory=ArtifactStore)
    track: Track = untracked
    """Wraps what is worked through for a progress display."""
    report: Report = field(default_factory=Report)
    dtype: DtypeChoice = "auto"
    """In which the models compute; ``auto`` for what the machine is fast with."""
    share: int = SHARE
    """Organisms that share a pass at most; more at once hold more finetuned models in memory."""
    batch_size: int = BATCH_SIZE
    """Items of the corpus that a pass runs at once."""
    chunk_tokens: int = CHUNK_TOKENS
    """Tokens whose logits a pass holds at once."""

    def advice(self, job: Job) -> str:
        """What can be lowered when memory runs out in a job."""
        options = {
            "--batch-size": self.batch_size,
            "--chunk-tokens": self.chunk_tokens,
            "--share": self.share,
        }
        return what_to_lower(job.config, options)
