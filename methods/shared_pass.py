"""One pass of the corpus for many jobs: what one collector fails by leaves the pass to the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..models.targets import Pair
from ..organisms.loading import load_pair
from ..records.progress import Countable
from .activations import passes
from .activations.encoding import Encoded
from .activations.passes import Batch, Collector, Need, Work, check_need
from .artifact import Artifact, DtypeChoice
from .contract import PassMethod
from .failures import Failure, attempt
from .jobs import Job
from .memory import PeakMemory
from .run import Run
from .work import Cost, OpenedJob, open_job, store_content

if TYPE_CHECKING:
    import torch

__all__ = ["work_together"]

T = TypeVar("T")


def work_together(jobs: Sequence[Job], dtype: DtypeChoice, run: Run) -> Iterator[tuple[Job, Artifact | Failure]]:
    """One pass for all jobs, then each one's content and artifact."""
    for job in jobs:
        run.report.begins(job)
    watches: list[_Watch] = []
    started = time.monotonic()
    with PeakMemory() as memory:
        for job in jobs:
            opened = attempt(job.number, job.name, partial(_watch, job, dtype, run), run.advice(job))
            if isinstance(opened, Failure):
                yield job, opened
            else:
                watches.append(opened)
        for base in list(dict.fromkeys(watch.pair.base for watch in watches)):
            _run_pass([watch for watch in watches if watch.pair.base == base], run)
    shared = _Shared(Cost(time.monotonic() - started, memory.peak_mib), len(watches))
    while watches:
        # Out of the list, so that what its collector holds is freed with it.
        watch = watches.pop(0)
        yield watch.opened.job, _outcome(watch, shared, run)


@dataclass(frozen=True)
class _Shared:
    """A pass, and how many artifacts it was made for."""

    cost: Cost
    artifacts: int


@dataclass(eq=False)
class _Watch(Collector):
    """A job's collector in a pass; when it fails, the pass goes on for the others."""

    opened: OpenedJob
    method: PassMethod[Any, Any, Any]
    pair: Pair
    collector: Collector | None
    """None once it failed: what it holds is of no more use, and the others may need the memory."""
    need: Need
    advice: str
    failure: Failure | None = None

    def attempt(self, call: Callable[[], T]) -> T | Failure:
        """What ``call`` returns, or why it failed."""
        return attempt(self.opened.job.number, self.opened.job.name, call, self.advice)

    def residuals(self, batch: Batch) -> None:
        """Hand them on."""
        if self.collector is not None:
            self._note(self.attempt(partial(self.collector.residuals, batch)))

    def logits(self, item: Encoded, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        """Hand them on."""
        if self.collector is not None:
            self._note(self.attempt(partial(self.collector.logits, item, start, base, finetuned)))

    def _note(self, outcome: Failure | None) -> None:
        if outcome is not None:
            self.failure, self.collector = self.failure or outcome, None


def _watch(job: Job, dtype: DtypeChoice, run: Run) -> _Watch:
    opened = open_job(job)
    if not isinstance(opened.method, PassMethod):
        raise ValueError(f"{job.name} watches no pass")
    pair = load_pair(opened.organism, dtype)
    collector = opened.method.collector(pair, run.corpus, opened.config)
    check_need(collector.need, pair.base)
    return _Watch(opened, opened.method, pair, collector, collector.need, run.advice(job))


def _run_pass(watches: Sequence[_Watch], run: Run) -> None:
    """One pass for watches on one base; a failure of the pass itself is noted with each."""

    def while_any_watches(items: Countable[T], label: str) -> Iterator[T]:
        for item in run.track(items, label):
            if all(watch.failure is not None for watch in watches):
                return
            yield item

    by_pair: dict[str, list[_Watch]] = {}
    for watch in watches:
        by_pair.setdefault(watch.opened.organism.id, []).append(watch)
    works = [Work(own[0].pair, own) for own in by_pair.values()]
    call = partial(
        passes.run_pass, works, run.corpus, while_any_watches, run.batch_size, run.chunk_tokens, _label(watches)
    )
    outcome = watches[0].attempt(call)
    if outcome is not None:
        for watch in watches:
            job = watch.opened.job
            watch.failure = watch.failure or replace(outcome, number=job.number, name=job.name)
            watch.collector = None


def _label(watches: Iterable[_Watch]) -> str:
    methods = dict.fromkeys(watch.method.name for watch in watches)
    organisms = dict.fromkeys(watch.opened.organism.id for watch in watches)
    names = ", ".join(methods)
    return f"{names} on {len(organisms)} organisms" if len(organisms) > 1 else f"{next(iter(organisms))} {names}"


def _outcome(watch: _Watch, shared: _Shared, run: Run) -> Artifact | Failure:
    """The artifact of one job after the pass, or why there is none."""
    return watch.attempt(partial(_finish, watch, shared, run)) if watch.failure is None else watch.failure


def _finish(watch: _Watch, shared: _Shared, run: Run) -> Artifact:
    """Content and artifact of one job after the pass."""
    opened = watch.opened
    started = time.monotonic()
    with PeakMemory() as memory:
        content = watch.method.content(watch.pair, run.corpus, opened.config, watch.collector, run.track)
    if shared.artifacts > 1:
        note = f"seconds include a pass of {shared.cost.seconds:.1f} s shared by {shared.artifacts} artifacts"
        content = replace(content, notes=(*content.notes, note))
    seconds = shared.cost.seconds + time.monotonic() - started
    cost = Cost(seconds, max(shared.cost.peak_mib, memory.peak_mib))
    return store_content(opened, watch.pair, content, cost, run)
