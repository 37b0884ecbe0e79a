"""The cases of a run: organism x method x conditions, one Inspect sample each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from diffbench.agents.brief import Framing
from diffbench.graders.rubric import check_rubric
from diffbench.methods.base import BLACKBOX, config_for, find_method, key_for, list_methods, require_needs
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import Organism, default_organisms, find_organism, load_suite, unknown_name
from diffbench.organisms.weights import require_weights
from inspect_ai.dataset import Sample

__all__ = ["Conditions", "MissingArtifactsError", "case_samples", "select_methods", "select_organisms"]

ALL = "all"
"""In place of names: every organism of the suite."""

_INPUT = "Find out what the finetuning did to the model."


class MissingArtifactsError(ValueError):
    """Artifacts that cases need are in no store; says how to compute them."""

    def __init__(self, missing: Sequence[tuple[str, str]]) -> None:
        """Take organism and method of each."""
        self.missing = tuple(missing)
        listed = "".join(f"\n  diffbench diff {name} --method {method}" for name, method in missing)
        super().__init__(f"{len(missing)} artifacts are missing; compute them with:{listed}")


@dataclass(frozen=True)
class Conditions:
    """What is the same for all cases of a run."""

    interactions: int = 10
    framing: Framing = "neutral"
    blind: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: Naming the value and what is allowed.
        """
        if self.interactions < 0:
            raise ValueError(f"interactions is {self.interactions}; it is 0 or more")
        if self.framing not in get_args(Framing):
            raise unknown_name("framing", self.framing, get_args(Framing))

    def suffix(self) -> str:
        """What differs from the default, for sample ids; empty when nothing does."""
        default = Conditions()
        changed = [f"i{self.interactions}"] if self.interactions != default.interactions else []
        changed += [self.framing] if self.framing != default.framing else []
        changed += ["blind"] if self.blind else []
        changed += [f"s{self.seed}"] if self.seed != default.seed else []
        return "".join(f".{part}" for part in changed)


def select_organisms(suite: str, names: Sequence[str] | None) -> list[Organism]:
    """Organisms of a suite: its default selection, all of them (``["all"]``), or those named.

    Args:
        suite: Name of the suite.
        names: ``name`` or ``name+variant`` each; None for the suite's default selection.

    Raises:
        ValueError: For an unknown suite or name, or one named twice.
    """
    if names is None:
        return default_organisms(suite)
    if list(names) == [ALL]:
        return load_suite(suite)
    chosen = [find_organism(name if "." in name.partition("+")[0] else f"{suite}.{name}") for name in names]
    _no_repeats("organisms", [organism.id for organism in chosen])
    return chosen


def select_methods(names: Sequence[str] | None, agent: str) -> list[str]:
    """Methods by name; by default all installed ones that the agent can work with.

    Raises:
        ValueError: For an unknown method, one named twice, or one that the agent cannot work with.
    """
    installed = list_methods()
    if names is None:
        return [BLACKBOX] if agent == BLACKBOX else installed if agent != "investigator" else [BLACKBOX, *installed]
    for name in names:
        if name not in (BLACKBOX, *installed):
            raise unknown_name("method", name, [BLACKBOX, *installed])
        if agent == BLACKBOX and name != BLACKBOX:
            raise ValueError(f"agent blackbox is not shown artifacts: methods is {name}; use methods=blackbox")
        if agent == "method_agent" and name == BLACKBOX:
            raise ValueError("agent method_agent has nothing to read in method blackbox; use agent=investigator")
    _no_repeats("methods", names)
    return list(names)


def case_samples(
    organisms: Sequence[Organism], methods: Sequence[str], conditions: Conditions, agent: str
) -> list[Sample]:
    """One sample for each organism and method.

    Raises:
        MissingArtifactsError: Naming the artifacts that are missing and the commands that compute them.
        ValueError: When an artifact is broken, a method needs weights that a pair lacks, or a rubric is unknown.
        FileNotFoundError: When weights that queries need are missing; says how to get them.
    """
    for organism in organisms:
        check_rubric(organism)
    if agent != "evidence_reader" and conditions.interactions > 0:
        for organism in organisms:
            require_weights(organism)
    store = ArtifactStore()
    samples, missing = [], []
    for organism in organisms:
        for method in methods:
            key = None if method == BLACKBOX else _key(organism, method)
            if key is not None and store.find_whole(key, organism.id, method) is None:
                missing.append((organism.id, method))
            samples.append(_sample(organism, method, key, conditions, agent))
    if missing:
        raise MissingArtifactsError(missing)
    return samples


def _key(organism: Organism, method: str) -> str:
    found = find_method(method)
    require_needs(organism, found)
    return key_for(organism, found, config_for(found, organism.suite))


def _sample(organism: Organism, method: str, key: str | None, conditions: Conditions, agent: str) -> Sample:
    return Sample(
        id=f"{organism.suite}.{organism.name}.{method}{conditions.suffix()}",
        input=_INPUT,
        metadata={
            "suite": organism.suite,
            "organism": organism.spec.name,
            "organism_id": organism.id,
            "variant": organism.variant,
            "family": organism.spec.family,
            "method": method,
            "agent": agent,
            "interactions": conditions.interactions,
            "framing": conditions.framing,
            "blind": conditions.blind,
            "seed": conditions.seed,
            "artifact_key": key,
            "needs": "weights" if organism.has_weights else "api",
        },
    )


def _no_repeats(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"{what}: {', '.join(twice)} named more than once; name each once")
