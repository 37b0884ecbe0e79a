"""What a diffing method is: its name and needs, its settings and payload, and what it offers over an artifact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from ..records.frozen import Frozen
from ..records.progress import Track, untracked
from ..views.panels import Note, Panel

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

    from ..models.targets import Pair
    from .activations.corpus import Corpus
    from .activations.passes import Collector
    from .artifact import Artifact, Content
    from .evidence.evidence import Evidence

__all__ = ["Labels", "Method", "MethodConfig", "PassMethod", "Payload"]


class MethodConfig(Frozen):
    """Settings of a method; the defaults are the paper's.

    Only what changes the result belongs here: all of it enters the artifact's key. Sizes of batches belong to the run.
    """

    on_suites: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What differs from the defaults on a suite, by the suite's name."""


class Payload(Frozen):
    """The part of an artifact that is read: JSON with finite numbers. Tensors lie beside it, by name."""


@dataclass(frozen=True)
class Labels:
    """What the two models are called in front of an investigator."""

    base: str = "base"
    finetuned: str = "finetuned"


C = TypeVar("C", bound=MethodConfig)
P = TypeVar("P", bound=Payload)
K = TypeVar("K", bound="Collector")


class Method(ABC, Generic[C, P]):
    """A diffing method: one object, registered in the entry-point group ``diffbench.methods``."""

    name: ClassVar[str]
    """Name in tables and on the command line; also that of the entry point."""
    needs: ClassVar[Literal["weights", "api"]] = "weights"
    """Whether the pair's weights are required; they are loaded for no other method."""
    spending: ClassVar[tuple[str, ...]] = ()
    """Names of those tools of ``toolset`` that cost interactions, so that they can be given budgets."""
    config_type: type[C]
    """Its settings."""
    payload_type: type[P]
    """What its artifacts hold."""

    @abstractmethod
    def diff(self, pair: Pair, corpus: Corpus, config: C, track: Track = untracked) -> Content:
        """Compare the two models of ``pair`` on ``corpus``."""

    @abstractmethod
    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """What an investigator reads first: about 1,500 tokens at most."""

    @abstractmethod
    def evidence(self, artifact: Artifact) -> Evidence:
        """What the artifact says, as data: for readers without a language model, and for statistics."""

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """The tools with which an investigator reads on; by default it has the overview alone."""
        return ()

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """What a person looks at, the most telling panel first; by default the overview."""
        return (Note(f"Overview of {self.name}", self.overview(artifact, labels), verbatim=True),)

    def payload(self, artifact: Artifact) -> P:
        """The typed payload of one of its artifacts.

        Raises:
            CorruptArtifactError: When the file is missing, differs from its hash, or does not fit ``payload_type``.
        """
        return artifact.payload(self.payload_type)


class PassMethod(Method[C, P], Generic[C, P, K]):
    """A method that watches a pass of the corpus through both models, which it shares with others."""

    @abstractmethod
    def collector(self, pair: Pair, corpus: Corpus, config: C) -> K:
        """What gathers, during the pass, all that the method needs of it."""

    @abstractmethod
    def content(self, pair: Pair, corpus: Corpus, config: C, collector: K, track: Track = untracked) -> Content:
        """What the method computes of what its collector gathered; it may sample."""

    def diff(self, pair: Pair, corpus: Corpus, config: C, track: Track = untracked) -> Content:
        """A pass of its own, then its content."""
        from .activations.passes import Work, run_pass

        collector = self.collector(pair, corpus, config)
        run_pass([Work(pair, [collector])], corpus, track, label=self.name)
        return self.content(pair, corpus, config, collector, track)
