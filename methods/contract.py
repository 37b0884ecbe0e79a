"""What a diffing method is: its name and needs, its settings and payload, and what it offers over an artifact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from ..models.targets import Pair
from ..records.frozen import Frozen
from ..records.progress import Track, untracked
from ..views.panels import Note, Panel
from .activations.corpus import Corpus
from .activations.passes import Collector, Work, run_pass
from .artifact import Artifact, Content, Payload
from .evidence.evidence import Evidence

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

__all__ = ["ApiMethod", "ApiPair", "Labels", "Method", "MethodConfig", "PassMethod", "Payload", "WeightsMethod"]


class MethodConfig(Frozen):
    """Settings of a method; the defaults are the paper's.

    Only what changes the result belongs here: all of it enters the artifact's key. Sizes of batches belong to the run.
    """

    on_suites: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What differs from the defaults on a suite, by the suite's name."""


@dataclass(frozen=True)
class Labels:
    """What the two models are called in front of an investigator."""

    base: str = "base"
    finetuned: str = "finetuned"


@dataclass(frozen=True)
class ApiPair:
    """Two models by their Inspect names: they are queried through ``inspect_ai.model.get_model``."""

    name: str
    """What they are of, for messages: the id of an organism."""
    base: str
    finetuned: str
    system_prompt: str | None = None
    """System prompt under which both are queried."""


C = TypeVar("C", bound=MethodConfig)
P = TypeVar("P", bound=Payload)
K = TypeVar("K", bound=Collector)


class Method(ABC, Generic[C, P]):
    """A diffing method: one object, registered in the entry-point group ``diffbench.methods``.

    A method derives from one of the classes below, which say what its ``diff`` is given.
    """

    name: ClassVar[str]
    """Name in tables and on the command line; also that of the entry point."""
    needs: ClassVar[Literal["weights", "api"]] = "weights"
    """Whether the pair's weights are required; for a method that needs an API none are loaded."""
    spending: ClassVar[tuple[str, ...]] = ()
    """Names of those tools of ``toolset`` that cost interactions, so that they can be given budgets."""
    config_type: type[C]
    """Its settings."""
    payload_type: type[P]
    """What its artifacts hold."""

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


class WeightsMethod(Method[C, P]):
    """A method that works on the weights or the activations of both models."""

    @abstractmethod
    def diff(self, pair: Pair, corpus: Corpus, config: C, track: Track = untracked) -> Content:
        """Compare the two models of ``pair`` on ``corpus``."""


class ApiMethod(Method[C, P]):
    """A method that only queries both models, so that it works for pairs behind an API too."""

    needs = "api"

    @abstractmethod
    def diff(self, pair: ApiPair, corpus: Corpus, config: C, track: Track = untracked) -> Content:
        """Compare the two models of ``pair`` on ``corpus``."""


class PassMethod(WeightsMethod[C, P], Generic[C, P, K]):
    """A method that watches a pass of the corpus through both models, which it shares with others."""

    @abstractmethod
    def collector(self, pair: Pair, corpus: Corpus, config: C) -> K:
        """What gathers, during the pass, all that the method needs of it."""

    @abstractmethod
    def content(self, pair: Pair, corpus: Corpus, config: C, collector: K, track: Track = untracked) -> Content:
        """What the method computes of what its collector gathered; it may sample."""

    def diff(self, pair: Pair, corpus: Corpus, config: C, track: Track = untracked) -> Content:
        """A pass of its own, then its content."""
        collector = self.collector(pair, corpus, config)
        run_pass([Work(pair, [collector])], corpus, track, label=self.name)
        return self.content(pair, corpus, config, collector, track)
