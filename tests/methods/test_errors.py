"""What goes wrong for a user gets one message that says what, what is allowed and what to do; nothing is lost."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from computing import compute_all
from diffbench.agents.kinds import kind_of
from diffbench.benchmark.cases import case_samples
from diffbench.benchmark.cli.main import main
from diffbench.benchmark.conditions import Conditions
from diffbench.methods.activations import passes
from diffbench.methods.activations.corpus import Corpus, probe_corpus
from diffbench.methods.activations.passes import Need
from diffbench.methods.artifact import Artifact, Content, CorruptArtifactError, artifact_key
from diffbench.methods.contract import MethodConfig, PassMethod
from diffbench.methods.failures import FailedArtifactsError
from diffbench.methods.jobs import keys_for
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.memory import out_of_memory
from diffbench.methods.registry import config_for, find_method
from diffbench.methods.run import Report
from diffbench.methods.store import ArtifactStore
from diffbench.organisms.suites import find_organism, load_suite
from raw_payload import payload_json, raw
from scaling import scale
from watching_methods import Said, Silent

ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:125] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "1099511627776 bytes. Error code 12 (Cannot allocate memory)"
)
DEVICE = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
SETTINGS = {"kl": {"max_texts": 4, "max_tokens": 24}}


class HungryConfig(MethodConfig):
    kept_tokens: int = 64


class Hungry:
    """A collector that holds a tensor and fails for want of memory where it is told to."""

    def __init__(self, need: Need, fails: Callable[[], Exception] | None) -> None:
        self.need, self.fails, self.held = need, fails, torch.zeros(1_000)

    def residuals(self, batch: Any) -> None: ...

    def logits(self, item: Any, start: int, base: torch.Tensor, finetuned: torch.Tensor) -> None:
        if self.fails is not None:
            raise self.fails()


@dataclass(frozen=True)
class Memory(Silent, PassMethod[HungryConfig, Said, Hungry]):
    """A method whose memory runs out for one organism: in its pass or in its content."""

    where: str
    error: Callable[[], Exception]
    """Makes it anew each time: an error that was raised holds what was in memory then."""
    seen: list[Any]
    layer: int | None = None
    name = "hungry"
    config_type = HungryConfig
    payload_type = Said

    def collector(self, pair: Any, corpus: Corpus, config: Any) -> Hungry:
        fails = self.where == "pass" and pair.name == "tiny.beta"
        layers = frozenset() if self.layer is None else frozenset({self.layer})
        collector = Hungry(Need(layers=layers, logits=True, max_texts=2), self.error if fails else None)
        if pair.name == "tiny.beta":
            self.seen.append(weakref.ref(collector.held))
        return collector

    def content(self, pair: Any, corpus: Corpus, config: Any, collector: Any, track: Any = None) -> Content:
        if self.where == "content" and pair.name == "tiny.beta":
            raise self.error()
        return Content(Said(text="fine"))


@pytest.fixture
def suite(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small settings for the suite ``tiny``; the store's folder."""
    scale(monkeypatch, "tiny", SETTINGS)
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 400)
    return tmp_path / "store"


@pytest.fixture
def diffbench(suite: Path) -> Callable[..., Result]:
    """``diffbench("diff", …)``: the command's result."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The bundled corpus, cut, in place of the whole."""
    whole = probe_corpus()
    cut = replace(whole, texts=whole.texts[:3], chats=whole.chats[:3])
    monkeypatch.setattr("diffbench.benchmark.cli.options.probe_corpus", lambda: cut)
    monkeypatch.setattr("diffbench.methods.jobs.probe_corpus", lambda: cut)
    return cut


def refused(result: Result, *named: str) -> None:
    """One message, no traceback."""
    assert result.exit_code != 0, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert sum(line.startswith("Error: ") for line in result.output.splitlines()) == 1
    for words in named:
        assert words in result.output, result.output


