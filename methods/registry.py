"""What a diffing method is, which ones there are, and the run of one over one pair."""

from __future__ import annotations

import importlib.metadata
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import psutil
import yaml
from pydantic import ValidationError

from ..models.targets import Pair
from ..organisms.loading import load_pair
from ..organisms.suites import Organism, settings_suite
from ..records.errors import unknown_name
from ..records.progress import Track, untracked
from .activations.corpus import Corpus, probe_corpus
from .artifact import Artifact, Content, artifact_key
from .contract import Labels, MethodConfig
from .store import ArtifactStore

if TYPE_CHECKING:
    from .activations.passes import Collector

__all__ = [
    "Labels",
    "Method",
    "MethodConfig",
    "PassMethod",
    "PeakMemory",
    "Track",
    "compute",
    "config_for",
    "find_method",
    "key_for",
    "list_methods",
    "load_point",
    "require_needs",
    "save_content",
    "unique_points",
    "untracked",
]

ENTRY_POINTS = "diffbench.methods"
BLACKBOX = "blackbox"
"""The method without an artifact."""

_CONFIGS = Path(__file__).parent / "configs"
_PARTS = ("name", "needs", "config_type", "diff", "overview")
"""What a method must have."""

T = TypeVar("T")


@runtime_checkable
class Method(Protocol):
    """A diffing method. Third parties register theirs in the entry-point group ``diffbench.methods``."""

    @property
    def name(self) -> str:
        """Name in tables and on the command line."""
        ...

    @property
    def needs(self) -> Literal["weights", "api"]:
        """Whether the pair's weights are required."""
        ...

    @property
    def config_type(self) -> type[MethodConfig]:
        """Its settings."""
        ...

    def diff(self, pair: Pair, corpus: Corpus, config: Any, track: Track = untracked) -> Content:
        """Compare the two models of ``pair`` on ``corpus``."""
        ...

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """What an investigator sees first: a few thousand tokens at most."""
        ...


@runtime_checkable
class PassMethod(Method, Protocol):
    """A method that watches a pass of the corpus through both models, which it can share with others.

    Its ``diff`` is ``sharing.diff_by_pass``.
    """

    def collector(self, pair: Pair, corpus: Corpus, config: Any) -> Collector:
        """What gathers, during the pass, all that the method needs of it."""
        ...

    def content(self, pair: Pair, corpus: Corpus, config: Any, collector: Any, track: Track = untracked) -> Content:
        """What the method computes of what its collector gathered; may sample."""
        ...


def list_methods() -> list[str]:
    """Names of all installed methods, the method without an artifact excluded."""
    return sorted(_entry_points())


def find_method(name: str) -> Method:
    """The method called ``name``.

    Raises:
        ValueError: Naming the close ones when there is none; when a third party's entry point cannot be loaded, is no
            method, or is one of another name.
    """
    points = _entry_points()
    if name not in points:
        raise unknown_name("method", name, [*points, BLACKBOX])
    method = load_point(points[name])
    missing = [part for part in _PARTS if not hasattr(method, part)]
    if missing or isinstance(method, type):
        lack = f"has no {', '.join(missing)}" if missing else "is a class, not an object made of it"
        raise ValueError(f"{_registered(points[name])} is no diffing method: it {lack}; see docs/add_a_method.md")
    if method.name != name:
        raise ValueError(f"{_registered(points[name])} calls itself {method.name!r}; both names must be the same")
    found: Method = method
    return found


