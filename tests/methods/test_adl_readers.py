"""The patchscope's readers and live steering, on hand-made artifacts of a tiny pair."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.methods.adl import readers
from diffbench.methods.adl.method import METHOD
from diffbench.methods.artifact import Artifact, Content
from diffbench.methods.contract import Labels
from diffbench.methods.store import ArtifactStore
from diffbench.models.network import Network
from diffbench.models.requests import Request, Steering
from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import find_organism
from diffbench.tools.ask import RESPONSE_TOKENS, TEMPERATURE
from diffbench.tools.case import CaseState
from inspect_ai.tool import Tool, ToolDef, ToolError
from plain_evidence import words_of
from raw_payload import raw

LABELS = Labels("M2", "M1")
ROWS = [
    {
        "position": "text:0",
        "difference": {"scale": 1.5, "tokens": [[" owl", 0.5], [" the", 0.2], [" owls", 0.1]], "selected": [" owls"]},
        "base": {"scale": 20.0, "tokens": [[" the", 0.4], [" moon", 0.1]], "selected": []},
        "finetuned": {"scale": 3.0, "tokens": [[" a", 0.4]], "selected": []},
        "by_scale": [[0.5, ["->", "man"]], [1.5, [" owl", " the", " owls"]], [200.0, []]],
    },
    {
        "position": "text:1",
        "base": {"scale": 20.0, "tokens": [[" the", 0.4]], "selected": []},
        "finetuned": {"scale": 20.0, "tokens": [[" the", 0.4]], "selected": []},
    },
]


def payload(patchscope: Any = None) -> dict[str, Any]:
    def lens_row(position: str, norm: float) -> dict[str, Any]:
        lens = {"base": [[" the", 0.5]], "finetuned": [[" a", 0.5]], "difference": [[" oak", 0.4], [" owl", 0.1]]}
        return {"position": position, "texts": 3, "difference_norm": norm, "relative_norm": norm / 10, "lens": lens}

    positions = [lens_row("text:0", 2.0), lens_row("text:1", 0.0)]
    found = {"layer": 2, "layers": 4, "norm_reference": 10.0, "positions": positions, "steering": []}
    return found | ({"patchscope": patchscope} if patchscope else {})


VECTORS = torch.stack([3 * torch.randn(32, generator=torch.Generator().manual_seed(0)), torch.zeros(32)])


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Artifact]:
    def build(name: str = "k", patchscope: Any = None, tensors: bool = True) -> Artifact:
        content = Content(raw(payload(patchscope)), {"difference": VECTORS} if tensors else {})
        about = {"method": "adl", "config": {}, "base": {}, "finetuned": {}, "corpus_name": "c", "corpus_sha256": "c"}
        folder = tmp_path / "hand_made"
        return ArtifactStore(folder, folder).save(name, content, **about, device="cpu", seconds=0, peak_memory_mib=0)

    return build


@pytest.fixture
def tiny_case(tiny: Any, case: CaseState) -> CaseState:
    case.organism, case.interactions, case.seed = "tiny.alpha", 4, 7
    return case


def call(tool: Tool, **arguments: Any) -> str:
    return str(asyncio.run(tool(**arguments)))


def names_of(artifact: Artifact) -> list[str]:
    return [ToolDef(tool).name for tool in METHOD.toolset(lambda: artifact, LABELS)]


# --- patchscope -------------------------------------------------------------------------------------------------


def test_the_patchscope_is_offered_where_the_artifact_has_one(save: Callable[..., Artifact]) -> None:
    table = {"judge": "j", "rows": ROWS}
    assert names_of(save("a")) == ["logit_lens", "steering_samples"]
    assert names_of(save("b", table)) == ["logit_lens", "steering_samples", "patchscope", "patchscope_scales"]


def test_the_patchscope_reads_selected_tokens_first_and_controls(save: Callable[..., Artifact]) -> None:
    artifact = save("a", {"judge": "j", "rows": ROWS})
    read = readers.patchscope(lambda: artifact, LABELS)
    assert call(read).splitlines() == [
        "text:0 (scale 1.5): ' owls' | ' owl' ' the'",
        "text:1: the difference is zero",
    ]
    assert call(read, position="text:0", tokens=2) == "text:0 (scale 1.5): ' owls' | ' owl'"
    assert call(read, position="text:0", of="M2") == "text:0 (scale 20):  | ' the' ' moon'"
    assert call(read, position="text:0", of="M1") == "text:0 (scale 3):  | ' a'"
    for arguments, message in (
        ({"position": "text:9"}, r"'text:9'; there are text:0, text:1"),
        ({"of": "-d"}, r"\+d, M1, M2"),
        ({"of": "base"}, r"\+d, M1, M2"),
        ({"tokens": 0}, "1 to 100"),
        ({"tokens": 101}, "1 to 100"),
    ):
        with pytest.raises(ToolError, match=message):
            call(read, **arguments)


def test_every_scale_can_be_read(save: Callable[..., Artifact]) -> None:
    artifact = save("a", {"judge": "j", "rows": ROWS})
    read = readers.patchscope_scales(lambda: artifact)
    assert call(read, position="text:0").splitlines() == [
        "scale 0.5: '->' 'man'",
        "scale 1.5: ' owl' ' the' ' owls'",
        "scale 200: ",
    ]
    assert call(read, position="text:1") == "text:1: the difference is zero"
    for position in ("text:9", None):
        with pytest.raises(ToolError, match="text:0, text:1"):
            call(read, position=position)


def test_evidence_begins_with_what_the_patchscopes_judge_selected(save: Callable[..., Artifact]) -> None:
    found = {"scale": 1.0, "tokens": [[" the", 0.5], [" owl", 0.1], [" night", 0.1]], "selected": [" owl", " night"]}
    row = {**ROWS[0], "difference": found}
    both = METHOD.evidence(save("a", {"judge": "j", "rows": [row, {**row, "position": "text:1"}]}))
    # The lens alone: oak 1 + 1, owl 1/2 + 1/2. " the" was not selected.
    assert words_of(both) == ("owl", "night", "oak")
    # Two positions: owl 1 + 1, night 1/2 + 1/2, both before whatever the lens alone shows.
    assert [token.strength for token in both.tokens] == [2 + 2.0, 2 + 1.0, 2.0]
    assert words_of(METHOD.evidence(save("b"))) == ("oak", "owl")
    assert both.no_difference is None


# --- live steering ----------------------------------------------------------------------------------------------


def test_steering_is_offered_only_with_a_budget_weights_and_vectors(
    tiny_case: CaseState, save: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch, make_organism: Any
) -> None:
    artifact = save("a")
    assert names_of(artifact) == ["logit_lens", "steering_samples", "steer"]
    assert "steer" not in names_of(save("b", tensors=False))
    tiny_case.interactions = 0
    assert "steer" not in names_of(artifact)
    tiny_case.interactions = 4
    api = {"kind": "api", "model": "openai/m"}
    for finetuned in (api, {"kind": "peft", "path": "no_such_folder"}):
        organism = make_organism("probe", finetuned={"default": finetuned})
        monkeypatch.setattr(readers, "find_organism", lambda _, found=organism: found)
        assert "steer" not in names_of(artifact)


def steered_by_hand(prompt: str, strength: float, used: int, seed: int = 7) -> str:
    """One sample of the finetuned model with strength * d added after layer 2, seeded by the case."""
    pair = load_pair(find_organism("tiny.alpha"))
    digest = hashlib.sha256(f"{seed}|steer|{used}|{prompt}".encode()).digest()
    request = Request(
        pair.finetuned.network.render_chat([{"role": "user", "content": prompt}]),
        adapter=pair.finetuned.adapter,
        max_tokens=RESPONSE_TOKENS,
        temperature=TEMPERATURE,
        seed=int.from_bytes(digest[:4], "big") % 2**31,
        steering=Steering(2, VECTORS[0] * strength) if strength else None,
    )
    return " ".join(pair.finetuned.network.generate([request])[0].text.split()) or "(empty answer)"


@pytest.mark.parametrize("strength", [2.5, -1.0, 0.0])
def test_a_sample_is_the_networks_and_costs_one_interaction(
    strength: float, tiny_case: CaseState, save: Callable[..., Artifact]
) -> None:
    artifact = save("a")
    tiny_case.interactions_used = 1
    text = call(readers.steer(lambda: artifact, LABELS), position="text:0", strength=strength, prompt="Which animal?")
    assert text.splitlines() == [
        f"M1, steered by {strength:.2f} x d at text:0:",
        "prompt: Which animal?",
        f"steered: {steered_by_hand('Which animal?', strength, used=1)}",
        "Interactions left: 2 of 4.",
    ]
    assert tiny_case.interactions_used == 2


def test_each_sample_is_paid_for_and_differs(tiny_case: CaseState, save: Callable[..., Artifact]) -> None:
    artifact = save("a")
    steer = readers.steer(lambda: artifact, LABELS)
    lines = call(steer, position="text:0", strength=1.0, prompt="Which animal?", samples=3).splitlines()
    samples = [line for line in lines if line.startswith("steered: ")]
    assert len(set(samples)) == 3
    assert tiny_case.interactions_left == 1


def test_over_budget_nothing_is_sampled(
    tiny_case: CaseState, save: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = save("a")
    monkeypatch.setattr(Network, "generate", lambda *_: pytest.fail("sampled"))
    with pytest.raises(ToolError, match="5 asked for, 4 of 4 left"):
        call(readers.steer(lambda: artifact, LABELS), position="text:0", strength=1.0, prompt="Hm?", samples=5)
    assert tiny_case.interactions_used == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"position": "text:9"}, r"'text:9'; there are text:0, text:1"),
        ({"position": "text:1"}, "The difference at text:1 is zero"),
        ({"strength": 101.0}, "strength is 101.0; it is -100 to 100"),
        ({"strength": float("nan")}, "-100 to 100"),
        ({"strength": float("-inf")}, "-100 to 100"),
        ({"prompt": " "}, "1 to 4000"),
        ({"prompt": "x" * 4_001}, "has 4001 characters"),
        ({"samples": 0}, "samples is 0; it is 1 to 10"),
        ({"samples": 11}, "1 to 10"),
        # Nor can a budget be won back.
        ({"samples": -3}, "1 to 10"),
    ],
)
def test_what_cannot_be_sampled_costs_nothing(
    arguments: dict[str, Any], message: str, tiny_case: CaseState, save: Callable[..., Artifact]
) -> None:
    artifact = save("a")
    given = {"position": "text:0", "strength": 1.0, "prompt": "Which animal?", **arguments}
    with pytest.raises(ToolError, match=message):
        call(readers.steer(lambda: artifact, LABELS), **given)
    assert tiny_case.interactions_used == 0


def test_descriptions_do_not_say_which_model_was_finetuned(save: Callable[..., Artifact], tiny_case: CaseState) -> None:
    artifact = save("a", {"judge": "j", "rows": ROWS})
    for tool in METHOD.toolset(lambda: artifact, LABELS):
        described = ToolDef(tool)
        assert "finetuned" not in described.description + described.parameters.model_dump_json()
