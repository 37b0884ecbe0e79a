"""A plan of work as plain data: which artifacts are asked for, under which keys, and which are computed together.

Nothing is loaded for it, and all of it can be sent to another process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ..organisms.suites import Organism
from ..records.errors import MendableError
from ..records.frozen import Frozen
from ..records.names import BLACKBOX
from .activations.corpus import Corpus, probe_corpus
from .artifact import DTYPES, Artifact, Dtype, DtypeChoice, JsonObject, artifact_key
from .contract import MethodConfig, PassMethod
from .registry import AnyMethod, config_for
from .store import ArtifactStore

__all__ = [
    "GroupWork",
    "Job",
    "find_artifact",
    "find_stored",
    "group_jobs",
    "job_for",
    "key_for",
    "keys_for",
    "require_needs",
]


class Job(Frozen):
    """One artifact that is asked for."""

    number: int
    """Counted from 1, in the order of organisms and then of methods."""
    organism: str
    """Id of the organism, such as ``smol.cake_bake``."""
    method: str
    config: JsonObject
    """Settings of the method."""
    keys: tuple[str, ...]
    """Keys under which the artifact may lie: one for each compute dtype that is accepted."""
    base: str
    """What fixes the weights of the base; jobs on one base can share its runs."""
    watches: bool
    """Whether the method watches a pass of the corpus, which it shares with others of its group."""

    @property
    def name(self) -> str:
        """``smol.cake_bake kl``."""
        return f"{self.organism} {self.method}"


class GroupWork(Frozen):
    """Jobs on one base that are worked together: those that watch the corpus share a pass."""

    jobs: tuple[Job, ...]
    dtype: DtypeChoice
    """In which the models compute; ``auto`` for what the machine is fast with."""


def key_for(
    organism: Organism, method: AnyMethod, config: MethodConfig, dtype: Dtype | None, corpus: Corpus | None = None
) -> str:
    """Key of the artifact that is computed in ``dtype``; known before anything is loaded or computed."""
    return artifact_key(
        organism.identity("base"),
        organism.identity("finetuned"),
        method.name,
        config.model_dump(mode="json"),
        (corpus or probe_corpus()).sha256,
        dtype,
    )


def keys_for(
    organism: Organism,
    method: AnyMethod,
    config: MethodConfig,
    corpus: Corpus | None = None,
    dtype: DtypeChoice = "auto",
) -> tuple[str, ...]:
    """Keys under which an artifact is looked for, the first before the others.

    With ``auto`` an artifact of either dtype will do, in an order that does not depend on the machine.
    """
    accepted: tuple[Dtype | None, ...] = DTYPES if dtype == "auto" else (dtype,)
    if method.needs == "api":
        accepted = (None,)
    return tuple(key_for(organism, method, config, one, corpus) for one in accepted)


def find_artifact(
    organism: Organism, method: AnyMethod, corpus: Corpus | None = None, store: ArtifactStore | None = None
) -> Artifact | None:
    """The artifact under the suite's settings with every file checked; None when it is in neither store.

    Raises:
        MendableError: When the method needs weights and only an API is known for the pair.
        CorruptArtifactError: When it is broken.
    """
    require_needs(organism, method)
    keys = keys_for(organism, method, config_for(method, organism.suite), corpus)
    return (store or ArtifactStore()).find_whole(keys, organism.id, method.name)


def require_needs(organism: Organism, method: AnyMethod) -> None:
    """Refuse a method for a pair that lacks what the method needs.

    Raises:
        MendableError: When the method needs weights and only an API is known for the pair.
    """
    if method.needs == "weights" and not organism.has_weights:
        raise MendableError(
            f"{method.name} needs weights; {organism.id} is known by an API only. "
            f"Choose another method: one that needs an API only, or {BLACKBOX}"
        )


def job_for(
    number: int,
    organism: Organism,
    method: AnyMethod,
    config: MethodConfig,
    corpus: Corpus,
    dtype: DtypeChoice = "auto",
) -> Job:
    """The job of one artifact.

    Raises:
        MendableError: When the method needs weights and only an API is known for the pair.
        MissingError: When local weights are missing.
    """
    require_needs(organism, method)
    return Job(
        number=number,
        organism=organism.id,
        method=method.name,
        config=config.model_dump(mode="json"),
        keys=keys_for(organism, method, config, corpus, dtype),
        base=json.dumps(organism.identity("base"), sort_keys=True),
        watches=isinstance(method, PassMethod),
    )


def find_stored(job: Job, store: ArtifactStore) -> Artifact | None:
    """The job's artifact where there is one.

    Raises:
        CorruptArtifactError: When it is there but broken.
    """
    return store.find_whole(job.keys, job.organism, job.method)


def group_jobs(jobs: Sequence[Job], share: int, dtype: DtypeChoice) -> Iterator[GroupWork]:
    """Jobs of up to ``share`` organisms on one base at a time, in their order."""
    by_base: dict[str, dict[str, list[Job]]] = {}
    for job in jobs:
        by_base.setdefault(job.base, {}).setdefault(job.organism, []).append(job)
    for by_organism in by_base.values():
        names = list(by_organism)
        for start in range(0, len(names), share):
            chosen = names[start : start + share]
            yield GroupWork(jobs=tuple(job for name in chosen for job in by_organism[name]), dtype=dtype)
