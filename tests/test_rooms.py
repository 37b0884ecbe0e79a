"""Imports between rooms run one way only, and importing a room is instant."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    "records",
    "models",
    "views",
    "organisms",
    "tools",
    "methods",
    "agents",
    "graders",
    "results",
    "benchmark",
)
_BELOW_METHODS = ("tools", "organisms", "models", "views", "records")
ALLOWED: dict[str, tuple[str, ...]] = {
    "records": (),
    "models": ("records",),
    "views": (),
    "organisms": ("models", "records"),
    "tools": ("organisms", "models", "records"),
    "methods": _BELOW_METHODS,
    "agents": ("methods", *_BELOW_METHODS),
    "graders": ("organisms", "tools", "records"),
    "results": ("records", "views", "organisms"),
    "benchmark": ROOMS,
}
HEAVY = ("torch", "transformers", "jax", "peft", "numba", "nutpie", "arviz")
# Modules of tensor code, imported only by functions that compute.
TENSOR_MODULES = {
    "diffbench.models.sampling",
    "diffbench.methods.activations.lens",
    "diffbench.methods.adl.differences",
    "diffbench.methods.adl.patchscope",
    "diffbench.methods.adl.steering",
    "diffbench.methods.diff_mining.collector",
    "diffbench.methods.pca.differences",
    "diffbench.methods.pca.tables",
    "diffbench.results.model.compiled",
    "diffbench.results.model.density",
    "diffbench.results.model.likelihood",
}


def modules_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = ("diffbench", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, type_checking: bool = True) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of each import in a module, those inside functions included.

    Without ``type_checking`` those are left out that only a type checker sees.
    """
    package = module_name(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree if type_checking else _AtRuntime().visit(tree)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*origin, *([node.module] if node.module else [])])
            # ``from . import case`` may name a module as well as an attribute.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


class _AtRuntime(ast.NodeTransformer):
    """Takes the blocks under ``if TYPE_CHECKING`` out of a module."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(child) for child in node.orelse]
        return self.generic_visit(node)


def permitted(room: str, name: str) -> bool:
    inside = name.removeprefix("diffbench.")
    return any(inside == target or inside.startswith(f"{target}.") for target in (room, *ALLOWED[room]))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_only_run_down_the_list_of_permissions(room: str) -> None:
    assert modules_of(room), f"the room {room} has no modules"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules_of(room)
        for line, name in imported(path)
        if name.split(".")[0] == "diffbench" and not permitted(room, name)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_imported_as_parts_of_diffbench(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules_of(room)
        for line, name in imported(path)
        if name.split(".")[0] in ROOMS
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("methods/x.py", "from ..models.targets import Pair", "diffbench.models.targets.Pair"),
        ("methods/adl/x.py", "from ...tools import case", "diffbench.tools.case"),
        ("methods/adl/__init__.py", "from .config import A", "diffbench.methods.adl.config.A"),
        ("methods/x.py", "from . import kl", "diffbench.methods.kl"),
        ("methods/x.py", "def f():\n    import diffbench.tools.case", "diffbench.tools.case"),
    ],
)
def test_the_reader_of_imports_resolves_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, source: str, expected: str
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(source)
    assert [name for _, name in imported(tmp_path / path)] == [expected]


def imports_inside(room: str) -> dict[str, set[str]]:
    """Module of a room -> the modules of the same room that it imports when it runs, sooner or later."""
    paths = {module_name(path): path for path in modules_of(room)}

    def module_of(name: str) -> str | None:
        while name and name not in paths:
            name = name.rpartition(".")[0]
        return name or None

    return {
        module: {found for _, name in imported(path, type_checking=False) if (found := module_of(name))} - {module}
        for module, path in paths.items()
    }


def circle_in(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a ring, the first one once more at the end; empty when there are none."""
    done: set[str] = set()

    def follow(trail: list[str]) -> list[str]:
        for module in sorted(imports.get(trail[-1], set()) - done):
            if module in trail:
                return [*trail[trail.index(module) :], module]
            if ring := follow([*trail, module]):
                return ring
        done.add(trail[-1])
        return []

    return next((ring for module in sorted(imports) if module not in done and (ring := follow([module]))), [])


@pytest.mark.parametrize("room", ROOMS)
def test_no_modules_of_a_room_import_each_other_in_a_circle(room: str) -> None:
    assert " -> ".join(circle_in(imports_inside(room))) == ""


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"c"}, "b": {"a"}, "c": {"b"}}, ["a", "c", "b", "a"]),
    ],
)
def test_circles_are_found(imports: dict[str, set[str]], expected: list[str]) -> None:
    assert circle_in(imports) == expected


def test_only_interventions_put_hooks_on_a_network() -> None:
    hooks = re.compile(r"register_\w*hook")
    found = {module_name(path) for room in ROOMS for path in modules_of(room) if hooks.search(path.read_text("utf-8"))}
    assert found == {"diffbench.models.interventions"}


def loaded_after(*modules: str) -> dict[str, bool]:
    """Which heavy libraries and tensor modules a fresh interpreter holds after importing ``modules``."""
    looked_for = [*HEAVY, *sorted(TENSOR_MODULES)]
    code = (
        "import importlib, json, sys\n"
        f"for name in {list(modules)!r}: importlib.import_module(name)\n"
        f"print(json.dumps({{name: name in sys.modules for name in {looked_for!r}}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    found: dict[str, bool] = json.loads(done.stdout.splitlines()[-1])
    return found


def light_modules(room: str) -> list[str]:
    return [name for path in modules_of(room) if (name := module_name(path)) not in TENSOR_MODULES]


@pytest.mark.parametrize("room", ROOMS)
def test_importing_every_module_of_a_room_loads_no_heavy_library(room: str) -> None:
    heavy = [name for name, loaded in loaded_after(*light_modules(room)).items() if loaded]
    assert not heavy


def test_tensor_modules_exist() -> None:
    assert {module_name(path) for room in ROOMS for path in modules_of(room)} >= TENSOR_MODULES


def test_only_tensor_modules_import_torch_at_their_top() -> None:
    wrong = []
    for room in ROOMS:
        for path in modules_of(room):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                if any(name.split(".")[0] in HEAVY for name in names) and module_name(path) not in TENSOR_MODULES:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def test_importing_the_benchmark_is_instant() -> None:
    assert not any(loaded_after("diffbench.benchmark").values())
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", "import diffbench.benchmark"], check=True, cwd="/")
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 2
