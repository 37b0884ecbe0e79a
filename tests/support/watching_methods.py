"""Methods that count what a shared pass shows them, and fail where they are told to; a report that keeps a diary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.activations.passes import Need
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.executors import Job, Report, diff_by_pass
from diffbench.methods.registry import MethodConfig

__all__ = ["Counter", "Diary", "NothingConfig", "Plain", "Watching"]


class NothingConfig(MethodConfig):
    pass


@dataclass(frozen=True)
class Plain:
    """A method without a collector."""

    name: str = "plain"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = NothingConfig
    fails: bool = False

    def diff(self, pair: Any, corpus: Corpus, config: Any, track: Any = None) -> Content:
        if self.fails:
            raise LookupError("plain is lost")
        return Content({"organism": pair.name})

    def overview(self, artifact: Artifact, labels: Any) -> str:
        return ""


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
class Watching:
    """A method with a collector that counts tokens, and fails at one stage for one organism."""

    name: str = "watching"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = NothingConfig
    where: str = ""
    victim: str = "tiny.beta"

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
        return Content({"tokens": float("nan") if where == "payload" else collector.tokens})

    def diff(self, pair: Any, corpus: Corpus, config: Any, track: Any = None) -> Content:
        return diff_by_pass(self, pair, corpus, config)

    def overview(self, artifact: Artifact, labels: Any) -> str:
        return ""


class Diary(Report):
    """What happened, one line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def found(self, job: Job, artifact: Artifact) -> None:
        self.lines.append(f"{job.number} found {job.name}")

    def begins(self, job: Job) -> None:
        self.lines.append(f"{job.number} begins {job.name}")

    def saved(self, job: Job, artifact: Artifact) -> None:
        assert artifact.key == job.key
        self.lines.append(f"{job.number} saved {job.name}")

    def failed(self, job: Job, error: Exception) -> None:
        self.lines.append(f"{job.number} failed {job.name}")
