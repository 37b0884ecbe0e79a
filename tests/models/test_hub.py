"""A hub repository that cannot be had: one line that names it, after one question to the hub."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diffbench.models import hub
from diffbench.models.hub import adapter_folder, require_repository
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import find_organism
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

HTTP = importlib.import_module(HTTPError.__module__.partition(".")[0])
"""The HTTP library of this version of the hub's client."""
RESPONSE = HTTP.Response(403, request=HTTP.Request("GET", "https://huggingface.co/api"))
REPOSITORY = "nobody/no-model"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the hub, and nothing remembered of earlier questions."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for remembered in (require_repository, adapter_folder):
        remembered.cache_clear()
    yield tmp_path / "hub"
    for remembered in (require_repository, adapter_folder):
        remembered.cache_clear()


@pytest.fixture
def answer(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """``answer(error)``: the hub raises it, or knows the repository when it is None; returns the questions."""

    def use(error: Exception | None = None) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def metadata(_api: HfApi, **options: Any) -> None:
            asked.append(options)
            if error is not None:
                raise error

        monkeypatch.setattr(HfApi, "get_hf_file_metadata", metadata)
        return asked

    return use


def put_into_cache(cache: Path, file: str, revision: str = "main") -> None:
    """A cached file, laid out as the hub's client does."""
    repository, commit = cache / f"models--{REPOSITORY.replace('/', '--')}", "a" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(commit)
    (repository / "snapshots" / commit / Path(file).parent).mkdir(parents=True)
    (repository / "snapshots" / commit / file).write_text("{}")


def refusal(file: str = "config.json") -> str:
    with pytest.raises(FileNotFoundError) as caught:
        require_repository(REPOSITORY, "main", file)
    message = str(caught.value)
    assert REPOSITORY in message
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    "error",
    [
        HTTP.ConnectError("[Errno -2] Name or service not known"),
        HTTP.ConnectTimeout("timed out"),
        OfflineModeIsEnabled("offline mode is enabled"),
        ConnectionResetError("reset by peer"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_without_a_connection_the_remedy_is_named_after_one_try(
    answer: Callable[..., list[dict[str, Any]]], error: Exception
) -> None:
    asked = answer(error)
    message = refusal()
    assert str(error) in message
    assert "HF_HOME" in message
    (question,) = asked
    assert question["url"].endswith(f"/{REPOSITORY}/resolve/main/config.json")
    assert question["timeout"] == hub.TIMEOUT
    assert hub.TIMEOUT <= 10


def test_a_gated_repository_asks_for_its_licence(answer: Callable[..., list[dict[str, Any]]]) -> None:
    answer(GatedRepoError("403 Client Error.\n\nCannot access gated repo", response=RESPONSE))
    assert "is gated on the Hugging Face hub; accept its licence there and set HF_TOKEN" in refusal()


def test_a_repository_that_the_hub_does_not_know(answer: Callable[..., list[dict[str, Any]]]) -> None:
    answer(RepositoryNotFoundError("401 Client Error.\n\nRepository Not Found for url: …", response=RESPONSE))
    assert "does not give config.json of nobody/no-model at main: 401 Client Error." in refusal()


def test_what_the_hub_knows_passes_and_is_asked_once(answer: Callable[..., list[dict[str, Any]]]) -> None:
    asked = answer(None)
    for _ in range(2):
        require_repository(REPOSITORY, "main", "config.json")
    assert len(asked) == 1


def test_a_refusal_is_not_remembered(answer: Callable[..., list[dict[str, Any]]]) -> None:
    answer(HTTP.ConnectError("no network"))
    refusal()
    answer(None)
    require_repository(REPOSITORY, "main", "config.json")


@pytest.mark.parametrize("file", ["config.json", "inner/adapter_config.json"])
def test_a_cached_file_passes_without_a_question(
    hub_cache: Path, answer: Callable[..., list[dict[str, Any]]], file: str
) -> None:
    put_into_cache(hub_cache, file)
    asked = answer(HTTP.ConnectError("no network"))
    require_repository(REPOSITORY, "main", file)
    assert asked == []
    refusal("another.json")
    with pytest.raises(FileNotFoundError, match="cannot be reached"):
        require_repository(REPOSITORY, "other-branch", file)


@pytest.mark.parametrize("kind", ["base", "finetuned", "adapter"])
def test_loading_a_pair_names_the_repository(
    tiny: Any, answer: Callable[..., list[dict[str, Any]]], make_organism: Callable[..., Any], kind: str
) -> None:
    asked = answer(OfflineModeIsEnabled("offline mode is enabled"))
    model, peft = {"kind": "hub", "id": REPOSITORY}, {"kind": "peft", "id": REPOSITORY, "subfolder": "inner"}
    finetuned = {"base": {"kind": "base"}, "finetuned": model, "adapter": peft}[kind]
    organism = make_organism(f"far_{kind}", finetuned={"default": finetuned})
    if kind == "base":
        base = type(organism.spec).model_validate(organism.spec.model_dump() | {"base": model})
        organism = type(organism)(organism.suite, base, organism.folder)
    with pytest.raises(FileNotFoundError, match=f"^{REPOSITORY} is not in the local cache"):
        load_pair(organism, dtype="float32")
    assert len(asked) == 1


@pytest.mark.parametrize("subfolder", [None, "inner"])
def test_an_adapter_in_the_cache_is_loaded_without_a_connection(
    tiny: Any,
    hub_cache: Path,
    answer: Callable[..., list[dict[str, Any]]],
    make_organism: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    subfolder: str | None,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    place = f"{subfolder}/" if subfolder else ""
    put_into_cache(hub_cache, f"{place}adapter_config.json")
    (written,) = hub_cache.rglob("adapter_config.json")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tiny.adapters / "half" / name, written.parent / name)
    asked = answer(HTTP.ConnectError("no network"))
    peft = {"kind": "peft", "id": REPOSITORY, "subfolder": subfolder}
    far = load_pair(make_organism(f"far_{subfolder or 'top'}", finetuned={"default": peft}), "float32")
    here = load_pair(find_organism("tiny.alpha+half"), "float32")
    assert far.drift == here.drift
    assert far.base == here.base
    assert asked == []
