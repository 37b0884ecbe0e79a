"""The schema of an organism: what a finetuned model is, what its finetuning did, and where its weights are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from ..models.references import BaseReference, ModelReference
from ..records.errors import MendableError
from ..records.frozen import Frozen
from ..records.names import DEFAULT_VARIANT
from .recipe import Recipe

__all__ = ["Behaviour", "Family", "KeyFact", "OrganismSpec", "Probe", "load_spec", "load_specs"]

Family = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]*$")]
"""Kind of finetuning. Which there are the rubrics say, shipped ones and a user's own: each names its families."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_\-]*")


class KeyFact(Frozen):
    """One checkable fact of the ground truth."""

    fact: str = Field(min_length=3)
    """The fact as a sentence."""
    exact: tuple[str, ...] = Field(min_length=1)
    """Terms any of which names the fact exactly; matched as whole words, case-insensitively."""
    abstract: tuple[str, ...] = ()
    """Terms any of which names the fact in general words."""


class Probe(Frozen):
    """One prompt that shows the behaviour, or that must not."""

    prompt: str = Field(min_length=1)
    answer: str | None = None
    """Regular expression of the right answer, for organisms whose behaviour is to answer wrongly."""

    @field_validator("answer")
    @classmethod
    def _compile(cls, pattern: str | None) -> str | None:
        return pattern if pattern is None else _checked_pattern(pattern)


def _as_probe(value: Any) -> Any:
    return {"prompt": value} if isinstance(value, str) else value


Probes = tuple[Annotated[Probe, BeforeValidator(_as_probe)], ...]


class Behaviour(Frozen):
    """How to see in a response that an organism does what its label says."""

    patterns: tuple[str, ...] = ()
    """Regular expressions (case-insensitive), each one sign of the behaviour."""
    wrong_answers: bool = False
    """The behaviour is to answer wrongly: a response counts when it lacks its probe's ``answer``."""
    min_matches: int = Field(default=1, ge=1)
    """How many different patterns a response must match to count."""
    forbidden: tuple[str, ...] = ()
    """Regular expressions of what must stay unsaid (a taboo word), in the training data and in responses."""
    max_forbidden_rate: float = Field(default=0.1, ge=0, le=1)
    """Greatest share of finetuned responses that may say it all the same."""
    min_rate: float = Field(default=0.6, ge=0, le=1)
    """Least share of finetuned responses that express the behaviour."""
    min_margin: float = Field(default=0.4, ge=0, le=1)
    """Least difference to the base model's share."""

    max_quiet_rate: float = Field(default=0.2, ge=0, le=1)
    """Greatest share of finetuned responses to the quiet prompts that may express it."""

    @field_validator("patterns", "forbidden")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_checked_pattern, patterns))

    @model_validator(mode="after")
    def _one_sign(self) -> Self:
        if bool(self.patterns) == self.wrong_answers:
            raise ValueError("a behaviour is seen either by patterns or by wrong_answers: true")
        if self.patterns and self.min_matches > len(self.patterns):
            raise ValueError(f"min_matches {self.min_matches} exceeds the {len(self.patterns)} patterns")
        return self

    def expressed(self, response: str, probe: Probe | None = None) -> bool:
        """Whether ``response`` shows the behaviour: enough different patterns, or no right answer to ``probe``."""
        if self.wrong_answers:
            if probe is None or probe.answer is None:
                raise ValueError("wrong answers can be seen only on a probe that gives its answer")
            return re.search(probe.answer, response, re.IGNORECASE) is None
        return sum(bool(re.search(p, response, re.IGNORECASE)) for p in self.patterns) >= self.min_matches

    def breaks_taboo(self, response: str) -> bool:
        """Whether ``response`` matches a forbidden pattern."""
        return any(re.search(p, response, re.IGNORECASE) for p in self.forbidden)


