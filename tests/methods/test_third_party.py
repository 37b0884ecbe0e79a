"""The package of docs/add_a_method.md, as it stands there, in an environment of its own: listed, computed, read."""

from __future__ import annotations

import asyncio
import re
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from computing import compute_all
from diffbench.agents.kinds import kind_of
from diffbench.benchmark.cases import case_samples
from diffbench.benchmark.cli.main import main
from diffbench.benchmark.conditions import Conditions
from diffbench.methods import registry
from diffbench.methods.activations.corpus import Corpus, probe_corpus
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels, Method
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.registry import config_for, find_method, list_methods
from diffbench.methods.store import ArtifactStore
from diffbench.models.targets import Pair
from diffbench.organisms.suites import find_organism
from diffbench.views.panels import Bars

PAGE = Path(__file__).parents[2] / "docs" / "add_a_method.md"
NAME = "greedy_shift"
_FILE = re.compile(r"^`([\w/.]+)`:\n\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)
HEAD = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n"


def page_files() -> dict[str, str]:
    """The files of the page by path."""
    text = PAGE.read_text(encoding="utf-8")
    return {name: textwrap.dedent(block).rstrip("\n") + "\n" for name, block in _FILE.findall(text)}


def install(folder: Path, files: dict[str, str], package: str = "greedy-shift") -> None:
    """What an installer leaves of a package: its modules and the entry points of its pyproject."""
    for name, text in files.items():
        if name.endswith(".py") and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).parent.joinpath("__init__.py").touch()
    points = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]
    about = folder / f"{package.replace('-', '_')}-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n", encoding="utf-8")
    lines = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in points.items())
    (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``environment(files)``: installs a package for the length of a test."""
    forget = registry.registered_methods.cache_clear

    def build(files: dict[str, str], package: str = "greedy-shift") -> None:
        folder = tmp_path / f"site-{package}"
        install(folder, files, package)
        monkeypatch.syspath_prepend(str(folder))
        forget()

    yield build
    forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


@pytest.fixture
def third_party(environment: Callable[..., None]) -> None:
    """The page's package, installed."""
    environment(page_files())


def counts(pair: Pair, corpus: Corpus) -> tuple[Counter[str], Counter[str], int]:
    """Most probable next tokens of base and finetuned, one unpadded text at a time, and how often they differ."""
    tokenizer = pair.base.network.tokenizer
    whole = [(text, 0) for text in corpus.texts]
    head = len(tokenizer(HEAD, add_special_tokens=False)["input_ids"])
    whole += [(f"{HEAD}{chat.prompt}<|im_end|>\n<|im_start|>assistant\n{chat.response}", head) for chat in corpus.chats]
    totals: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    changed = 0
    for text, start in whole:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        said = []
        for total, target in zip(totals, (pair.base, pair.finetuned), strict=True):
            with target.running() as model:
                said.append(model(ids).logits[0, start:].argmax(-1).tolist())
            total.update(tokenizer.decode([token]) for token in said[-1])
        changed += sum(before != after for before, after in zip(*said, strict=True))
    return *totals, changed


def test_the_page_holds_the_package() -> None:
    assert sorted(page_files()) == [
        "greedy_shift/config.py",
        "greedy_shift/method.py",
        "greedy_shift/payload.py",
        "greedy_shift/pictures.py",
        "greedy_shift/readers.py",
        "pyproject.toml",
        "tests/test_greedy_shift.py",
    ]


def test_it_is_listed_with_its_package(third_party: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NAME in list_methods()
    assert isinstance(find_method(NAME), Method)
    monkeypatch.setattr("diffbench.benchmark.cli.progress.console._width", 300)
    listed = CliRunner().invoke(main, ["methods", "list"])
    (line,) = [line for line in listed.output.splitlines() if NAME in line]
    assert "greedy-shift 0.1.0: greedy_shift.method:METHOD" in line
    assert "The tokens that the finetuned model would say more often than its base" in line


def test_its_settings_follow_the_suite(third_party: None) -> None:
    method = find_method(NAME)
    paper, scaled = config_for(method, "no_such_suite"), config_for(method, "smol")
    assert (paper.model_dump()["max_tokens"], scaled.model_dump()["max_tokens"]) == (512, 64)
    assert config_for(method, "smol", {"max_tokens": 32}).model_dump()["max_tokens"] == 32


def test_its_counts_are_those_of_the_plain_models(
    third_party: None, pair_of: Callable[[str], Pair], corpus: Corpus
) -> None:
    pair, method = pair_of("alpha"), find_method(NAME)
    payload = method.diff(pair, corpus, method.config_type()).payload
    before, after, changed = counts(pair, corpus)
    assert (payload.positions, payload.changed) == (before.total(), changed)
    assert 0 < changed < before.total()
    expected = {
        token: (after[token] - before[token]) / (after[token] + before[token]) ** 0.5 for token in before | after
    }
    for rows, sign in ((payload.risen, 1), (payload.fallen, -1)):
        wanted = {token: z for token, z in expected.items() if sign * z > 0}
        # Tokens that are no whole character share a text.
        own = [row for row in rows if "\ufffd" not in row.token]
        assert {row.token for row in own} == {token for token in wanted if "\ufffd" not in token}
        for row in own:
            assert (row.base, row.finetuned) == (before[row.token], after[row.token])
            assert row.z == pytest.approx(wanted[row.token], abs=1e-3)
        assert [row.z for row in rows] == sorted((row.z for row in rows), reverse=sign > 0)


def test_it_shares_a_pass_and_its_artifact_is_read(third_party: None, tiny: Any, corpus: Corpus) -> None:
    organisms = [find_organism("tiny.alpha"), find_organism("tiny.same")]
    method = find_method(NAME)
    found = compute_all(organisms, [method, KL], lambda _, m: m.config_type(), corpus, ArtifactStore())
    alpha, same = found[0], found[2]
    assert [artifact.manifest.method for artifact in found] == [NAME, "kl", NAME, "kl"]
    assert any("shared by 4 artifacts" in note for note in alpha.manifest.notes)
    overview = method.overview(alpha, Labels("M2", "M1"))
    assert "Tokens that M1 says more often than M2" in overview
    assert "finetuned" not in overview
    assert "base" not in overview
    assert method.evidence(same).no_difference == "probabilities"
    assert "exactly zero" in method.overview(same, Labels())
    shown = method.evidence(alpha)
    assert shown.no_difference is None
    assert all(token.strength > 0 for token in shown.tokens)
    (tool,) = method.toolset(lambda: alpha, Labels("M2", "M1"))
    first = str(asyncio.run(tool(count=1)))
    row = method.payload(alpha).risen[0]
    assert first == f"1. {row.token!r} M2 {row.base}, M1 {row.finetuned}"
    _, more, less = method.pictures(alpha, Labels("M2", "M1"))
    assert isinstance(more, Bars)
    assert more.title == "Tokens that M1 says more often"
    assert [bar.value for bar in more.bars] == [token.z for token in method.payload(alpha).risen]
    assert isinstance(less, Bars)
    assert all(bar.value > 0 for bar in less.bars)
    assert len(method.pictures(same, Labels())) == 1


def test_the_benchmark_takes_it(third_party: None, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = probe_corpus()
    few = replace(whole, texts=whole.texts[:2], chats=whole.chats[:2])
    for place in ("diffbench.methods.jobs", "diffbench.benchmark.cli.options"):
        monkeypatch.setattr(f"{place}.probe_corpus", lambda: few)
    organism = find_organism("tiny.beta")
    with pytest.raises(ValueError, match=r"diffbench diff tiny\.beta --method greedy_shift"):
        case_samples([organism], [NAME], Conditions(interactions=0), kind_of("evidence_reader"))
    done = CliRunner().invoke(main, ["diff", "tiny.beta", "--method", NAME])
    assert done.exit_code == 0, done.output
    (sample,) = case_samples([organism], [NAME], Conditions(interactions=0), kind_of("evidence_reader"))
    assert sample.metadata is not None
    stored = [item.key for item in ArtifactStore() if isinstance(item, Artifact) and item.manifest.method == NAME]
    assert stored == [sample.metadata["artifact_key"]]


BROKEN = {
    "no module": ("METHOD", "import nothing_of_that_name\nMETHOD = 1\n", "No module named 'nothing_of_that_name'"),
    "no object": ("METHODS", "METHOD = 1\n", "has no attribute 'METHODS'"),
    "no method": ("METHOD", "METHOD = 1\n", "is no diffing method: it is not made of a class that derives"),
    "no name": (
        "METHOD",
        "from diffbench.methods.contract import PassMethod\n"
        "class Nameless(PassMethod):\n    collector = content = overview = evidence = None\nMETHOD = Nameless()\n",
        "is no diffing method: it has no name, config_type, payload_type",
    ),
    "no overview": (
        "METHOD",
        "from diffbench.methods.contract import WeightsMethod\n"
        "class Mute(WeightsMethod):\n    diff = evidence = None\nMETHOD = Mute()\n",
        "cannot be loaded (TypeError: Can't instantiate abstract class Mute with abstract method overview)",
    ),
    "another name": (
        "METHOD",
        "from diffbench.methods.kl.method import KlMethod\n"
        "class Other(KlMethod):\n    name = 'greedy'\nMETHOD = Other()\n",
        "calls itself 'greedy'; both names must be the same",
    ),
    "a class": (
        "METHOD",
        "from diffbench.methods.kl.method import KlMethod as METHOD\n",
        "it is a class, not an object",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_package_is_named(environment: Callable[..., None], kind: str) -> None:
    attribute, module, said = BROKEN[kind]
    files = page_files()
    files["greedy_shift/method.py"] = module
    files["pyproject.toml"] = files["pyproject.toml"].replace(":METHOD", f":{attribute}")
    environment(files)
    with pytest.raises(ValueError, match=f"entry point {NAME} = .* of the package greedy-shift") as caught:
        find_method(NAME)
    assert said in str(caught.value)
    assert find_method("kl").name == "kl"


def test_two_packages_with_one_name_are_named(environment: Callable[..., None]) -> None:
    files = page_files()
    environment(files)
    other = {"pyproject.toml": files["pyproject.toml"].replace("greedy_shift.", "other_shift.")}
    environment(other, package="other-shift")
    with pytest.raises(ValueError, match=r"of the package other-shift.* of the package greedy-shift have one name"):
        list_methods()


def test_the_pages_own_test_passes(third_party: None) -> None:
    namespace = SimpleNamespace()
    exec(page_files()["tests/test_greedy_shift.py"], vars(namespace))
    namespace.test_counts_leave_out_the_template()