def load_point(point: importlib.metadata.EntryPoint) -> Any:
    """What an entry point names.

    Raises:
        ValueError: When it cannot be imported; names the entry point and its package.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{_registered(point)} cannot be loaded ({type(error).__name__}: {error}); repair or uninstall that package"
        ) from error


def config_for(method: Method, suite: str, overrides: Mapping[str, Any] | None = None) -> MethodConfig:
    """The method's settings on a suite: paper defaults, the suite's scale, overrides.

    The scale stands in ``configs/<suite>.yaml``, or with the settings (``MethodConfig.on_suites``).

    Raises:
        ValueError: For a setting that the method does not have or does not take.
    """
    like = settings_suite(suite)
    path = _CONFIGS / f"{like}.yaml"
    scale = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    settings = {**method.config_type.on_suites.get(like, {}), **scale.get(method.name, {}), **(overrides or {})}
    try:
        return method.config_type.model_validate(settings)
    except ValidationError as error:
        known = ", ".join(method.config_type.model_fields)
        raise ValueError(f"settings of {method.name} on {suite}: {error}\nknown settings: {known}") from error


def key_for(organism: Organism, method: Method, config: MethodConfig, corpus: Corpus | None = None) -> str:
    """Key of the artifact of a pair, known before anything is loaded or computed."""
    return artifact_key(
        organism.identity("base"),
        organism.identity("finetuned"),
        method.name,
        config.model_dump(mode="json"),
        (corpus or probe_corpus()).sha256,
    )


def compute(
    organism: Organism,
    method: Method,
    config: MethodConfig,
    corpus: Corpus,
    store: ArtifactStore,
    track: Track = untracked,
) -> Artifact:
    """Run a method over a pair and store its artifact.

    Raises:
        ValueError: When the method needs weights and only an API is known for the pair.
    """
    require_needs(organism, method)
    started = time.monotonic()
    with PeakMemory() as memory:
        pair = load_pair(organism)
        content = method.diff(pair, corpus, config, track)
    seconds = time.monotonic() - started
    return save_content(organism, pair, method, config, corpus, store, content, seconds, memory.peak_mib)


def require_needs(organism: Organism, method: Method) -> None:
    """Refuse a method for a pair that lacks what the method needs.

    Raises:
        ValueError: When the method needs weights and only an API is known for the pair.
    """
    if method.needs == "weights" and not organism.has_weights:
        raise ValueError(
            f"{method.name} needs weights; {organism.id} is known by an API only. "
            f"Choose another method: one that needs an API only, or {BLACKBOX}"
        )


def save_content(
    organism: Organism,
    pair: Pair,
    method: Method,
    config: MethodConfig,
    corpus: Corpus,
    store: ArtifactStore,
    content: Content,
    seconds: float,
    peak_mib: float,
) -> Artifact:
    """Store what a method computed, with the manifest of how it came to be.

    Args:
        organism: Whose artifact it is.
        pair: Its two models.
        method: Their comparison.
        config: Its settings.
        corpus: What it ran on.
        store: Where the artifact goes.
        content: What it computed.
        seconds: Wall time of all that went into it.
        peak_mib: Largest resident memory of the process meanwhile, in MiB.
    """
    return store.save(
        key_for(organism, method, config, corpus),
        content,
        method=method.name,
        config=config.model_dump(mode="json"),
        base=organism.identity("base"),
        finetuned=organism.identity("finetuned"),
        corpus_name=corpus.name,
        corpus_sha256=corpus.sha256,
        device=f"{pair.base.network.model.device}, {pair.base.network.model.dtype}",
        seconds=round(seconds, 1),
        peak_memory_mib=round(peak_mib, 1),
    )


@cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return unique_points(ENTRY_POINTS)


def unique_points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    """Entry points of a group by name.

    Raises:
        ValueError: When two packages register different things under one name.
    """
    points: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=group):
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            raise ValueError(f"{_registered(other)} and {_registered(point)} have one name; rename or uninstall one")
    return points


def _registered(point: importlib.metadata.EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist is not None else ""
    return f"{point.group} entry point {point.name} = {point.value!r}{package}"


class PeakMemory:
    """Largest resident memory of this process while the block runs, looked at again and again."""

    peak_mib: float = 0.0

    def __init__(self, every: float = 0.5) -> None:
        """Look every so many seconds."""
        self._every = every

    def __enter__(self) -> PeakMemory:
        self.peak_mib = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        look: Callable[[], float] = lambda: psutil.Process().memory_info().rss / 2**20  # noqa: E731
        while True:
            self.peak_mib = max(self.peak_mib, look())
            if self._done.wait(self._every):
                return