def harm(artifact: Path, kind: str) -> None:
    """Break a stored artifact in one of the ways that happen."""
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if kind == "payload":
        (artifact / "payload.json").write_text('{"summary"', encoding="utf-8")
        return
    if kind == "copied":
        other = artifact.with_name("f" * 24)
        artifact.rename(other)
        shutil.copytree(other, artifact)
        manifest["key"] = other.name
    elif kind == "renamed in the manifest":
        manifest["method"] = "adl"
    elif kind == "version":
        manifest["format_version"] = 99
    else:
        manifest["files"] = {}
    path.write_text(json.dumps(manifest), encoding="utf-8")


SAID = {
    "payload": "payload.json is not the file that was written",
    "copied": "manifest.json belongs to the artifact ffff",
    "renamed in the manifest": "manifest.json tells of the artifact ",
    "version": "format version 99; this diffbench reads 2",
    "files": "manifest.json does not list payload.json",
}


@pytest.mark.parametrize("kind", SAID)
def test_a_broken_artifact_is_refused_and_computed_again_on_request(
    diffbench: Callable[..., Result], few: Corpus, suite: Path, kind: str
) -> None:
    assert diffbench("diff", "tiny.beta", "--method", "kl").exit_code == 0
    organism = find_organism("tiny.beta")
    (folder,) = suite.iterdir()
    whole = json.loads((folder / "payload.json").read_text(encoding="utf-8"))
    harm(folder, kind)
    remedy = "diffbench diff tiny.beta --method kl --recompute"
    refused(diffbench("diff", "tiny.beta", "--method", "kl"), f"artifact {folder.name}", SAID[kind], remedy)
    refused(diffbench("artifacts", "verify"), SAID[kind], "broken artifacts are refused")
    # A run of the benchmark does not start on it.
    with pytest.raises(CorruptArtifactError, match="--recompute") as caught:
        case_samples([organism], ["kl"], Conditions(interactions=0), kind_of("evidence_reader"))
    assert SAID[kind] in str(caught.value)
    shutil.rmtree(suite / ("f" * 24), ignore_errors=True)
    assert diffbench(*remedy.split()[1:]).exit_code == 0
    again = ArtifactStore().find_whole([folder.name], "tiny.beta", "kl")
    assert again is not None
    assert payload_json(again) == whole


def test_the_key_is_that_of_the_manifest(suite: Path, few: Corpus, diffbench: Callable[..., Result]) -> None:
    """The manifest holds all that the key is made of, so that a stranger's artifact can be checked."""
    assert diffbench("diff", "tiny.beta", "--method", "kl").exit_code == 0
    organism = find_organism("tiny.beta")
    (artifact,) = [item for item in ArtifactStore(shipped=suite / "none") if isinstance(item, Artifact)]
    m = artifact.manifest
    assert artifact_key(m.base, m.finetuned, m.method, m.config, m.corpus_sha256, m.dtype) == artifact.key
    assert artifact.key in keys_for(organism, KL, config_for(KL, "tiny"), few)


