from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from diffbench.methods import artifact as artifact_module
from diffbench.methods.artifact import artifact_key

INGREDIENTS: dict[str, Any] = {
    "base": {"kind": "local", "sha256": "a"},
    "finetuned": {"kind": "peft", "sha256": "b"},
    "method": "kl",
    "config": {"max_tokens": 8, "batch_size": 2},
    "corpus_sha256": "c",
    "dtype": "bfloat16",
}
CHANGES: dict[str, Any] = {
    "base": {"kind": "local", "sha256": "x"},
    "finetuned": {"kind": "peft", "sha256": "x"},
    "method": "adl",
    "config": {"max_tokens": 9, "batch_size": 2},
    "corpus_sha256": "x",
    "dtype": "float32",
}


def test_key_is_stable_and_does_not_depend_on_order() -> None:
    reordered = {**INGREDIENTS, "config": {"batch_size": 2, "max_tokens": 8}, "base": {"sha256": "a", "kind": "local"}}
    assert artifact_key(**INGREDIENTS) == artifact_key(**INGREDIENTS) == artifact_key(**reordered)


def test_key_fits_a_folder_name() -> None:
    key = artifact_key(**INGREDIENTS)
    assert len(key) == 24
    assert set(key) <= set("0123456789abcdef")


@pytest.mark.parametrize("part", list(CHANGES))
def test_key_changes_with_each_ingredient(part: str) -> None:
    assert artifact_key(**{**INGREDIENTS, part: CHANGES[part]}) != artifact_key(**INGREDIENTS)


def test_key_changes_with_the_format_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = artifact_key(**INGREDIENTS)
    monkeypatch.setattr(artifact_module, "FORMAT_VERSION", 10**6)
    assert artifact_key(**INGREDIENTS) != before


def test_swapped_models_have_another_key() -> None:
    swapped = {**INGREDIENTS, "base": INGREDIENTS["finetuned"], "finetuned": INGREDIENTS["base"]}
    assert artifact_key(**swapped) != artifact_key(**INGREDIENTS)


def test_key_of_a_pair_follows_organism_method_config_and_corpus(tiny: Any) -> None:
    from diffbench.methods.activations.corpus import Chat, Corpus
    from diffbench.methods.adl.config import AdlConfig
    from diffbench.methods.adl.method import METHOD as ADL
    from diffbench.methods.jobs import key_for
    from diffbench.methods.kl.config import KlConfig
    from diffbench.methods.kl.method import METHOD as KL
    from diffbench.organisms.suites import find_organism

    alpha, corpus = find_organism("tiny.alpha"), Corpus(name="one", texts=("a",))
    renamed = Corpus(name="two", texts=("a",))
    first = key_for(alpha, KL, KlConfig(), "float32", corpus)
    assert key_for(alpha, KL, KlConfig(), "float32", renamed) == first
    others = [
        key_for(find_organism("tiny.alpha+half"), KL, KlConfig(), "float32", corpus),
        key_for(find_organism("tiny.same"), KL, KlConfig(), "float32", corpus),
        key_for(alpha, KL, KlConfig(max_tokens=5), "float32", corpus),
        key_for(alpha, KL, KlConfig(), "bfloat16", corpus),
        key_for(alpha, KL, KlConfig(), None, corpus),
        key_for(alpha, ADL, AdlConfig(), "float32", corpus),
        key_for(alpha, KL, KlConfig(), "float32", Corpus(name="one", texts=("a", "b"))),
        key_for(alpha, KL, KlConfig(), "float32", Corpus(name="one", chats=(Chat(prompt="a", response="b"),))),
    ]
    assert len({first, *others}) == len(others) + 1


def test_manifest_has_no_field_for_names_of_organisms() -> None:
    fields = set(artifact_module.Manifest.model_fields)
    assert not fields & {"organism", "suite", "family", "description"}


def test_open_names_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    folder.mkdir()
    for content in (None, "{", json.dumps({"key": "abc"}), b"\xff\xfe"):
        if isinstance(content, bytes):
            (folder / "manifest.json").write_bytes(content)
        elif content is not None:
            (folder / "manifest.json").write_text(content)
        with pytest.raises(artifact_module.CorruptArtifactError, match=r"abc .*manifest\.json cannot be read"):
            artifact_module.Artifact.open(folder)
