"""Many artifacts at once: methods that watch the corpus share passes, and organisms on one base share its runs.

Jobs whose artifact is in the store are skipped. The others are grouped by base, a few organisms a group. A group makes
one pass (``passes.run_pass``) for all its methods with a collector and then finishes and stores artifact by artifact,
so that a killed run loses the running group at most. A failing artifact stops neither the others of its group nor the
next groups; all failures are raised at the end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ..models.targets import Pair
from ..organisms.loading import load_pair
from ..organisms.suites import Organism
from ..records.errors import MendableError
from ..records.progress import Countable
from .activations.corpus import Corpus
from .activations.passes import BATCH_SIZE
from .artifact import Artifact, Content
from .memory import advised, lightened
from .registry import (
    Method,
    MethodConfig,
    PassMethod,
    PeakMemory,
    Track,
    compute,
    key_for,
    require_needs,
    save_content,
    untracked,
)
from .store import ArtifactStore

if TYPE_CHECKING:
    import torch

    from .activations.forward import Encoded
    from .activations.passes import Batch, Collector, Need

__all__ = ["SHARE", "FailedArtifactsError", "Job", "Report", "compute_all", "diff_by_pass"]

T = TypeVar("T")

SHARE = 4
"""Organisms that share a pass at most."""

# All that a method's own code, a model or a disk can fail by; not the interruption of the run.
_FAILURES = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def diff_by_pass(
    method: PassMethod,
    pair: Pair,
    corpus: Corpus,
    config: MethodConfig,
    track: Track = untracked,
    batch_size: int | None = None,
    chunk_tokens: int | None = None,
) -> Content:
    """The ``diff`` of a method that watches a pass: a pass of its own, then its content.

    Args:
        method: The method.
        pair: The two models.
        corpus: Texts and chats.
        config: The method's settings.
        track: Wraps the batches for a progress display.
        batch_size: Items run at once; None for the default of passes.
        chunk_tokens: Tokens whose logits are held at once; None for the default of passes.
    """
    from .activations.passes import CHUNK_TOKENS, Work, run_pass

    collector = method.collector(pair, corpus, config)
    work = Work(pair, [collector])
    run_pass([work], corpus, track, batch_size or BATCH_SIZE, chunk_tokens or CHUNK_TOKENS, label=method.name)
    return method.content(pair, corpus, config, collector, track)


@dataclass(frozen=True)
class Job:
    """One artifact that is asked for."""

    number: int
    """Counted from 1, in the order of organisms and then of methods."""
    organism: Organism
    method: Method
    config: MethodConfig
    key: str

    @property
    def name(self) -> str:
        """``smol.cake_bake kl``."""
        return f"{self.organism.id} {self.method.name}"


class Report:
    """Hears what happens to each job; does nothing by itself."""

    def found(self, job: Job, artifact: Artifact) -> None:
        """The artifact was there."""

    def begins(self, job: Job) -> None:
        """Its computation, or the pass it shares with others, begins."""

    def saved(self, job: Job, artifact: Artifact) -> None:
        """It was computed and stored."""

    def failed(self, job: Job, error: Exception) -> None:
        """It could not be computed; the run goes on with the others."""


class FailedArtifactsError(ValueError):
    """Some artifacts of a run could not be computed; the others are stored. Its cause holds the errors."""

    def __init__(self, failures: Sequence[tuple[Job, Exception]], tried: int) -> None:
        self.failures = tuple(failures)
        """Job and error of each."""
        lines = [f"- {job.name}: {_said(error)}" for job, error in failures]
        rest = "; the others are stored" if tried > len(failures) else ""
        super().__init__("\n".join([f"{len(failures)} of {tried} artifacts could not be computed{rest}:", *lines]))


def _said(error: Exception) -> str:
    """The message of an error that a user can mend; of any other its type too."""
    return str(error) if isinstance(error, MendableError) else f"{type(error).__name__}: {error}"


def compute_all(
    organisms: Sequence[Organism],
    methods: Sequence[Method],
    configs: Callable[[Organism, Method], MethodConfig],
    corpus: Corpus,
    store: ArtifactStore,
    track: Track = untracked,
    recompute: bool = False,
    share: int = SHARE,
    report: Report | None = None,
    batch_size: int | None = None,
) -> list[Artifact]:
    """The artifact of each organism under each method; what is not in the store is computed, in shared passes.

    Args:
        organisms: Whose artifacts.
        methods: Which artifacts.
        configs: Gives the settings of a method for an organism.
        corpus: Texts and chats.
        store: Where artifacts are looked for and stored.
        track: Wraps what is worked through for a progress display.
        recompute: Whether to compute again what is there.
        share: Organisms that share a pass at most; more at once hold more finetuned models in memory.
        report: Hears what happens to each artifact.
        batch_size: Items of the corpus that a pass runs at once; None for the default of passes.

    Returns:
        The artifacts, for each organism one a method.

    Raises:
        ValueError: Before anything is computed, when a method needs weights and only an API is known for a pair.
        FileNotFoundError: Before anything is computed, when local weights are missing.
        CorruptArtifactError: Before anything is computed, when an artifact is there but broken, unless ``recompute``.
        FailedArtifactsError: At the end, naming each artifact that could not be computed.
    """
    report, batch_size = report or Report(), batch_size or BATCH_SIZE
    jobs = list(_jobs(organisms, methods, configs, corpus))
    artifacts: dict[str, Artifact] = {} if recompute else dict(_stored(jobs, store))
    for job in jobs:
        if job.key in artifacts:
            report.found(job, artifacts[job.key])
    missing = [job for job in jobs if job.key not in artifacts]
    # Of jobs with the same key, such as those of an organism named twice, the first is worked on.
    todo = {job.key: job for job in reversed(missing)}
    failures: list[tuple[Job, Exception]] = []
    for group in _groups([job for job in missing if todo[job.key] is job], share):
        for job, outcome in _run_group(group, corpus, store, track, report, batch_size):
            if isinstance(outcome, Artifact):
                artifacts[job.key] = outcome
                report.saved(job, outcome)
            else:
                failures.append((job, advised(outcome, job.config, share, batch_size)))
                report.failed(*failures[-1])
    for job in missing:
        if todo[job.key] is not job and job.key in artifacts:
            report.found(job, artifacts[job.key])
    if failures:
        errors = ExceptionGroup("artifacts that failed", [error for _, error in failures])
        raise FailedArtifactsError(failures, len(todo)) from errors
    return [artifacts[job.key] for job in jobs]


def _jobs(
    organisms: Sequence[Organism],
    methods: Sequence[Method],
    configs: Callable[[Organism, Method], MethodConfig],
    corpus: Corpus,
) -> Iterator[Job]:
    pairs = ((organism, method) for organism in organisms for method in methods)
    for number, (organism, method) in enumerate(pairs, 1):
        require_needs(organism, method)
        config = configs(organism, method)
        yield Job(number, organism, method, config, key_for(organism, method, config, corpus))


def _stored(jobs: Sequence[Job], store: ArtifactStore) -> Iterator[tuple[str, Artifact]]:
    for job in jobs:
        found = store.find_whole(job.key, job.organism.id, job.method.name)
        if found is not None:
            yield job.key, found


def _groups(jobs: Sequence[Job], share: int) -> Iterator[list[Job]]:
    """Jobs of up to ``share`` organisms on one base at a time, in their order."""
    by_base: dict[str, dict[str, list[Job]]] = {}
    for job in jobs:
        base = json.dumps(job.organism.identity("base"), sort_keys=True)
        by_base.setdefault(base, {}).setdefault(job.organism.id, []).append(job)
    for by_organism in by_base.values():
        names = list(by_organism)
        for start in range(0, len(names), share):
            yield [job for name in names[start : start + share] for job in by_organism[name]]


_Outcome = tuple[Job, Artifact | Exception]


def _run_group(
    jobs: Sequence[Job], corpus: Corpus, store: ArtifactStore, track: Track, report: Report, batch_size: int
) -> Iterator[_Outcome]:
    sharing = [(job, job.method) for job in jobs if isinstance(job.method, PassMethod)]
    yield from _run_shared(sharing, corpus, store, track, report, batch_size)
    for job in jobs:
        if not isinstance(job.method, PassMethod):
            report.begins(job)
            try:
                artifact = compute(job.organism, job.method, job.config, corpus, store, track)
            except _FAILURES as error:
                yield job, lightened(error)
            else:
                yield job, artifact


def _run_shared(
    jobs: Sequence[tuple[Job, PassMethod]],
    corpus: Corpus,
    store: ArtifactStore,
    track: Track,
    report: Report,
    batch_size: int,
) -> Iterator[_Outcome]:
    """One pass for all jobs, then each one's content."""
    for job, _ in jobs:
        report.begins(job)
    watches: list[_Watch] = []
    started = time.monotonic()
    with PeakMemory() as memory:
        for job, method in jobs:
            try:
                watches.append(_watch(job, method, corpus))
            except _FAILURES as error:
                yield job, lightened(error)
        for base in list(dict.fromkeys(watch.pair.base for watch in watches)):
            _run_pass([watch for watch in watches if watch.pair.base == base], corpus, track, batch_size)
    seconds, shared = time.monotonic() - started, len(watches)
    while watches:
        # Out of the list, so that what its collector holds is freed with it.
        watch = watches.pop(0)
        try:
            artifact = _finish(watch, corpus, store, track, seconds, shared, memory.peak_mib)
        except _FAILURES as error:
            yield watch.job, lightened(error)
        else:
            yield watch.job, artifact


