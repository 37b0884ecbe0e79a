from __future__ import annotations

from typing import Any

import pytest
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.adl.config import AdlConfig
from diffbench.methods.adl.method import METHOD as ADL
from diffbench.methods.artifact import DTYPES
from diffbench.methods.contract import Method
from diffbench.methods.executors import compute_all
from diffbench.methods.jobs import keys_for
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.registry import config_for, find_method, list_methods
from diffbench.methods.run import Run
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import find_organism


def test_every_installed_method_is_one() -> None:
    names = list_methods()
    assert {"kl", "adl"} <= set(names)
    for name in names:
        method = find_method(name)
        assert isinstance(method, Method)
        assert method.name == name


def test_unknown_method_suggests_near_ones() -> None:
    with pytest.raises(ValueError, match="unknown method 'adll'; did you mean adl"):
        find_method("adll")


def test_settings_are_defaults_then_scale_then_overrides() -> None:
    assert config_for(KL, "no_such_suite") == KlConfig()
    scaled = config_for(KL, "smol")
    assert isinstance(scaled, KlConfig)
    assert scaled.max_tokens < KlConfig().max_tokens
    assert scaled.max_texts == KlConfig().max_texts
    overridden = config_for(KL, "smol", {"max_tokens": 33})
    assert overridden == scaled.model_copy(update={"max_tokens": 33})
    assert isinstance(config_for(ADL, "smol"), AdlConfig)


@pytest.mark.parametrize("wrong", [{"max_token": 3}, {"max_tokens": "many"}, {"max_tokens": 0}])
def test_wrong_settings_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="settings of kl on smol") as caught:
        config_for(KL, "smol", wrong)
    assert next(iter(wrong)) in str(caught.value)
    assert "known settings: max_texts, max_tokens" in str(caught.value)


def test_what_is_computed_lies_under_a_key_that_was_announced(tiny: Any, corpus: Corpus) -> None:
    organism, store, config = find_organism("tiny.beta"), ArtifactStore(), KlConfig(max_texts=100)
    keys = keys_for(organism, KL, config, corpus)
    run = Run(corpus, store, batch_size=4)
    (artifact,) = compute_all([organism], [KL], lambda organism, method: config, run)
    assert artifact.key in keys
    found = store.find(*keys)
    assert found is not None
    assert KL.payload(found).summary.texts == 8
    manifest = found.manifest
    assert (manifest.method, manifest.config) == ("kl", config.model_dump(mode="json"))
    assert keys.index(artifact.key) == DTYPES.index(manifest.dtype)
    assert manifest.corpus_sha256 == corpus.sha256
    assert manifest.peak_memory_mib > 1
    assert "beta" not in manifest.model_dump_json()
