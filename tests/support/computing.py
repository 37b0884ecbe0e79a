"""``compute_all`` for organisms and methods that are objects of a test, not installed ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from diffbench.methods import executors
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.artifact import Artifact
from diffbench.methods.run import Run
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import Organism

__all__ = ["compute_all"]


def compute_all(
    organisms: Sequence[Organism],
    methods: Sequence[Any],
    configs: Callable[[Organism, Any], Any],
    corpus: Corpus,
    store: ArtifactStore | None = None,
    recompute: bool = False,
    executor: executors.Executor | None = None,
    **options: Any,
) -> list[Artifact]:
    """The artifacts of these; ``options`` are further fields of the run."""
    run = Run(corpus, store or ArtifactStore(), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffbench.methods.work.find_organism", {o.id: o for o in organisms}.__getitem__)
        patch.setattr("diffbench.methods.work.find_method", {m.name: m for m in methods}.__getitem__)
        return executors.compute_all(organisms, methods, configs, run, recompute, executor)
