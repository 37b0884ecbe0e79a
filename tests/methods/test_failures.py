"""A failure of any kind in one method or organism is recorded and listed, and stops nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from click.testing import CliRunner
from computing import compute_all
from diffbench.benchmark.cli.main import main
from diffbench.methods.activations.corpus import Corpus, probe_corpus
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.failures import FAILURES, FailedArtifactsError
from diffbench.methods.kl.config import KlConfig
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.kl.method import KlMethod
from diffbench.methods.store import ArtifactStore
from diffbench.models.targets import Pair
from diffbench.organisms.suites import Organism, find_organism, load_suite
from scaling import scale
from watching_methods import NothingConfig, Plain, Watching


class JudgeError(Exception):
    """One that no list of exceptions has."""


REQUEST = httpx.Request("POST", "https://api.example/v1")
ERRORS: dict[str, tuple[Exception, str]] = {
    "assertion": (AssertionError("shapes differ"), "AssertionError: shapes differ"),
    "own": (JudgeError("no verdict"), "JudgeError: no verdict"),
    "api": (openai.APIConnectionError(message="Connection error.", request=REQUEST), "APIConnectionError: Connection"),
    "stop": (StopIteration("empty"), "StopIteration: empty"),
}


def config_of(organism: Organism, method: Any) -> Any:
    return KlConfig() if method.name == "kl" else NothingConfig()


def stored(store: ArtifactStore) -> list[str]:
    return sorted(item.manifest.method for item in store if isinstance(item, Artifact))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "user", tmp_path / "shipped")


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_any_kind_is_recorded_with_its_traceback(
    tiny: Any, corpus: Corpus, store: ArtifactStore, kind: str
) -> None:
    error, said = ERRORS[kind]
    methods = [Plain(error, victim="tiny.beta"), Watching(), KL]
    with pytest.raises(FailedArtifactsError, match="1 of 9 artifacts could not be computed; the others") as caught:
        compute_all(load_suite("tiny"), methods, config_of, corpus, store)
    (failure,) = caught.value.failures
    assert (failure.number, failure.name) == (4, "tiny.beta plain")
    assert f"- tiny.beta plain: {said}" in str(caught.value)
    assert f"tracebacks: {store.folder / FAILURES}" in str(caught.value)
    assert stored(store) == ["kl"] * 3 + ["plain"] * 2 + ["watching"] * 3
    log = (store.folder / FAILURES).read_text(encoding="utf-8")
    assert "tiny.beta plain\nTraceback (most recent call last):" in log
    assert "watching_methods.py" in log
    # What a developer sees with DIFFBENCH_TRACEBACK set.
    assert failure.traceback in caught.value.__notes__[0]


@pytest.mark.parametrize("kind", ["assertion", "own"])
def test_an_error_in_a_collector_is_one_of_its_job_alone(
    tiny: Any, corpus: Corpus, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    error, said = ERRORS[kind]

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("watching_methods.Counter.logits", fail)
    with pytest.raises(FailedArtifactsError, match="3 of 6 artifacts") as caught:
        compute_all(load_suite("tiny"), [Watching(), KL], config_of, corpus, store)
    assert f"- tiny.alpha watching, tiny.beta watching, tiny.same watching: {said}" in str(caught.value)
    assert stored(store) == ["kl"] * 3


def test_a_full_disk_costs_neither_the_list_nor_the_other_artifacts(
    tiny: Any, corpus: Corpus, store: ArtifactStore
) -> None:
    """The file of the tracebacks cannot be written either."""
    (store.folder / FAILURES).mkdir(parents=True)
    full = Plain(OSError(28, "No space left on device"), victim="tiny.beta")
    with pytest.raises(FailedArtifactsError, match=r"1 of 3 .*\n- tiny\.beta plain: OSError: .*No space left"):
        compute_all(load_suite("tiny"), [full], config_of, corpus, store)
    (store.folder / FAILURES).rmdir()
    assert stored(store) == ["plain", "plain"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interruptions_pass(tiny: Any, corpus: Corpus, store: ArtifactStore, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption):
        compute_all(load_suite("tiny"), [Plain(interruption(), victim="tiny.beta")], config_of, corpus, store)
    assert stored(store) == ["plain"]
    assert not (store.folder / FAILURES).exists()


def test_a_truncated_adapter_leaves_the_other_organisms(
    tiny: Any, corpus: Corpus, store: ArtifactStore, tmp_path: Path, make_organism: Callable[..., Organism]
) -> None:
    folder = Path(shutil.copytree(tiny.adapters / "beta", tmp_path / "truncated"))
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    broken = make_organism("broken", finetuned={"default": {"kind": "peft", "path": str(folder)}})
    organisms = [find_organism("tiny.alpha"), broken, find_organism("tiny.beta")]
    with pytest.raises(FailedArtifactsError, match="2 of 6 artifacts could not be computed; the others") as caught:
        compute_all(organisms, [KL, Plain()], config_of, corpus, store)
    assert [failure.name for failure in caught.value.failures] == ["own.broken kl", "own.broken plain"]
    assert stored(store) == ["kl"] * 2 + ["plain"] * 2


def test_the_command_lists_what_failed_and_exits_with_1(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = probe_corpus()
    few = Corpus("few", whole.texts[:2], whole.chats[:2])
    monkeypatch.setattr("diffbench.benchmark.cli.options.probe_corpus", lambda: few)
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 400)
    scale(monkeypatch, "tiny", {"kl": {"max_tokens": 24}})

    content = KlMethod.content

    def judged(self: KlMethod, pair: Pair, *rest: Any) -> Content:
        if pair.name == "tiny.beta":
            raise JudgeError("no verdict")
        return content(self, pair, *rest)

    monkeypatch.setattr(KlMethod, "content", judged)
    arguments = ["diff", "--suite", "tiny", "--method", "kl"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "Error: 1 of 3 artifacts could not be computed; the others are stored:" in result.output
    assert "- tiny.beta kl: JudgeError: no verdict" in result.output
    assert "[2 of 3] tiny.beta kl: failed, going on with the others: JudgeError: no verdict" in result.output
    assert f"tracebacks: {tmp_path / 'store' / FAILURES}" in result.output
    assert "Traceback" not in result.output
    monkeypatch.setenv("DIFFBENCH_TRACEBACK", "1")
    shown = CliRunner().invoke(main, arguments)
    assert isinstance(shown.exception, FailedArtifactsError)
    assert "Traceback" in shown.exception.__notes__[0]
