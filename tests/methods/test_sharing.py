"""Artifacts made in shared passes: the same as single runs, resumable, and independent of each other's failures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from computing import compute_all
from diffbench.methods.activations import passes
from diffbench.methods.activations.corpus import Corpus
from diffbench.methods.adl.config import AdlConfig, Position
from diffbench.methods.adl.method import METHOD as ADL
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.contract import Method, MethodConfig, PassMethod
from diffbench.methods.failures import FAILURES, FailedArtifactsError
from diffbench.methods.jobs import key_for
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import Organism, find_organism
from raw_payload import payload_json
from watching_methods import Diary, NothingConfig, Plain, Said, Watching

NAMES = ("tiny.alpha", "tiny.alpha+half", "tiny.beta", "tiny.same")
CONFIGS: dict[str, MethodConfig] = {
    "kl": KlConfig(),
    "adl": AdlConfig(
        lens_top=9,
        steered_positions=(Position(kind="text", index=1),),
        search_steps=1,
        search_samples=2,
        sample_tokens=4,
        prompts=2,
        samples=1,
    ),
}


@pytest.fixture
def organisms(tiny: Any) -> list[Organism]:
    return [find_organism(name) for name in NAMES]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "user", tmp_path / "shipped")


@pytest.fixture
def passes_made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Pairs and collectors of each pass that was made."""
    made: list[tuple[int, int]] = []
    run = passes.run_pass

    def counted(works: Sequence[Any], *arguments: Any, **options: Any) -> None:
        made.append((len(works), sum(len(work.collectors) for work in works)))
        run(works, *arguments, **options)

    monkeypatch.setattr(passes, "run_pass", counted)
    return made


def config_of(organism: Organism, method: Method) -> MethodConfig:
    return CONFIGS.get(method.name, NothingConfig())


def in_store(store: ArtifactStore) -> list[str]:
    """Methods of all artifacts; nothing else may lie there."""
    found = list(store)
    assert all(isinstance(item, Artifact) for item in found)
    there = [path for path in store.folder.iterdir() if path.name != FAILURES] if store.folder.is_dir() else []
    assert len(there) == len(found)
    for item in found:
        if isinstance(item, Artifact):
            item.verify()
    return sorted(item.manifest.method for item in found if isinstance(item, Artifact))


