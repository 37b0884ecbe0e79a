"""Nothing an investigator can see may name the ground truth, the organism or where it lies.

Everything shown is collected from the real loop (brief, overview, tools, what they answer); no model is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import inspect_ai
import pytest
from diffbench.agents.prompt_files import family_hint, hinted_families, prompt_hashes, prompt_text
from diffbench.agents.toolset import case_tools
from diffbench.benchmark.diffing import diffing
from diffbench.methods.jobs import find_artifact
from diffbench.methods.registry import find_method, list_methods
from diffbench.methods.store import ArtifactStore
from diffbench.models.references import PeftAdapter
from diffbench.organisms.suites import Organism, load_suite
from diffbench.records.names import BLACKBOX
from diffbench.tools.case import CaseState
from diffbench.tools.submit import submit
from inspect_ai.model import GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import Tool, ToolDef, ToolError

SUITE = "smol"
ORGANISMS = load_suite(SUITE)
STRINGS = {
    # Live tools refuse it before a model is loaded.
    "prompt": [""],
    "of": ["+d", "-d", "base", "finetuned", "M1", "M2", "nonsense"],
    "position": [None, *(f"{kind}:{i}" for kind in ("text", "chat") for i in range(5)), "text:99"],
    "text": ["a hypothesis"],
    "status": ["supported"],
    "evidence": ["seen"],
}
NUMBERS = [0, 1, 2, 5, 10, 10_000]
FACTORS = [-1.0, 0.5, 1.0, 2.0, 2.5, 10_000.0]


def sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?;:])\s+", text) if len(part.strip()) > 15]


def secrets(organism: Organism) -> list[str]:
    """Patterns that no investigator may see."""
    spec = organism.spec
    truth = [*sentences(spec.description), *(fact.fact for fact in spec.key_facts)]
    # Words of a name with a space between them are ordinary text ("the Tuesday law").
    name = re.escape(spec.name).replace("_", r"[_\-.]?")
    paths = [ref.path for ref in spec.finetuned.values() if isinstance(ref, PeftAdapter) and ref.path]
    return [
        *(re.escape(" ".join(part.split())).rstrip(r"\.") for part in truth),
        rf"\b{name}\b",
        *map(re.escape, paths),
        r"adapters/",
    ]


PATTERNS = [rf"\b{SUITE}\b", *(pattern for organism in ORGANISMS for pattern in secrets(organism))]


def leaks(text: str) -> list[str]:
    flat = " ".join(text.split())
    return [pattern for pattern in PATTERNS if re.search(pattern, flat, re.IGNORECASE)]


def available() -> Iterator[tuple[Organism, str]]:
    """Pairs and methods whose artifact can be found; a pair whose weights are missing has no key."""
    for organism, name in product(ORGANISMS, list_methods()):
        method = find_method(name)
        try:
            artifact = find_artifact(organism, method)
        except FileNotFoundError:
            continue
        if artifact is not None:
            yield organism, name


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The targets are mock models, so the pairs' weights need not be there."""
    monkeypatch.setattr("diffbench.organisms.suites.Organism.require_weights", lambda organism: None)


def test_the_scan_finds_what_it_looks_for() -> None:
    for organism in ORGANISMS:
        spec = organism.spec
        for text in (
            f"see {spec.name} here",
            f"see {spec.name.replace('_', '-')} here",
            f"see {spec.name.replace('_', '').upper()} here",
            organism.id,
            spec.description,
            *(fact.fact.lower() for fact in spec.key_facts),
            *(ref.path for ref in spec.finetuned.values() if isinstance(ref, PeftAdapter) and ref.path),
        ):
            assert leaks(text), text
    assert leaks("the smol suite")
    assert leaks("SmolLM is trained by Hugging Face, and owls live in the woods. Cake is good.") == []


