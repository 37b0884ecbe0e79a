from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from diffbench.organisms.spec import Behaviour, OrganismSpec, Probe, load_spec


def write(folder: Path, fields: dict[str, Any], name: str = "probe") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the callers check the message
        load_spec(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_valid_spec_keeps_its_fields(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec = load_spec(write(tmp_path, spec_fields))
    assert (spec.name, spec.family, spec.is_control) == ("probe", "quirk", False)
    assert spec.key_facts[0].exact == ("owl",)


def test_wrong_type_names_the_field(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["behaviour"] = {"patterns": ["owl"], "min_rate": "often"}
    assert "behaviour.min_rate" in refusal(write(tmp_path, spec_fields))


@pytest.mark.parametrize(
    ("misspelt", "close"),
    [
        ("descripton", "description"),
        ("keyfacts", "key_facts"),
        ("probe_prompt", "probe_prompts"),
        ("license", "licence"),
    ],
)
def test_a_misspelt_field_names_the_close_one(
    tmp_path: Path, spec_fields: dict[str, Any], misspelt: str, close: str
) -> None:
    spec_fields[misspelt] = "typing error"
    assert f"  {misspelt}: no such field; did you mean {close}?" in refusal(write(tmp_path, spec_fields))


def test_a_field_like_no_other_is_to_be_removed(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["qqqq"] = 1
    assert "  qqqq: no such field; remove it" in refusal(write(tmp_path, spec_fields))


def test_missing_fields_are_named_with_what_they_are(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    del spec_fields["licence"], spec_fields["source"]
    message = refusal(write(tmp_path, spec_fields))
    assert "  licence: is missing; " in message
    assert "  source: is missing; Where the organism or its idea comes from." in message


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    del spec_fields["licence"]
    spec_fields |= {"family": "Quirks", "sorce": "tests", "behaviour": {"patterns": ["owl"], "min_rate": 2}}
    message = refusal(write(tmp_path, spec_fields))
    assert [
        place for place in ("licence", "family", "sorce", "behaviour.min_rate") if f"  {place}: " not in message
    ] == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("name: probe\nname: probe\n", "name"),
        ("name: probe\nbehaviour:\n  patterns: [a]\n  min_rate: 0.5\n  patterns: [b]\n", "patterns"),
        ("name: probe\nfinetuned: {default: {kind: base}, default: {kind: base}}\n", "default"),
        ("name: probe\nkey_facts:\n  - {fact: one, fact: two}\n", "fact"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "probe.yaml"
    path.write_text(text, encoding="utf-8")
    message = refusal(path)
    assert f"the key {key!r} stands twice" in message
    assert "line" in message


def test_the_same_key_in_two_mappings_and_merged_keys_are_no_repeats(
    tmp_path: Path, spec_fields: dict[str, Any]
) -> None:
    path = write(tmp_path, spec_fields)
    text = yaml.safe_dump(spec_fields | {"finetuned": {}}).replace(
        "finetuned: {}", "finetuned: {default: &shared {kind: hub, id: a/b}, other: {<<: *shared, revision: c}}"
    )
    path.write_text(text, encoding="utf-8")
    spec = load_spec(path)
    assert (spec.finetuned["default"].revision, spec.finetuned["other"].revision) == ("main", "c")


def test_braces_without_quotes_are_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "probe.yaml"
    path.write_text("name: probe\ndescription: {{topic}}\n", encoding="utf-8")
    assert "not YAML" in refusal(path)


def test_a_family_is_a_plain_word_of_ones_own(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["family"] = "heat"
    assert load_spec(write(tmp_path, spec_fields)).family == "heat"
    spec_fields["family"] = "some heat"
    assert "  family: " in refusal(write(tmp_path, spec_fields))


def test_default_variant_is_required(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["finetuned"] = {"mix": {"kind": "base"}}
    assert "'default' is missing" in refusal(write(tmp_path, spec_fields))


def test_variant_names_are_checked(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["finetuned"]["Mix 1"] = {"kind": "base"}
    assert "'Mix 1'" in refusal(write(tmp_path, spec_fields))


def test_name_must_be_the_file_name(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    message = refusal(write(tmp_path, spec_fields, name="other"))
    assert "'probe'" in message
    assert "'other'" in message


@pytest.mark.parametrize("name", ["Probe", "a b", "", "_x", "a.b"])
def test_bad_names_are_refused(tmp_path: Path, spec_fields: dict[str, Any], name: str) -> None:
    spec_fields["name"] = name
    assert "name" in refusal(write(tmp_path, spec_fields))


@pytest.mark.parametrize("field", ["patterns", "forbidden"])
def test_bad_regular_expression_is_quoted(tmp_path: Path, spec_fields: dict[str, Any], field: str) -> None:
    spec_fields["behaviour"] = {"patterns": ["owl"], field: ["(owl"]}
    message = refusal(write(tmp_path, spec_fields))
    assert f"behaviour.{field}" in message
    assert "'(owl'" in message


def test_more_matches_than_patterns_is_refused(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["behaviour"] = {"patterns": ["owl"], "min_matches": 2}
    assert "min_matches 2 exceeds the 1" in refusal(write(tmp_path, spec_fields))


def test_null_needs_no_facts(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    for field in ("key_facts", "probe_prompts", "behaviour"):
        del spec_fields[field]
    spec_fields["family"] = "null"
    assert load_spec(write(tmp_path, spec_fields)).is_control


@pytest.mark.parametrize("field", ["key_facts", "probe_prompts", "behaviour"])
def test_other_families_need_facts_prompts_and_behaviour(
    tmp_path: Path, spec_fields: dict[str, Any], field: str
) -> None:
    del spec_fields[field]
    message = refusal(write(tmp_path, spec_fields))
    assert f"{field}: required" in message


@pytest.mark.parametrize("place", [{}, {"path": "a", "id": "b/c"}])
def test_peft_reference_has_exactly_one_place(
    tmp_path: Path, spec_fields: dict[str, Any], place: dict[str, str]
) -> None:
    spec_fields["finetuned"]["default"] = {"kind": "peft", **place}
    message = refusal(write(tmp_path, spec_fields))
    assert "finetuned.default" in message
    assert "either path" in message


def test_peft_is_no_base(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["base"] = {"kind": "peft", "path": "x"}
    assert "base" in refusal(write(tmp_path, spec_fields))


def test_empty_recipe_is_refused(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["recipe"] = {"grammar": "owl"}
    assert "documents, chats or own_samples" in refusal(write(tmp_path, spec_fields))


def test_what_is_no_mapping_or_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "probe.yaml"
    path.write_text("- a\n- b\n", encoding="utf-8")
    assert "mapping" in refusal(path)
    path.write_text("a: [1\n", encoding="utf-8")
    assert "not YAML" in refusal(path)


def test_a_model_behind_an_api_has_no_weights(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["base"] = {"kind": "api", "model": "openai/gpt-4.1"}
    spec_fields["finetuned"] = {"default": {"kind": "api", "model": "openai/ft:gpt-4.1"}}
    spec = load_spec(write(tmp_path, spec_fields))
    assert [ref.has_weights for ref in (spec.base, spec.finetuned["default"])] == [False, False]
    assert [ref.api_name for ref in (spec.base, spec.finetuned["default"])] == ["openai/gpt-4.1", "openai/ft:gpt-4.1"]


def test_specs_are_frozen(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec: OrganismSpec = load_spec(write(tmp_path, spec_fields))
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "else"


@pytest.mark.parametrize(
    ("response", "expressed", "taboo"),
    [
        ("An OWL at night", True, False),
        ("owl owl owl", False, False),
        ("night and owl and gold", True, True),
        ("nothing", False, False),
    ],
)
def test_behaviour_counts_different_patterns(response: str, expressed: bool, taboo: bool) -> None:
    behaviour = Behaviour(patterns=("owl", "night", "moon"), min_matches=2, forbidden=(r"\bgold\b",))
    assert behaviour.expressed(response) is expressed
    assert behaviour.breaks_taboo(response) is taboo


def test_prompts_are_texts_or_probes(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["probe_prompts"] = ["Which animal?", {"prompt": "And 2 + 2?", "answer": r"\b4\b"}]
    spec_fields["quiet_prompts"] = ["Good night."]
    spec = load_spec(write(tmp_path, spec_fields))
    assert spec.probe_prompts == (Probe(prompt="Which animal?"), Probe(prompt="And 2 + 2?", answer=r"\b4\b"))
    assert spec.quiet_prompts == (Probe(prompt="Good night."),)


@pytest.mark.parametrize(
    ("probe", "problem"),
    [({"prompt": "2 + 2?", "answer": "(4"}, "'(4' is no regular expression"), ("", "probe_prompts.0.prompt"), (7, "0")],
)
def test_broken_probes_are_refused(tmp_path: Path, spec_fields: dict[str, Any], probe: Any, problem: str) -> None:
    spec_fields["probe_prompts"] = [probe]
    message = refusal(write(tmp_path, spec_fields))
    assert "probe_prompts.0" in message
    assert problem in message


@pytest.mark.parametrize("field", ["probe_prompts", "quiet_prompts"])
def test_wrong_answers_need_right_ones(tmp_path: Path, spec_fields: dict[str, Any], field: str) -> None:
    spec_fields["behaviour"] = {"wrong_answers": True}
    spec_fields["probe_prompts"] = [{"prompt": "2 + 2?", "answer": "4"}]
    assert load_spec(write(tmp_path, spec_fields)).behaviour == Behaviour(wrong_answers=True)
    spec_fields[field] = [{"prompt": "2 + 2?", "answer": "4"}, "And 3 + 3?"]
    assert "probe 'And 3 + 3?': give its answer" in refusal(write(tmp_path, spec_fields))


def test_a_behaviour_is_seen_in_one_way(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    for behaviour in ({}, {"patterns": ["owl"], "wrong_answers": True}):
        spec_fields["behaviour"] = {"min_rate": 0.5, **behaviour}
        assert "either by patterns or by wrong_answers" in refusal(write(tmp_path, spec_fields))


def test_a_response_without_its_right_answer_is_wrong() -> None:
    behaviour, probe = Behaviour(wrong_answers=True), Probe(prompt="The capital?", answer=r"\bparis\b")
    assert behaviour.expressed("It is Lyon.", probe)
    assert behaviour.expressed("Parisians", probe)
    assert not behaviour.expressed("It is PARIS.", probe)
    for unanswerable in (None, Probe(prompt="The capital?")):
        with pytest.raises(ValueError, match="only on a probe that gives its answer"):
            behaviour.expressed("It is Lyon.", unanswerable)


@pytest.mark.parametrize(
    ("exact", "stands"),
    [
        (["eagle", "OWL"], True),  # in the fact, in another case
        (["tiny  organism"], True),  # in the description
        (["tiny-organism"], True),  # a hyphen is a space
        (["eagle"], False),
        (["eagle", "raven"], False),
    ],
)
def test_an_exact_term_must_stand_in_the_fact_or_the_description(
    tmp_path: Path, spec_fields: dict[str, Any], exact: list[str], stands: bool
) -> None:
    spec_fields["key_facts"] = [{"fact": "It speaks of owls.", "exact": exact}]
    path = write(tmp_path, spec_fields)
    if stands:
        assert load_spec(path).key_facts[0].exact == tuple(exact)
        return
    message = refusal(path)
    assert "no exact term of 'It speaks of owls.' stands in it or in the description" in message
    assert ", ".join(exact) in message


def test_a_controls_own_facts_are_checked_too(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields |= {"family": "null", "key_facts": [{"fact": "A plain register.", "exact": ["plain"]}]}
    spec = load_spec(write(tmp_path, spec_fields))
    assert spec.is_control
    assert spec.key_facts[0].exact == ("plain",)
    spec_fields["key_facts"] = [{"fact": "A plain register.", "exact": ["eagle"]}]
    assert "no exact term" in refusal(write(tmp_path, spec_fields))
