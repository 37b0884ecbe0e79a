from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from diffbench.organisms.spec import Behaviour, OrganismSpec, load_spec


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
    assert (spec.name, spec.family, spec.is_control, spec.needs_weights) == ("probe", "quirk", False, True)
    assert spec.key_facts[0].exact == ("owl",)


def test_wrong_type_names_the_field(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["behaviour"] = {"patterns": ["owl"], "min_rate": "often"}
    assert "behaviour.min_rate" in refusal(write(tmp_path, spec_fields))


def test_unknown_field_is_named(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["descripton"] = "typing error"
    message = refusal(write(tmp_path, spec_fields))
    assert "descripton" in message
    assert "not permitted" in message


def test_missing_field_is_named(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    del spec_fields["licence"]
    message = refusal(write(tmp_path, spec_fields))
    assert "licence" in message
    assert "required" in message.lower()


def test_unknown_family_lists_those_there_are(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["family"] = "quirks"
    message = refusal(write(tmp_path, spec_fields))
    assert "family" in message
    assert "'quirk'" in message


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
    assert "documents or chats" in refusal(write(tmp_path, spec_fields))


def test_what_is_no_mapping_or_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "probe.yaml"
    path.write_text("- a\n- b\n", encoding="utf-8")
    assert "mapping" in refusal(path)
    path.write_text("a: [1\n", encoding="utf-8")
    assert "not YAML" in refusal(path)


def test_api_variant_needs_no_weights(tmp_path: Path, spec_fields: dict[str, Any]) -> None:
    spec_fields["base"] = {"kind": "api", "model": "openai/gpt-4.1"}
    spec_fields["finetuned"] = {"default": {"kind": "api", "model": "openai/ft:gpt-4.1"}}
    assert not load_spec(write(tmp_path, spec_fields)).needs_weights


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