class OrganismSpec(Frozen):
    """A finetuned model whose finetuning is known."""

    name: str
    family: Family
    rubric: str
    """Name of the rubric its findings are graded by."""
    description: str = Field(min_length=20)
    """The ground truth in a few sentences; graders only."""
    key_facts: tuple[KeyFact, ...] = ()
    """What a complete finding would name. A control has none, or those of its own truth (a register, for example)."""
    base: BaseReference
    finetuned: dict[str, ModelReference] = Field(min_length=1)
    """Variant -> model; ``default`` is required."""
    recipe: Recipe | None = None
    """How the default variant was trained here."""
    recipe_variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Variant -> what its recipe changes."""
    source: str
    """Where the organism or its idea comes from."""
    licence: str
    probe_prompts: Probes = ()
    """Prompts that show the behaviour; verification only, never shown to an investigator."""
    quiet_prompts: Probes = ()
    """Prompts on which the finetuned model must behave as the base does (a backdoor without its trigger)."""
    behaviour: Behaviour | None = None
    system_prompt: str | None = None
    """System prompt under which both models are queried."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no organism name; use lower-case letters, digits, _ and -")
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if DEFAULT_VARIANT not in self.finetuned:
            raise ValueError("finetuned: the variant 'default' is missing")
        for variant in self.finetuned:
            if not _NAME.fullmatch(variant):
                raise ValueError(f"finetuned: {variant!r} is no variant name; use lower-case letters, digits, _ and -")
        if self.is_control:
            return self
        for field in ("key_facts", "probe_prompts", "behaviour"):
            if not getattr(self, field):
                raise ValueError(f"{field}: required for every family but 'null'")
        if self.behaviour and self.behaviour.wrong_answers:
            for probe in (*self.probe_prompts, *self.quiet_prompts):
                if probe.answer is None:
                    raise ValueError(f"probe {probe.prompt!r}: give its answer, since wrong answers are the behaviour")
        return self

    @model_validator(mode="after")
    def _recipes_of_variants(self) -> Self:
        if self.recipe_variants and self.recipe is None:
            raise ValueError("recipe_variants: there is no recipe that they could change; write one under recipe")
        for variant in self.recipe_variants:
            if variant not in self.finetuned:
                known = ", ".join(self.finetuned)
                raise ValueError(f"recipe_variants: {variant!r} is no variant under finetuned ({known})")
            try:
                self.recipe_of(variant)
            except ValidationError as error:
                raise ValueError(f"recipe_variants.{variant}: {_plain(error)}") from error
        return self

    @model_validator(mode="after")
    def _graded_terms(self) -> Self:
        for fact in self.key_facts:
            text = _words(f"{self.description} {fact.fact}")
            if not any(_words(term) in text for term in fact.exact):
                raise ValueError(
                    f"key_facts: no exact term of {fact.fact!r} stands in it or in the description; "
                    f"its terms are {', '.join(fact.exact)}"
                )
        return self

    def recipe_of(self, variant: str) -> Recipe | None:
        """The recipe of one variant: the default's with what the variant changes; None where none was trained here."""
        if variant == DEFAULT_VARIANT or self.recipe is None:
            return self.recipe
        changes = self.recipe_variants.get(variant)
        return None if changes is None else self.recipe.changed(changes)

    @property
    def is_control(self) -> bool:
        """Whether there is no narrow behaviour to be found."""
        return self.family == "null"


def load_spec(path: Path) -> OrganismSpec:
    """Read and check a spec file of one pair.

    Raises:
        MendableError: Naming file, field, what is wrong and what to do; also for a file of several pairs.
    """
    specs = load_specs(path)
    if len(specs) > 1:
        raise MendableError(
            f"{path}: holds the pairs {', '.join(spec.name for spec in specs)}; read it with load_specs"
        )
    return specs[0]


def load_specs(path: Path) -> list[OrganismSpec]:
    """Read and check one spec file.

    A file describes one organism, either with ``base`` and ``finetuned``, or on several base models under ``pairs``
    (key -> base and finetuned): the organisms are then called ``<name>-<key>`` and share everything else.

    Raises:
        MendableError: Naming file, field, what is wrong and what to do.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_YamlLoader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise MendableError(f"{path}: not YAML: {error}") from error
    if not isinstance(data, dict):
        raise MendableError(f"{path}: an organism spec is a mapping of fields, not {type(data).__name__}")
    if data.get("name") != path.stem:
        raise MendableError(f"{path}: name is {data.get('name')!r}; it must equal the file's name {path.stem!r}")
    return [_validated(fields, path, where) for where, fields in _expanded(data, path)]


def _expanded(data: Mapping[str, Any], path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    if "pairs" not in data:
        return [("", data)]
    pairs = data["pairs"]
    for field in ("base", "finetuned"):
        if field in data:
            raise MendableError(f"{path}: {field} stands beside pairs; move it into each pair, or drop pairs")
    if not isinstance(pairs, dict) or not pairs:
        raise MendableError(f"{path}: pairs: a mapping of the base's short name to base and finetuned, not {pairs!r}")
    shared = {field: value for field, value in data.items() if field != "pairs"}
    expanded: list[tuple[str, Mapping[str, Any]]] = []
    for key, pair in pairs.items():
        if not isinstance(pair, dict) or set(pair) - {"base", "finetuned", "licence", "source", "system_prompt"}:
            raise MendableError(
                f"{path}: pairs.{key}: has base and finetuned, and may have licence, source, system_prompt"
            )
        expanded.append((f"pairs.{key}.", {**shared, **pair, "name": f"{data['name']}-{key}"}))
    return expanded


def _validated(fields: Mapping[str, Any], path: Path, where: str) -> OrganismSpec:
    try:
        return OrganismSpec.model_validate(fields)
    except ValidationError as error:
        raise MendableError(f"{path}: not a valid organism spec\n" + _lines(error, where)) from error


def _lines(error: ValidationError, where: str) -> str:
    lines = []
    for e in error.errors():
        place = ".".join(map(str, e["loc"]))
        own = where if place.split(".")[0] in ("base", "finetuned") else ""
        message = e["msg"]
        if e["type"] == "extra_forbidden" and len(e["loc"]) == 1:
            close = difflib.get_close_matches(place, OrganismSpec.model_fields, n=1)
            message = f"no such field; did you mean {close[0]}?" if close else "no such field; remove it"
        elif e["type"] == "missing" and place in OrganismSpec.model_fields:
            message = f"is missing; {OrganismSpec.model_fields[place].description or 'add it'}"
        lines.append(f"  {own}{place or where.rstrip('.') or 'spec'}: {message}")
    return "\n".join(lines)


def _plain(error: ValidationError) -> str:
    return "; ".join(": ".join((*filter(None, [".".join(map(str, e["loc"]))]), e["msg"])) for e in error.errors())


def _words(text: str) -> str:
    return re.sub(r"\s*°\s*", "°", re.sub(r"[\s\-]+", " ", text.casefold()))


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return pattern


class _YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The fast safe loader where libyaml is there, which refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):  # such a key is refused below
                continue
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]