def close(one: Any, other: Any) -> None:
    """Equal up to float rounding and to what follows from it in rounded figures."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            close(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            close(left, right)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-3, abs=3e-4)
    else:
        assert one == other


def plain(content: Content) -> Any:
    """The payload as it is read back from its file."""
    return json.loads(content.payload.model_dump_json(exclude_unset=True))


def test_the_installed_methods_share_passes() -> None:
    assert isinstance(KL, PassMethod)
    assert isinstance(ADL, PassMethod)
    assert not isinstance(Plain(), PassMethod)


def test_shared_artifacts_are_those_of_single_runs(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore, passes_made: list[Any]
) -> None:
    methods: list[Method] = [KL, ADL, Plain()]
    artifacts = compute_all(organisms, methods, config_of, corpus, store, dtype="float32")
    assert passes_made == [(4, 8)]
    pairs = [(organism, method) for organism in organisms for method in methods]
    assert len(artifacts) == len(pairs) == 12
    for artifact, (organism, method) in zip(artifacts, pairs, strict=True):
        config = config_of(organism, method)
        assert artifact.key == key_for(organism, method, config, "float32", corpus)
        manifest = artifact.manifest
        assert (manifest.method, manifest.dtype, manifest.device) == (method.name, "float32", "cpu")
        assert (manifest.config, manifest.corpus_sha256) == (config.model_dump(mode="json"), corpus.sha256)
        expected = method.diff(load_pair(organism, "float32"), corpus, config)
        one, other = payload_json(artifact), plain(expected)
        # Samples are drawn: a rounding error may change a token.
        one.pop("steering", None), other.pop("steering", None)
        close(one, other)
        for name, tensor in expected.tensors.items():
            torch.testing.assert_close(artifact.tensors()[name], tensor, rtol=1e-4, atol=1e-4)


def test_alone_in_a_pass_nothing_differs_at_all(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore
) -> None:
    for method in (KL, ADL):
        (artifact,) = compute_all(organisms[:1], [method], config_of, corpus, store)
        expected = method.diff(load_pair(organisms[0]), corpus, config_of(organisms[0], method))
        assert payload_json(artifact) == plain(expected)
        assert artifact.tensors().keys() == expected.tensors.keys()
        for name, tensor in expected.tensors.items():
            assert torch.equal(artifact.tensors()[name], tensor)
        assert artifact.manifest.notes == expected.notes


def test_manifests_say_what_a_shared_pass_cost(organisms: list[Organism], corpus: Corpus, store: ArtifactStore) -> None:
    for artifact in compute_all(organisms[:3], [Watching(), KL], config_of, corpus, store):
        note = artifact.manifest.notes[-1]
        assert note.startswith("seconds include a pass of ")
        assert note.endswith(" s shared by 6 artifacts")
        assert artifact.manifest.seconds >= float(note.split()[5])
        assert artifact.manifest.peak_memory_mib > 1
        assert "beta" not in artifact.manifest.model_dump_json()


def test_events_and_resumption(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore, passes_made: list[Any]
) -> None:
    two: list[Method] = [Watching(), Plain()]
    first = Diary()
    artifacts = compute_all(organisms[:2], two, config_of, corpus, store, report=first)
    assert first.lines == [
        "1 begins tiny.alpha watching",
        "3 begins tiny.alpha+half watching",
        "1 saved tiny.alpha watching",
        "3 saved tiny.alpha+half watching",
        "2 begins tiny.alpha plain",
        "2 saved tiny.alpha plain",
        "4 begins tiny.alpha+half plain",
        "4 saved tiny.alpha+half plain",
    ]
    shutil.rmtree(artifacts[2].folder)
    second = Diary()
    again = compute_all(organisms[:2], two, config_of, corpus, store, report=second)
    assert [a.key for a in again] == [a.key for a in artifacts]
    assert second.lines == [
        "1 found tiny.alpha watching",
        "2 found tiny.alpha plain",
        "4 found tiny.alpha+half plain",
        "3 begins tiny.alpha+half watching",
        "3 saved tiny.alpha+half watching",
    ]
    third = Diary()
    compute_all(organisms[:2], two, config_of, corpus, store, report=third)
    assert {line.split()[1] for line in third.lines} == {"found"}
    assert passes_made == [(2, 2), (1, 1)]
    fourth = Diary()
    compute_all(organisms[:2], two, config_of, corpus, store, recompute=True, report=fourth)
    assert fourth.lines == first.lines


def test_a_broken_artifact_is_refused_unless_computed_again(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore
) -> None:
    (artifact,) = compute_all(organisms[:1], [Plain()], config_of, corpus, store)
    (artifact.folder / "manifest.json").write_text("{")
    with pytest.raises(
        FailedArtifactsError, match=r"1 of 2 .* the others are stored:\n- tiny\.alpha plain: .*--recompute"
    ):
        compute_all(organisms[:2], [Plain()], config_of, corpus, store)
    compute_all(organisms[:1], [Plain()], config_of, corpus, store, recompute=True)
    assert in_store(store) == ["plain", "plain"]


def test_an_organism_named_twice_is_computed_once(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore, passes_made: list[Any]
) -> None:
    diary, alpha = Diary(), organisms[0]
    artifacts = compute_all([alpha, alpha], [Watching()], config_of, corpus, store, report=diary)
    assert diary.lines == ["1 begins tiny.alpha watching", "1 saved tiny.alpha watching", "2 found tiny.alpha watching"]
    assert artifacts[0].key == artifacts[1].key
    assert passes_made == [(1, 1)]


@pytest.mark.parametrize(("share", "expected"), [(1, [1, 1, 1, 1]), (3, [3, 1]), (4, [4]), (9, [4])])
def test_groups_hold_so_many_organisms(
    organisms: list[Organism],
    corpus: Corpus,
    store: ArtifactStore,
    passes_made: list[Any],
    share: int,
    expected: list[int],
) -> None:
    compute_all(organisms, [Watching()], config_of, corpus, store, share=share)
    assert [pairs for pairs, _ in passes_made] == expected


def test_other_bases_have_their_own_pass(
    organisms: list[Organism],
    corpus: Corpus,
    store: ArtifactStore,
    passes_made: list[Any],
    make_organism: Callable[..., Organism],
    tiny: Any,
    base_copy: Path,
) -> None:
    """A base of other weights, and bases that are adapted, each organism's by an adapter of its own."""
    from adapter_kinds import draw_adapter
    from diffbench.models.references import AdaptedModel
    from safetensors.torch import load_file, save_file

    weights = {name: 1.01 * tensor for name, tensor in load_file(base_copy / "model.safetensors").items()}
    save_file(weights, base_copy / "model.safetensors", metadata={"format": "pt"})
    folders = {name: {"kind": "peft", "path": str(tiny.adapters / name)} for name in ("half", "alpha", "beta")}
    on_it = draw_adapter("lora", 0, base_copy, base_copy.parent / "on_it")
    other = make_organism("other", base=base_copy, finetuned={"default": {"kind": "peft", "path": str(on_it)}})
    compute_all([organisms[0], other, organisms[2]], [Watching()], config_of, corpus, store)
    assert passes_made == [(2, 2), (1, 1)]
    passes_made.clear()

    def adapted(name: str) -> dict[str, Any]:
        return {"kind": "adapted", "model": {"kind": "local", "path": str(tiny.base)}, "adapter": folders[name]}

    below = AdaptedModel.model_validate(adapted("half"))
    both = [make_organism(f"on_{name}", finetuned={"default": adapted(name)}) for name in ("alpha", "beta")]
    both = [Organism(o.suite, o.spec.model_copy(update={"base": below}), o.folder) for o in both]
    artifacts = compute_all(both, [Watching()], config_of, corpus, store)
    assert passes_made == [(1, 1), (1, 1)]
    assert len({artifact.key for artifact in artifacts}) == 2


