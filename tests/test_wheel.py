"""The wheel holds every module and every data file, and nothing outside ``diffbench``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    "organisms",
    "methods",
    "models",
    "records",
    "tools",
    "agents",
    "graders",
    "benchmark",
    "results",
    "views",
)
DATA = (
    "organisms/specs",
    "organisms/adapters",
    "organisms/recipes/data",
    "organisms/templates",
    "methods/probe_corpus",
    "methods/artifacts",
    "methods/adl/prompts",
    "agents/prompts",
    "graders/rubrics",
    "graders/prompts",
    "graders/calibration",
    "views/templates",
)


def source_files() -> list[str]:
    """Files that git tracks, or would if they were added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    # Hidden folders are half-written adapters and artifacts of runs in progress.
    return [
        name
        for name in listed
        if (ROOT / name).is_file() and not any(part.startswith(".") for part in Path(name).parts[:-1])
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], list[str]]:
    """Names in a wheel built from a copy of the tree, and the files that were copied."""
    pytest.importorskip("build")
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    names = source_files()
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist()), names


def test_every_module_of_every_room_is_in_the_wheel(built: tuple[set[str], list[str]]) -> None:
    wheel, names = built
    modules = [name for name in names if name.endswith(".py") and name.split("/")[0] in ROOMS]
    assert len(modules) > 30
    assert not [name for name in modules if f"diffbench/{name}" not in wheel]


@pytest.mark.parametrize("folder", DATA)
def test_every_data_file_is_in_the_wheel(built: tuple[set[str], list[str]], folder: str) -> None:
    wheel, names = built
    assert not [name for name in names if name.startswith(f"{folder}/") and f"diffbench/{name}" not in wheel]


def test_nothing_but_diffbench_is_installed(built: tuple[set[str], list[str]]) -> None:
    tops = {name.split("/")[0] for name in built[0]}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"diffbench"}


def test_tests_and_scratch_stay_out(built: tuple[set[str], list[str]]) -> None:
    assert not [name for name in built[0] if Path(name).name.startswith(("test_", "conftest"))]


def test_entry_points_name_existing_modules(built: tuple[set[str], list[str]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = [point for group in project["entry-points"].values() for point in group.values()]
    points += project["scripts"].values()
    for point in points:
        path = point.partition(":")[0].replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & built[0], point
