"""The tiny random-model suite with rubrics, its artifacts computed once, and subprocesses that see them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log
from scaling import scale

ROOT = Path(__file__).parents[2]
FAST_ADL = {
    "positions": 2,
    "max_texts": 8,
    "max_tokens": 16,
    "lens_top": 10,
    "steered_positions": [{"kind": "text", "index": 0}],
    "strength_max": 4.0,
    "search_steps": 1,
    "search_samples": 2,
    "sample_tokens": 6,
    "prompts": 2,
    "samples": 1,
}
FAST = {
    "kl": {"max_texts": 12, "max_tokens": 64},
    "adl": FAST_ADL,
    "activation_norms": {"max_texts": 8, "max_tokens": 16, "top_texts": 4},
    "diff_mining": {"max_texts": 8, "max_tokens": 8, "top_k": 10, "tokens": 20, "topic_iterations": 5},
    "pca": {
        "components": 2,
        "max_texts": 8,
        "max_tokens": 16,
        "top_texts": 4,
        "lens_top": 10,
        "steered_components": 1,
        "factors": [1.0],
        "prompts": 2,
        "sample_tokens": 6,
    },
    "weight_amplification": {
        "amplifications": [{"w": 2.0}, {"w": -1.0}],
        "prompts": 2,
        "samples": 1,
        "sample_tokens": 6,
    },
}


@dataclass(frozen=True)
class Bench:
    """Folders of the suite ``tiny`` (``alpha``, ``beta``, the control ``same``) with artifacts of kl and adl."""

    specs: Path
    store: Path
    cache: Path

    def environment(self) -> dict[str, str]:
        folders = {"DIFFBENCH_ORGANISMS": self.specs, "DIFFBENCH_STORE": self.store, "DIFFBENCH_CACHE": self.cache}
        return {name: str(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def built(tiny_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Specs that the shipped rubrics can grade, and all artifacts; never changed by a test."""
    from diffbench.methods.activations.corpus import probe_corpus
    from diffbench.methods.executors import compute_all
    from diffbench.methods.registry import config_for, find_method, list_methods
    from diffbench.methods.run import Run
    from diffbench.organisms.suites import load_suite

    root = tmp_path_factory.mktemp("bench")
    bench = Bench(root / "specs", root / "store", root / "cache")
    (bench.specs / "tiny").mkdir(parents=True)
    for path in sorted((tiny_world.specs / "tiny").glob("*.yaml")):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        if spec["family"] != "null":
            spec |= {"family": "preference", "rubric": "preference"}
        (bench.specs / "tiny" / path.name).write_text(yaml.safe_dump(spec), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        _use(bench, patch)
        methods = [find_method(name) for name in list_methods()]
        compute_all(load_suite("tiny"), methods, lambda _, method: config_for(method, "tiny"), Run(probe_corpus()))
    return bench


@pytest.fixture(scope="module")
def bench(built: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The suite ``tiny``, switched on for a module, with a copy of the store that tests may change."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(built.store, folder / "store")
    own = Bench(built.specs, folder / "store", folder / "cache")
    with pytest.MonkeyPatch.context() as patch:
        _use(own, patch)
        yield own


@pytest.fixture
def command(bench: Bench) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``command("inspect", "eval", …)``: a console script of this environment in a process of its own."""

    def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(script, *arguments),
            env=process_environment(bench, **environment),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def start(bench: Bench) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """``start("inspect", "eval", …)``: the same, running on; killed at the end of the test if it still does."""
    running: list[subprocess.Popen[str]] = []

    def run(script: str, *arguments: str, output: Path, **environment: str) -> subprocess.Popen[str]:
        with output.open("w") as file:
            process = subprocess.Popen(
                command_line(script, *arguments),
                env=process_environment(bench, **environment),
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def only_log() -> Callable[[Path], EvalLog]:
    """The one log in a folder."""

    def read(folder: Path) -> EvalLog:
        (info,) = list_eval_logs(str(folder))
        return read_eval_log(info)

    return read


def command_line(script: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name(script)), *arguments]


def process_environment(bench: Bench, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INSPECT_")}
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return {**kept, **offline, **bench.environment(), **more}


def _use(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    for name, value in bench.environment().items():
        patch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("INSPECT_")]:
        patch.delenv(name)
    scale(patch, "tiny", FAST)