@pytest.mark.parametrize("where", ["collector", "layer", "residuals", "logits", "content", "payload"])
def test_one_failure_leaves_the_others_whole(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore, passes_made: list[Any], where: str
) -> None:
    diary, methods = Diary(), [Watching(where=where), KL, Plain()]
    with pytest.raises(
        FailedArtifactsError, match=r"1 of 12 artifacts.*the others are stored:\n- tiny\.beta watching: "
    ) as caught:
        compute_all(organisms, methods, config_of, corpus, store, report=diary)
    kinds = {
        "collector": "TypeError: no collector today",
        "layer": "watching: layer 99 is out of range",
        "residuals": "IndexError: a bad row",
        "logits": "RuntimeError: a bad stretch",
        "content": "ZeroDivisionError: nothing to divide by",
        "payload": "ValueError: Out of range float",
    }
    assert kinds[where] in str(caught.value)
    assert [failure.name for failure in caught.value.failures] == ["tiny.beta watching"]
    assert diary.lines.count("7 failed tiny.beta watching") == 1
    assert in_store(store) == sorted(["watching"] * 3 + ["kl"] * 4 + ["plain"] * 4)
    passes_made.clear()
    compute_all(organisms, [Watching(), KL, Plain()], config_of, corpus, store)
    assert passes_made == [(1, 1)]
    assert len(in_store(store)) == 12
    (tokens,) = {
        item.payload(Said).number for item in store if isinstance(item, Artifact) and item.manifest.method == "watching"
    }
    assert tokens > 100


def test_a_failing_plain_method_leaves_the_others(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore
) -> None:
    failing = Plain(LookupError("plain is lost"))
    with pytest.raises(FailedArtifactsError, match=r"2 of 4 artifacts") as caught:
        compute_all(organisms[:2], [failing, Watching()], config_of, corpus, store)
    assert "- tiny.alpha plain, tiny.alpha+half plain: LookupError: plain is lost" in str(caught.value)
    assert in_store(store) == ["watching", "watching"]


def test_a_model_that_fails_takes_its_group_only(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = passes.run_pass

    def broken(works: Sequence[Any], *arguments: Any, **options: Any) -> None:
        if works[0].pair.name == "tiny.alpha":
            raise RuntimeError("out of memory")
        run(works, *arguments, **options)

    monkeypatch.setattr(passes, "run_pass", broken)
    with pytest.raises(FailedArtifactsError, match="2 of 4 artifacts") as caught:
        compute_all(organisms, [Watching()], config_of, corpus, store, share=2)
    assert [failure.name for failure in caught.value.failures] == ["tiny.alpha watching", "tiny.alpha+half watching"]
    assert in_store(store) == ["watching", "watching"]


def test_a_pass_that_nobody_watches_any_more_ends(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore
) -> None:
    many = Corpus(name="many", texts=corpus.texts * 20)
    begun: list[int] = []

    def track(items: Sequence[Any], label: str) -> Iterator[Any]:
        for i, item in enumerate(items):
            begun.append(i)
            yield item

    with pytest.raises(FailedArtifactsError, match=r"1 of 1 artifacts could not be computed:\n- tiny\.beta watching"):
        compute_all([organisms[2]], [Watching(where="logits")], config_of, many, store, track=track)
    assert begun == [0, 1]


def test_a_killed_run_loses_the_running_group_at_most(
    organisms: list[Organism], corpus: Corpus, store: ArtifactStore, passes_made: list[Any]
) -> None:
    """Killed in the second group, between two of its artifacts."""
    killed = Watching(where="kill", victim="tiny.same")
    with pytest.raises(KeyboardInterrupt):
        compute_all(organisms, [KL, killed], config_of, corpus, store, share=2)
    assert in_store(store) == ["kl"] * 4 + ["watching"] * 3
    passes_made.clear()
    compute_all(organisms, [KL, Watching()], config_of, corpus, store, share=2)
    assert passes_made == [(1, 1)]
    assert len(in_store(store)) == 8


def test_what_cannot_be_computed_is_said_first_and_stops_no_other(
    organisms: list[Organism],
    corpus: Corpus,
    store: ArtifactStore,
    make_organism: Callable[..., Organism],
    tmp_path: Path,
) -> None:
    remote = make_organism("remote", finetuned={"default": {"kind": "api", "model": "openai/gpt"}})
    untrained = make_organism("untrained", finetuned={"default": {"kind": "peft", "path": str(tmp_path / "nowhere")}})
    diary = Diary()
    with pytest.raises(FailedArtifactsError, match=r"2 of 3 artifacts .*; the others are stored:") as caught:
        compute_all([remote, untrained, organisms[0]], [KL], config_of, corpus, store, report=diary)
    assert "- own.remote kl: kl needs weights; own.remote is known by an API only" in str(caught.value)
    assert f"{tmp_path / 'nowhere'}; train it with" in str(caught.value)
    assert diary.lines[:2] == ["1 failed own.remote kl", "2 failed own.untrained kl"]
    assert diary.lines[-1] == "3 saved tiny.alpha kl"
    assert in_store(store) == ["kl"]