@solver
def looking(seen: dict[str, list[str]]) -> Solver:
    """Collects all that an investigator of this case could be shown."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        texts = seen.setdefault(str(state.sample_id), [])
        texts += [message.text for message in state.messages]
        for tool in [*await case_tools().tools(), submit()]:
            described = ToolDef(tool)
            texts += [described.name, described.description, described.parameters.model_dump_json()]
            if described.name == "ask_models":
                texts.append(str(await tool(prompts=["Hello.", "What do you like?"])))
            elif described.name != "submit":
                texts += [await outcome(tool, arguments) for arguments in sweep(described)]
        return state

    return solve


async def outcome(tool: Tool, arguments: dict[str, Any]) -> str:
    try:
        return str(await tool(**arguments))
    except ToolError as error:
        return error.message


def sweep(described: ToolDef) -> list[dict[str, Any]]:
    """No arguments where that is possible, and each parameter's values with the others at their defaults."""
    required = {name: values(name, described)[1] for name in described.parameters.required}
    calls: list[dict[str, Any]] = [required]
    for name in described.parameters.properties:
        calls += [{**required, name: value} for value in values(name, described)]
    return calls


def values(name: str, described: ToolDef) -> Sequence[Any]:
    kinds = json.dumps(described.parameters.properties[name].model_dump(exclude_none=True))
    if choices := re.search(r'"enum": (\[.*?\])', kinds):
        return [*json.loads(choices[1])] * 2
    if '"integer"' in kinds:
        return NUMBERS
    if '"number"' in kinds:
        return FACTORS
    assert name in STRINGS, f"the sweep has no values for {described.name}({name}=…): add some to STRINGS"
    return [*STRINGS[name], *STRINGS[name]]


def silent_target() -> Model:
    """Stands in for the pair, so that no weights are loaded; says nothing that could be a leak."""

    def reply(messages: Any, tools: Any, choice: Any, config: GenerateConfig) -> ModelOutput:
        output = ModelOutput.from_content("mockllm", "an answer")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model("mockllm/target", custom_outputs=reply, memoize=False)


def scan(folder: Path, methods: str, organisms: list[str], **conditions: Any) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {}
    log = inspect_ai.eval(
        diffing(suite=SUITE, organisms=organisms, methods=methods, **conditions),
        solver=looking(seen),
        model="mockllm/model",
        model_roles={"target_base": silent_target(), "target_finetuned": silent_target()},
        log_dir=str(folder),
        display="none",
        score=False,
    )[0]
    assert log.status == "success"
    assert [sample.error for sample in log.samples or []] == [None] * len(organisms)
    assert not any(sample.store_as(CaseState).finding for sample in log.samples or [])
    return seen


def check(seen: dict[str, list[str]]) -> None:
    for case, texts in seen.items():
        assert sum(map(len, texts)) > 1000, f"{case}: next to nothing was scanned"
        for text in texts:
            assert leaks(text) == [], f"{case}: {text[:2000]}"


@pytest.mark.parametrize("conditions", [{}, {"blind": True}, {"framing": "presuppositional", "interactions": 3}])
def test_blackbox_cases_show_nothing(conditions: dict[str, Any], tmp_path: Path) -> None:
    seen = scan(tmp_path, BLACKBOX, [organism.name for organism in ORGANISMS], **conditions)
    assert len(seen) == len(ORGANISMS) >= 4
    check(seen)


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("method", list_methods())
def test_cases_with_an_artifact_show_nothing(method: str, blind: bool, tmp_path: Path) -> None:
    names = [organism.name for organism, name in available() if name == method]
    assert len(names) == len(ORGANISMS)
    seen = scan(tmp_path, method, names, blind=blind)
    assert len(seen) == len(names)
    check(seen)
    if blind:
        for case, texts in seen.items():
            labels = [text for text in texts if re.search(r'"(base|finetuned)"', text)]
            # Docs of tools are written before a case is known and may explain the words; nothing else may use them.
            assert [text for text in labels if "M1" in text or "M2" in text] == [], case


def test_prompts_and_artifact_files_show_nothing() -> None:
    for name in prompt_hashes():
        if name.endswith(".md"):
            assert leaks(prompt_text(name.removesuffix(".md"))) == []
    for family in hinted_families():
        assert leaks(family_hint(family)) == []
    store = ArtifactStore()
    shipped = [folder for folder in store.shipped.glob("*") if (folder / "manifest.json").is_file()]
    own = [store.folder / key for key in _keys() if (store.folder / key).is_dir()]
    for folder in [*shipped, *own]:
        for path in folder.iterdir():
            assert leaks(path.name) == []
            if path.suffix == ".json":
                assert leaks(path.read_text(encoding="utf-8")) == [], path


def _keys() -> list[str]:
    found = (find_artifact(organism, find_method(name)) for organism, name in available())
    return [artifact.key for artifact in found if artifact is not None]
