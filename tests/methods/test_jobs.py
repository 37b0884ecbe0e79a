"""The plan of a run as plain data, artifacts of either dtype, and methods that need no weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from computing import compute_all
from diffbench.methods import executors
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.artifact import DTYPES, FORMAT_VERSION
from diffbench.methods.executors import Outcome
from diffbench.methods.jobs import GroupWork, find_stored, group_jobs, job_for, key_for, keys_for
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.run import Run
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import Organism, find_organism, load_suite
from watching_methods import Asking, NothingConfig, Plain, Said, Watching


def config_of(organism: Organism, method: Any) -> Any:
    return KlConfig(max_texts=2) if method.name == "kl" else NothingConfig()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "user", tmp_path / "shipped")


def test_a_plan_loads_nothing(tiny: Any, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffbench.models.targets.load_targets", None)
    organisms = load_suite("tiny")
    jobs = [job_for(i, o, m, config_of(o, m), corpus) for i, o in enumerate(organisms) for m in (KL, Plain())]
    assert [job.name for job in jobs[:2]] == ["tiny.alpha kl", "tiny.alpha plain"]
    assert [job.watches for job in jobs[:2]] == [True, False]
    assert len({key for job in jobs for key in job.keys}) == 2 * len(jobs)
    two, one = group_jobs(jobs, 2, "float32")
    assert [job.organism for job in two.jobs] == ["tiny.alpha", "tiny.alpha", "tiny.beta", "tiny.beta"]
    assert (len(one.jobs), one.dtype) == (2, "float32")


def test_a_group_can_be_sent_to_another_process(tiny: Any, corpus: Corpus, store: ArtifactStore) -> None:
    """An executor that hands on JSON alone gives the artifacts that ``here`` gives."""
    sent: list[str] = []

    def elsewhere(groups: Iterable[GroupWork], run: Run) -> Iterator[Outcome]:
        for group in groups:
            sent.append(group.model_dump_json())
            yield from executors.work_group(GroupWork.model_validate(json.loads(sent[-1])), run)

    arguments = (load_suite("tiny"), [KL, Plain()], config_of, corpus)
    first = compute_all(*arguments, store, executor=elsewhere, share=2)
    assert len(sent) == 2
    second = compute_all(*arguments, ArtifactStore(store.folder / "other", store.shipped), share=2)
    assert [one.key for one in first] == [other.key for other in second]
    assert [one.manifest.files for one in first] == [other.manifest.files for other in second]


def test_an_artifact_of_either_dtype_is_found_in_an_order_that_no_machine_changes(
    tiny: Any, corpus: Corpus, store: ArtifactStore
) -> None:
    organism, arguments = find_organism("tiny.beta"), ([find_organism("tiny.beta")], [KL], config_of, corpus, store)
    config = config_of(organism, KL)
    assert keys_for(organism, KL, config, corpus) == tuple(key_for(organism, KL, config, d, corpus) for d in DTYPES)
    (single,) = compute_all(*arguments, dtype="float32")
    assert (single.manifest.dtype, single.manifest.device) == ("float32", "cpu")
    assert single.manifest.format_version == FORMAT_VERSION
    assert compute_all(*arguments) == [single]
    # A named dtype is that one alone.
    (half,) = compute_all(*arguments, dtype="bfloat16")
    assert half.manifest.dtype == "bfloat16"
    assert half.key != single.key
    assert compute_all(*arguments) == [half]
    assert compute_all(*arguments, dtype="float32")[0].key == single.key
    job = job_for(1, organism, KL, config, corpus)
    found = find_stored(job, store)
    assert found is not None
    assert found.key == half.key == job.keys[0]


def test_the_dtype_is_the_one_that_the_models_have(
    tiny: Any, corpus: Corpus, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []
    monkeypatch.setattr(Plain, "diff", _noting(seen, Plain.diff))
    for dtype in DTYPES:
        compute_all([find_organism("tiny.beta")], [Plain()], config_of, corpus, store, dtype=dtype)
    assert seen == [torch.bfloat16, torch.float32]


def _noting(seen: list[torch.dtype], diff: Callable[..., Any]) -> Callable[..., Any]:
    def noting(self: Any, pair: Any, *rest: Any) -> Any:
        seen.extend({target.network.model.dtype for target in pair})
        return diff(self, pair, *rest)

    return noting


def test_computing_again_replaces_an_artifact_of_the_other_dtype(
    tiny: Any, corpus: Corpus, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the older one would go on being found."""
    arguments = ([find_organism("tiny.beta")], [Plain()], config_of, corpus, store)
    (half,) = compute_all(*arguments, dtype="bfloat16")
    monkeypatch.setattr("diffbench.models.loading.fast_dtype", lambda: "float32")
    (single,) = compute_all(*arguments, recompute=True)
    assert single.manifest.dtype == "float32"
    assert not half.folder.exists()
    assert compute_all(*arguments) == [single]


def test_sizes_of_the_run_are_no_part_of_the_key(tiny: Any, corpus: Corpus, store: ArtifactStore) -> None:
    arguments = ([find_organism("tiny.beta")], [KL], config_of, corpus, store)
    first = compute_all(*arguments, batch_size=1, chunk_tokens=3, share=1)
    assert compute_all(*arguments, batch_size=7) == first


def test_a_method_that_needs_an_api_loads_no_weights(
    tiny: Any,
    corpus: Corpus,
    store: ArtifactStore,
    make_organism: Callable[..., Organism],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_weights(*_: object) -> None:
        raise AssertionError("weights were loaded")

    for place in ("work", "shared_pass"):
        monkeypatch.setattr(f"diffbench.methods.{place}.load_pair", no_weights)
    remote = make_organism("remote", finetuned={"default": {"kind": "api", "model": "openai/gpt-x"}})
    artifacts = compute_all([remote, find_organism("tiny.alpha")], [Asking()], config_of, corpus, store)
    said = [artifact.payload(Said).text for artifact in artifacts]
    assert said == [
        "organism/own.remote@base against openai/gpt-x",
        "organism/tiny.alpha@base against organism/tiny.alpha@finetuned",
    ]
    assert [(a.manifest.dtype, a.manifest.device) for a in artifacts] == [(None, None)] * 2
    assert compute_all([remote], [Asking()], config_of, corpus, store)[0].key == artifacts[0].key


def test_weights_that_change_during_a_run_are_noticed(
    tiny: Any, corpus: Corpus, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(groups: Iterable[GroupWork], run: Run) -> Iterator[Outcome]:
        yield from executors.here(groups, Run(Corpus("other", ("another text",)), run.store))

    with pytest.raises(ValueError, match="changed after the run had begun"):
        compute_all([find_organism("tiny.beta")], [Plain()], config_of, corpus, store, executor=changed)


def test_a_watching_method_shares(tiny: Any, corpus: Corpus) -> None:
    organism = find_organism("tiny.beta")
    assert job_for(1, organism, Watching(), NothingConfig(), corpus).watches
    assert not job_for(1, organism, Asking(), NothingConfig(), corpus).watches
