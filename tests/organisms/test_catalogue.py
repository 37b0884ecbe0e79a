"""The shipped suites: every reference can be read, every organism says what it is, and none is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from diffbench.models.references import (
    AdaptedModel,
    ApiModel,
    GgufModel,
    HubModel,
    LocalModel,
    ModelReference,
    PeftAdapter,
    WeightDifference,
)
from diffbench.organisms.suites import Organism, default_organisms, list_suites, load_suite, suite_title

SUITES = {name: load_suite(name) for name in list_suites()}
LEAST = {"narrow": (52, 202), "auditbench": (29, 152), "aisi_sandbagging": (8, 8), "checkpoints": (7, 7)}
"""Suite -> pairs of models and variants that there are at least."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")


def variants_of(suite: str) -> list[Organism]:
    return [variant for organism in SUITES[suite] for variant in organism.variants]


def references(organism: Organism) -> Iterator[ModelReference]:
    """Both sides' references, those inside adapted models included."""
    for reference in (organism.spec.base, organism.finetuned):
        yield reference
        if isinstance(reference, AdaptedModel):
            yield reference.model
            yield reference.adapter


@pytest.mark.parametrize("suite", sorted(LEAST))
def test_no_published_organism_is_lost(suite: str) -> None:
    found = SUITES[suite]
    pairs, variants = LEAST[suite]
    assert len(found) >= pairs
    assert sum(len(organism.spec.finetuned) for organism in found) >= variants


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_has_a_title_and_a_default(suite: str) -> None:
    assert suite_title(suite)
    assert default_organisms(suite)


@pytest.mark.parametrize("suite", SUITES)
def test_references_can_be_read(suite: str) -> None:
    for organism in variants_of(suite):
        for reference in references(organism):
            hub = isinstance(reference, HubModel) or (isinstance(reference, PeftAdapter) and reference.id is not None)
            if hub:
                assert HUB_ID.fullmatch(str(reference.id)), organism.id
                assert reference.revision.strip(), organism.id
            # The shipped suites need no key and no local folder, and a published organism comes from the hub.
            assert not isinstance(reference, ApiModel | LocalModel), organism.id
            assert hub or suite == "smol", organism.id


@pytest.mark.parametrize("suite", SUITES)
def test_what_changes_a_model_stands_on_a_full_one(suite: str) -> None:
    for organism in variants_of(suite):
        if isinstance(organism.finetuned, PeftAdapter | WeightDifference):
            assert isinstance(organism.spec.base, HubModel | GgufModel), organism.id
        assert organism.finetuned != organism.spec.base, organism.id


@pytest.mark.parametrize("suite", SUITES)
def test_every_organism_says_what_it_is(suite: str) -> None:
    for spec in (organism.spec for organism in SUITES[suite]):
        assert spec.source.strip(), spec.name
        assert spec.licence.strip(), spec.name
        if spec.is_control:
            assert spec.behaviour is None, f"{spec.name}: a control shows no behaviour of its own"
            continue
        assert spec.key_facts, spec.name
        assert spec.probe_prompts, spec.name
        assert spec.behaviour is not None, spec.name
        prompts = [probe.prompt for probe in (*spec.probe_prompts, *spec.quiet_prompts)]
        assert len(set(prompts)) == len(prompts), f"{spec.name}: a prompt stands twice"
        facts = [fact.fact for fact in spec.key_facts]
        assert len(set(facts)) == len(facts), f"{spec.name}: a fact stands twice"


@pytest.mark.parametrize("suite", SUITES)
def test_no_two_variants_of_a_suite_are_the_same_pair(suite: str) -> None:
    seen: dict[str, str] = {}
    for variant in variants_of(suite):
        if not variant.spec.is_control:
            pair = f"{variant.spec.base!r} {variant.finetuned!r}"
            assert pair not in seen, f"{variant.id} and {seen[pair]}"
            seen[pair] = variant.id


def test_a_dilution_that_was_trained_here_mixes_in_unrelated_items() -> None:
    diluted = [v for suite in SUITES for v in variants_of(suite) if v.is_diluted and v.spec.recipe is not None]
    assert diluted
    for organism in diluted:
        assert organism.recipe is not None, f"{organism.id}: write what its recipe changes under recipe_variants"
        assert organism.recipe.unrelated >= 1, organism.id


def test_what_was_trained_here_lies_in_a_place_of_its_own() -> None:
    trained = [v for suite in SUITES for v in variants_of(suite) if v.recipe is not None]
    places = [(organism.folder / organism.finetuned.path).resolve() for organism in trained]
    assert len(set(places)) == len(places)
    for organism in trained:
        kind = PeftAdapter if organism.recipe.mode == "lora" else WeightDifference
        assert isinstance(organism.finetuned, kind), organism.id