def test_an_api_pair_has_no_weights(
    diffbench: Callable[..., Result], make_organism: Any, suite: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remote = make_organism("remote", finetuned={"default": {"kind": "api", "model": "openai/gpt"}})
    named = ("kl needs weights", "own.remote is known by an API only", "or blackbox")
    with pytest.raises(ValueError, match=r"own\.remote is known by an API only\. Choose another method: .* blackbox"):
        case_samples([remote], ["kl"], Conditions(interactions=0), kind_of("evidence_reader"))
    (tmp_path / "specs" / "own").mkdir(parents=True)
    shutil.copy(tmp_path / "organisms" / "remote.yaml", tmp_path / "specs" / "own")
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(tmp_path / "specs"))
    refused(diffbench("diff", "own.remote", "--method", "kl"), *named)
    assert not suite.exists()


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (b'{"text": "fine"}\n{"text": " \\n "}\n', 2),
        (b'{"text": "fine"}\n\n{"text": "fine"}\n', 2),
        (b'{"text": "fine"}\n{"text": "fine"}\nowls\n', 3),
        (b'{"prompt": "p"}\n', 1),
        (b'{"prompt": "p", "answer": "a"}\n', 1),
        (b'{"text": "a"}\r\n{"text": "\xff"}\r\n', 2),
        (b'{"text": "half of a character: \\ud83e"}\n', 1),
        (b'{"prompt": "p", "response": "\\ud83e"}\n', 1),
    ],
)
def test_a_bad_corpus_is_refused_by_line(
    diffbench: Callable[..., Result], suite: Path, tmp_path: Path, lines: bytes, line: int
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(lines)
    result = diffbench("diff", "tiny.beta", "--method", "kl", "--corpus", path)
    refused(result, f"{path}, line {line}: ")
    assert "expected" in result.output or "save the file so" in result.output
    assert not suite.exists()


def test_a_corpus_is_a_file(diffbench: Callable[..., Result], tmp_path: Path) -> None:
    refused(diffbench("diff", "tiny.beta", "--method", "kl", "--corpus", tmp_path), "is a directory")
    refused(diffbench("diff", "tiny.beta", "--method", "kl", "--corpus", tmp_path / "no"), "does not exist")
    (tmp_path / "empty.jsonl").touch()
    empty = diffbench("diff", "tiny.beta", "--method", "kl", "--corpus", tmp_path / "empty.jsonl")
    refused(empty, "'empty' holds neither texts nor chats")


@pytest.mark.parametrize("layer", [4, -1])
def test_a_layer_that_the_model_does_not_have(tiny: Any, corpus: Corpus, layer: int) -> None:
    organisms = load_suite("tiny")
    method = Memory("nowhere", ValueError, [], layer=layer)
    with pytest.raises(FailedArtifactsError, match="3 of 6 artifacts could not be computed; the others") as caught:
        compute_all(organisms, [method, KL], lambda _, m: m.config_type(), corpus, ArtifactStore())
    said = f"tiny.beta hungry, tiny.same hungry: layer {layer} is out of range; the model has layers 0 to 3. Lower it"
    assert said in str(caught.value)
    assert methods_stored(ArtifactStore()) == ["kl"] * 3


@pytest.mark.parametrize(
    ("method", "wrong", "allowed"),
    [
        ("adl", {"layer": 1.0}, "less than 1"),
        ("adl", {"layer": -0.1}, "greater than or equal to 0"),
        ("pca", {"layer": 12}, "less than 1"),
        ("diff_mining", {"layer": 1.5}, "less than 1"),
        ("activation_norms", {"layers": [0.5, 1.0]}, "from 0 to below 1"),
        ("weight_amplification", {"amplifications": [{"w": 2, "last": 1.2}]}, "less than or equal to 1"),
    ],
)
def test_a_share_out_of_range(tiny: Any, method: str, wrong: dict[str, Any], allowed: str) -> None:
    with pytest.raises(ValueError, match=f"settings of {method} on tiny") as caught:
        config_for(find_method(method), "tiny", wrong)
    assert next(iter(wrong)) in str(caught.value)
    assert allowed in str(caught.value)


def test_a_share_out_of_range_in_a_suites_settings(
    diffbench: Callable[..., Result], suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale(monkeypatch, "tiny", {"adl": {"layer": 3}})
    refused(diffbench("diff", "tiny.beta", "--method", "adl"), "settings of adl on tiny", "layer", "less than 1")
    assert not suite.exists()


ERRORS: dict[str, Callable[[], Exception]] = {
    "python": MemoryError,
    "numpy": lambda: MemoryError("Unable to allocate 8.00 TiB for an array with shape (1048576, 1048576)"),
    "cpu": lambda: RuntimeError(ALLOCATOR),
    "device": lambda: torch.OutOfMemoryError(DEVICE),
}


@pytest.mark.parametrize("where", ["pass", "content"])
@pytest.mark.parametrize("kind", ERRORS)
def test_too_little_memory_for_one(tiny: Any, corpus: Corpus, where: str, kind: str) -> None:
    """The others are stored, and what the failed one held is free while they go on."""
    method = Memory(where, ERRORS[kind], [])
    alive: list[bool] = []
    with pytest.raises(FailedArtifactsError, match="1 of 6 artifacts could not be computed; the others") as caught:
        compute_all(
            load_suite("tiny"),
            [method, KL],
            lambda _, m: m.config_type(),
            corpus,
            ArtifactStore(),
            report=_Watching(lambda: alive.append(bool(gc.collect() >= 0 and method.seen[0]() is not None))),
            batch_size=5,
        )
    message = str(caught.value)
    assert "- tiny.beta hungry: MemoryError: memory ran out (" in message
    assert (str(ERRORS[kind]()).partition("\n")[0] or "Python could not allocate memory") in message
    assert "lower --batch-size 5, --chunk-tokens 512, --share 4 or, of the method's settings, kept_tokens 64" in message
    assert methods_stored(ArtifactStore()) == ["hungry"] * 2 + ["kl"] * 3
    assert alive[-1] is False
    repaired = Memory("nowhere", MemoryError, [])
    compute_all(load_suite("tiny"), [repaired, KL], lambda _, m: m.config_type(), corpus, ArtifactStore())
    assert len(methods_stored(ArtifactStore())) == 6


def test_too_little_memory_on_the_command_line(
    diffbench: Callable[..., Result], few: Corpus, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, sizes = passes.run_pass, []

    def narrow(works: Sequence[Any], corpus: Corpus, track: Any, batch_size: int, *options: Any) -> None:
        sizes.append(batch_size)
        if batch_size > 2 and works[0].pair.name == "tiny.alpha":
            raise RuntimeError(ALLOCATOR)
        run(works, corpus, track, batch_size, *options)

    monkeypatch.setattr(passes, "run_pass", narrow)
    arguments = ("diff", "tiny.alpha", "tiny.beta", "--method", "kl", "--share", "1")
    result = diffbench(*arguments)
    refused(result, "1 of 2 artifacts could not be computed; the others are stored:", "- tiny.alpha kl: MemoryError")
    assert "lower --batch-size 16, --chunk-tokens 512, --share 1 or, of the method's settings, max_t" in result.output
    assert "tiny.beta kl: " in result.output
    assert len(list(suite.glob("*/"))) == 1
    again = diffbench(*arguments, "--batch-size", "2")
    assert again.exit_code == 0, again.output
    assert "tiny.beta kl: is there" in again.output
    assert sizes == [16, 16, 2]
    assert len(list(suite.glob("*/"))) == 2


def test_other_errors_stay_as_they_are() -> None:
    for error in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory of names")):
        assert out_of_memory(error) is None


@pytest.mark.parametrize("value", [float("nan"), torch.tensor(1.0), {1, 2}, float("inf")])
def test_a_payload_that_is_no_json_is_named(tmp_path: Path, value: Any) -> None:
    folder = ArtifactStore(tmp_path / "store", tmp_path / "shipped")
    with pytest.raises(ValueError, match=r"payload\['second'\]; a payload is str, int, finite float"):
        folder.save("a" * 24, Content(raw({"first": 1, "second": {"rows": [value]}})))
    assert list(folder.folder.iterdir()) == []


def methods_stored(folder: ArtifactStore) -> list[str]:
    own = [item for item in folder if isinstance(item, Artifact) and item.folder.parent == folder.folder]
    return sorted(item.manifest.method for item in own)


class _Watching(Report):
    """Looks when an artifact was saved."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def saved(self, job: Any, artifact: Artifact) -> None:
        self._look()
