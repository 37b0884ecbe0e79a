"""Artifacts computed group by group: methods that watch the corpus share passes, organisms on one base its runs.

What is in the store is skipped. The rest is grouped by base, a few organisms a group (``jobs``), and an executor works
the groups: ``here``, or one that sends them to other processes, where ``work_group`` does the work. It stores artifact
by artifact, so that a killed run loses the running group at most, and an artifact that fails stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from ..organisms.suites import Organism
from .artifact import Artifact
from .contract import MethodConfig
from .failures import FailedArtifactsError, Failure, attempt
from .jobs import GroupWork, Job, find_stored, group_jobs, job_for
from .registry import AnyMethod
from .run import Run
from .shared_pass import work_together
from .work import compute

__all__ = ["Executor", "Outcome", "compute_all", "here", "work_group"]

Outcome: TypeAlias = tuple[Job, Artifact | Failure]
Executor: TypeAlias = Callable[[Iterable[GroupWork], Run], Iterator[Outcome]]
"""Works groups, in whatever order and place, and yields what became of each job."""


def compute_all(
    organisms: Sequence[Organism],
    methods: Sequence[AnyMethod],
    configs: Callable[[Organism, AnyMethod], MethodConfig],
    run: Run,
    recompute: bool = False,
    executor: Executor | None = None,
) -> list[Artifact]:
    """The artifact of each organism under each method; what is not in the store is computed, in shared passes.

    Args:
        organisms: Whose artifacts.
        methods: Which artifacts.
        configs: Gives the settings of a method for an organism.
        run: Corpus, store, sizes, and who hears what happens.
        recompute: Whether to compute again what is there.
        executor: Works the groups; ``here`` unless given.

    Returns:
        The artifacts, for each organism one a method.

    Raises:
        FailedArtifactsError: At the end, naming each artifact that could not be computed, and why.
    """
    results = _Results(run)
    pairs = ((organism, method) for organism in organisms for method in methods)
    planned = [
        results.plan(number, organism, method, configs, recompute) for number, (organism, method) in enumerate(pairs, 1)
    ]
    jobs = [job for job in planned if job is not None]
    missing = [job for job in jobs if job.keys not in results.artifacts]
    # Of jobs with the same keys, such as those of an organism named twice, the first is worked on.
    first = {job.keys: job for job in reversed(missing)}
    groups = group_jobs([job for job in missing if first[job.keys] is job], run.share, run.dtype)
    for job, outcome in (executor or here)(groups, run):
        results.take(job, outcome)
    for job in missing:
        if first[job.keys] is not job and job.keys in results.artifacts:
            run.report.found(job, results.artifacts[job.keys])
    if results.failures:
        unplanned = len(planned) - len(jobs)
        raise FailedArtifactsError(results.failures, len(first) + unplanned, run.store.folder)
    return [results.artifacts[job.keys] for job in jobs]


def here(groups: Iterable[GroupWork], run: Run) -> Iterator[Outcome]:
    """The executor that works group after group in this process."""
    for group in groups:
        yield from work_group(group, run)


def work_group(group: GroupWork, run: Run) -> Iterator[Outcome]:
    """Compute and store the artifacts of a group, and yield what became of each job.

    What is raised for one job is its outcome; interruptions of the process pass through.
    """
    yield from work_together([job for job in group.jobs if job.watches], group.dtype, run)
    for job in group.jobs:
        if not job.watches:
            run.report.begins(job)
            yield job, attempt(job.number, job.name, partial(compute, job, group.dtype, run), run.advice(job))


class _Results:
    """What became of the jobs of a run so far."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.artifacts: dict[tuple[str, ...], Artifact] = {}
        """By the keys of the job."""
        self.failures: list[Failure] = []

    def plan(
        self,
        number: int,
        organism: Organism,
        method: AnyMethod,
        configs: Callable[[Organism, AnyMethod], MethodConfig],
        recompute: bool,
    ) -> Job | None:
        """The job of an artifact, and the artifact where it is there; None when it cannot even be planned."""

        def look() -> tuple[Job, Artifact | None]:
            config = configs(organism, method)
            job = job_for(number, organism, method, config, self._run.corpus, self._run.dtype)
            return job, None if recompute else find_stored(job, self._run.store)

        outcome = attempt(number, f"{organism.id} {method.name}", look)
        if isinstance(outcome, Failure):
            self._fail(outcome)
            return None
        job, artifact = outcome
        if artifact is not None:
            self.artifacts[job.keys] = artifact
            self._run.report.found(job, artifact)
        return job

    def take(self, job: Job, outcome: Artifact | Failure) -> None:
        """Note what became of a job."""
        if isinstance(outcome, Failure):
            self._fail(outcome)
        else:
            self.artifacts[job.keys] = outcome
            self._run.report.saved(job, outcome)

    def _fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        failure.log(self._run.store.folder)
        self._run.report.failed(failure)