@dataclass(eq=False)
class _Watch:
    """A job's collector in a pass; when it fails, the pass goes on for the others."""

    job: Job
    method: PassMethod
    pair: Pair
    collector: Collector | None
    """None once it failed: what it holds is of no more use, and the others may need the memory."""
    need: Need
    error: Exception | None = None

    def residuals(self, batch: Batch) -> None:
        self._guarded(lambda collector: collector.residuals(batch))

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        self._guarded(lambda collector: collector.logits(item, start, base, finetuned))

    def fail(self, error: Exception) -> None:
        """Note why, the first time."""
        self.error, self.collector = self.error or lightened(error), None

    def _guarded(self, call: Callable[[Collector], None]) -> None:
        if self.collector is not None:
            try:
                call(self.collector)
            except _FAILURES as error:
                self.fail(error)


def _watch(job: Job, method: PassMethod, corpus: Corpus) -> _Watch:
    from .activations.passes import check_need

    pair = load_pair(job.organism)
    collector = method.collector(pair, corpus, job.config)
    check_need(collector.need, pair.base)
    return _Watch(job, method, pair, collector, collector.need)


def _run_pass(watches: Sequence[_Watch], corpus: Corpus, track: Track, batch_size: int) -> None:
    """One pass for watches on one base; a failure of the pass itself is noted with each."""
    from .activations.passes import Work, run_pass

    def while_any_watches(items: Countable[T], label: str) -> Iterator[T]:
        for item in track(items, label):
            if all(watch.error is not None for watch in watches):
                return
            yield item

    by_pair: dict[str, list[_Watch]] = {}
    for watch in watches:
        by_pair.setdefault(watch.job.organism.id, []).append(watch)
    works = [Work(own[0].pair, own) for own in by_pair.values()]
    names = ", ".join(dict.fromkeys(watch.job.method.name for watch in watches))
    label = f"{names} on {len(works)} organisms" if len(works) > 1 else f"{watches[0].job.organism.id} {names}"
    try:
        run_pass(works, corpus, while_any_watches, batch_size, label=label)
    except _FAILURES as error:
        for watch in watches:
            watch.fail(error)


def _finish(
    watch: _Watch, corpus: Corpus, store: ArtifactStore, track: Track, seconds: float, shared: int, peak_mib: float
) -> Artifact:
    """Content and artifact of one job after a pass of ``seconds`` that ``shared`` artifacts had in common."""
    job, method = watch.job, watch.method
    if watch.error is not None:
        raise watch.error
    started = time.monotonic()
    with PeakMemory() as memory:
        content = method.content(watch.pair, corpus, job.config, watch.collector, track)
    if shared > 1:
        note = f"seconds include a pass of {seconds:.1f} s shared by {shared} artifacts"
        content = replace(content, notes=(*content.notes, note))
    total, peak = seconds + time.monotonic() - started, max(peak_mib, memory.peak_mib)
    return save_content(job.organism, watch.pair, method, job.config, corpus, store, content, total, peak)
