"""The work on one job: its names resolved, its content computed, its artifact stored."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..models.targets import Pair
from ..organisms.loading import load_pair
from ..organisms.suites import Organism, find_organism
from ..records.names import BASE, FINETUNED
from ..tools.targets import target_model_name
from .artifact import DTYPES, Artifact, Content, Dtype, DtypeChoice
from .contract import ApiMethod, ApiPair, MethodConfig, WeightsMethod
from .jobs import Job, key_for
from .memory import PeakMemory
from .registry import AnyMethod, find_method
from .run import Run

__all__ = ["Cost", "OpenedJob", "compute", "store_content", "open_job"]


@dataclass(frozen=True)
class OpenedJob:
    """A job with what its names stand for."""

    job: Job
    organism: Organism
    method: AnyMethod
    config: MethodConfig


@dataclass(frozen=True)
class Cost:
    """What an artifact took."""

    seconds: float
    """Wall time of all that went into it."""
    peak_mib: float
    """Largest resident memory of the process meanwhile, in MiB."""


def open_job(job: Job) -> OpenedJob:
    """Look up what a job names.

    Raises:
        MendableError: For an organism or a method that is not there, or settings that the method does not take.
    """
    method = find_method(job.method)
    return OpenedJob(job, find_organism(job.organism), method, method.config_type.model_validate(job.config))


def compute(job: Job, dtype: DtypeChoice, run: Run) -> Artifact:
    """Compute and store an artifact by itself; weights are loaded for those methods only that need them."""
    opened = open_job(job)
    started = time.monotonic()
    pair: Pair | None = None
    with PeakMemory() as memory:
        if isinstance(opened.method, WeightsMethod):
            pair = load_pair(opened.organism, dtype)
            content = opened.method.diff(pair, run.corpus, opened.config, run.track)
        elif isinstance(opened.method, ApiMethod):
            content = opened.method.diff(api_pair(opened.organism), run.corpus, opened.config, run.track)
        else:
            raise TypeError(f"{job.method} is neither a WeightsMethod nor an ApiMethod")
    return store_content(opened, pair, content, Cost(time.monotonic() - started, memory.peak_mib), run)


def api_pair(organism: Organism) -> ApiPair:
    """An organism's models by their Inspect names: an API's own, or those of the embedded provider."""
    base, finetuned = (target_model_name(organism, side) for side in (BASE, FINETUNED))
    return ApiPair(organism.id, base, finetuned, organism.spec.system_prompt)


def store_content(opened: OpenedJob, pair: Pair | None, content: Content, cost: Cost, run: Run) -> Artifact:
    """Store what a method computed, with the manifest of how it came to be.

    Where an artifact of either dtype was asked for, the new one takes the place of one of the other.

    Args:
        opened: Whose artifact.
        pair: The loaded models; None for a method that only queried them.
        content: What was computed.
        cost: What it took.
        run: Corpus and store.

    Raises:
        ValueError: When the corpus or the weights are no longer those that the job was planned for.
    """
    job = opened.job
    dtype = None if pair is None else _dtype_of(pair)
    key = key_for(opened.organism, opened.method, opened.config, dtype, run.corpus)
    if key not in job.keys:
        raise ValueError(f"{job.name}: its weights, settings or corpus changed after the run had begun; run it again")
    artifact = run.store.save(
        key,
        content,
        method=job.method,
        config=job.config,
        base=opened.organism.identity(BASE),
        finetuned=opened.organism.identity(FINETUNED),
        corpus_name=run.corpus.name,
        corpus_sha256=run.corpus.sha256,
        dtype=dtype,
        device=None if pair is None else str(pair.base.network.model.device),
        seconds=round(cost.seconds, 1),
        peak_memory_mib=round(cost.peak_mib, 1),
    )
    for other in job.keys:
        if other != key:
            run.store.remove(other)
    return artifact


def _dtype_of(pair: Pair) -> Dtype:
    name = str(pair.base.network.model.dtype).removeprefix("torch.")
    return next(dtype for dtype in DTYPES if dtype == name)
