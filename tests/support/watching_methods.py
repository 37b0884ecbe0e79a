"""Methods that count what a shared pass shows them, and fail where they are told to; a report that keeps a diary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.passes import Need
from diffbench.methods.artifact import Artifact, Content, Payload
from diffbench.methods.contract import ApiMethod, ApiPair, Labels, MethodConfig, PassMethod, WeightsMethod
from diffbench.methods.evidence.evidence import Evidence
from diffbench.methods.failures import Failure
from diffbench.methods.jobs import Job
from diffbench.methods.run import Report

__all__ = ["Asking", "Counter", "Diary", "NothingConfig", "Plain", "Said", "Watching"]


class NothingConfig(MethodConfig):
    pass


class Said(Payload):
    text: str = ""
    number: float = 0.0


class Silent:
    """What no test looks at."""

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        return ""

    def evidence(self, artifact: Artifact) -> Evidence:
        return Evidence()


@dataclass(frozen=True)
class Plain(Silent, WeightsMethod[NothingConfig, Said]):
    """A method without a collector; raises an error of its own where it is given one."""

    error: BaseException | None = None
    victim: str = ""
    """Organism for which it raises; empty for all."""
    name = "plain"
    config_type = NothingConfig
    payload_type = Said

    def diff(self, pair: Any, corpus: Corpus, config: NothingConfig, track: Any = None) -> Content:
        if self.error is not None and self.victim in {"", pair.name}:
            raise self.error
        return Content(Said(text=pair.name))


@dataclass(frozen=True)
class Asking(Silent, ApiMethod[NothingConfig, Said]):
    """A method that only queries both models."""

    name = "asking"
    config_type = NothingConfig
    payload_type = Said

    def diff(self, pair: ApiPair, corpus: Corpus, config: NothingConfig, track: Any = None) -> Content:
        return Content(Said(text=f"{pair.base} against {pair.finetuned}"))


class Counter:
    """Counts tokens; fails where it is told to."""

    def __init__(self, need: Need, where: str) -> None:
        self.need, self.where, self.tokens = need, where, 0

    def residuals(self, batch: Any) -> None:
        self.tokens += sum(map(self.need.width, batch.items))
        if self.where == "residuals":
            raise IndexError("a bad row")

    def logits(self, item: Any, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        if self.where == "logits":
            raise RuntimeError("a bad stretch")


@dataclass(frozen=True)
class Watching(Silent, PassMethod[NothingConfig, Said, Counter]):
    """A method with a collector that counts tokens, and fails at one stage for one organism."""

    where: str = ""
    victim: str = "tiny.beta"
    name = "watching"
    config_type = NothingConfig
    payload_type = Said

    def collector(self, pair: Any, corpus: Corpus, config: Any) -> Counter:
        where = self.where if pair.name == self.victim else ""
        if where == "collector":
            raise TypeError("no collector today")
        layer = 99 if where == "layer" else 1
        return Counter(Need(layers=frozenset({layer}), logits=True), where)

    def content(self, pair: Any, corpus: Corpus, config: Any, collector: Counter, track: Any = None) -> Content:
        where = self.where if pair.name == self.victim else ""
        if where == "content":
            raise ZeroDivisionError("nothing to divide by")
        if where == "kill":
            raise KeyboardInterrupt
        return Content(Said(number=float("nan") if where == "payload" else collector.tokens))


class Diary(Report):
    """What happened, one line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def found(self, job: Job, artifact: Artifact) -> None:
        self.lines.append(f"{job.number} found {job.name}")

    def begins(self, job: Job) -> None:
        self.lines.append(f"{job.number} begins {job.name}")

    def saved(self, job: Job, artifact: Artifact) -> None:
        assert artifact.key in job.keys
        self.lines.append(f"{job.number} saved {job.name}")

    def failed(self, failure: Failure) -> None:
        self.lines.append(f"{failure.number} failed {failure.name}")
