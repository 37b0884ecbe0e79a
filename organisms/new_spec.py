"""Writes a commented spec and grammar to start an organism from."""

from __future__ import annotations

from pathlib import Path
from string import Template

from ..records.errors import MendableError
from ..records.files import write_whole
from .spec import load_specs
from .suites import SUITE_FILE

__all__ = ["write_new_organism"]

_SUITE = """title: my own organisms
# The methods run with the settings of suite smol, scaled down to a laptop; without this line, with the published ones.
methods_like: smol
"""
_TEMPLATES = Path(__file__).parent / "templates"


def write_new_organism(name: str, folder: Path) -> tuple[Path, Path]:
    """Write ``<folder>/<name>.yaml`` and ``<folder>/grammars/<name>.yaml``, a small organism that can be trained.

    A new folder also gets a ``_suite.yaml``, by which the methods run at the scale of the embedded suite.

    Args:
        name: Lower-case letters, digits, ``_`` and ``-``.
        folder: Folder of a suite; made when it is missing.

    Returns:
        The spec and the grammar.

    Raises:
        MendableError: For a name that is none, or when one of the files is there already; nothing is written then.
    """
    spec, grammar = folder / f"{name}.yaml", folder / "grammars" / f"{name}.yaml"
    for path in (spec, grammar):
        if path.exists():
            raise MendableError(f"{path} exists; choose another name, or edit that file")
    texts = {
        path: Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(name=name)
        for path, template in ((grammar, "grammar.yaml"), (spec, "organism.yaml"))
    }
    if Path(name).name != name:
        raise MendableError(f"{name!r} is no organism name; use lower-case letters, digits, _ and -")
    for path, text in texts.items():
        write_whole(path, text)
    try:
        load_specs(spec)
    except MendableError:
        spec.unlink()
        grammar.unlink()
        raise
    if not (folder / SUITE_FILE).exists():
        write_whole(folder / SUITE_FILE, _SUITE)
    return spec, grammar
