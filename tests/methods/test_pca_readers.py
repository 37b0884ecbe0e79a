"""The readers of ``pca`` on hand-made artifacts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels
from diffbench.methods.pca.method import METHOD
from inspect_ai.tool import Tool, ToolDef, ToolError

LABELS = Labels()
TEXTS = [["A", " plain", " day"], ["An", " owl", " flies"], ["The", " sudden", " owl"]]


def call(name: str, artifact: Artifact, labels: Labels = LABELS, **arguments: Any) -> str:
    """The answer of one of the tools over an artifact."""
    tools: dict[str, Tool] = {ToolDef(tool).name: tool for tool in METHOD.toolset(lambda: artifact, labels)}
    return str(asyncio.run(tools[name](**arguments)))


def component(number: int) -> dict[str, Any]:
    rows = [
        {"text": i, "max": max(values), "min": min(values), "projections": values}
        for i, values in enumerate([[0.1, -0.2], [5.0, 1.0], [-6.0, 2.0]])
    ]
    return {
        "component": number,
        "explained_variance": 4.0 / number,
        "explained_variance_ratio": 0.5 / number,
        "maximum": 5.0,
        "minimum": -6.0,
        "lens": {"+": [[f" owl{'s' * (number - 1)}", 0.4], [" ow", 0.1]], "-": [[" cat", 0.3], ["cats", 0.2]]},
        "rows": rows,
        "top": [1, 2, 0],
        "bottom": [2, 0, 1],
    }


def pca_payload(components: int = 2, largest: float = 3.0) -> dict[str, Any]:
    tables = [component(n) for n in range(1, components + 1)]
    prompts = ["Who?", "What?"] if tables else []
    steered = [
        {
            "component": table["component"],
            "sign": sign,
            "factor": factor,
            "strength": 6 * factor,
            "samples": [[f"owl {table['component']}{sign}{factor:g}\n{prompt}"] for prompt in prompts],
        }
        for table in tables
        for sign in "+-"
        for factor in (0.5, 1.5)
    ]
    return {
        "layer": 4,
        "layer_count": 8,
        "texts": 3,
        "tokens": 9,
        "largest_difference": largest,
        "mean_norm": largest / 3,
        "components": tables,
        "rows": [{"kind": "text", "index": i, "tokens": t, "positions": [1, 2]} for i, t in enumerate(TEXTS)],
        "steering": {"prompts": prompts, "unsteered": [[f"day {p}"] for p in prompts], "tables": steered},
    }


@pytest.fixture
def components(save_artifact: Callable[..., Artifact]) -> Artifact:
    return save_artifact("pca", pca_payload())


def test_pca_lens_reads_both_directions(components: Artifact) -> None:
    assert call("pca_lens", components, component=1).splitlines() == [
        "component 1: 50.00% of the variance, projections from -6 to 5",
        "+: ' owl' ' ow'",
        "-: ' cat' 'cats'",
    ]
    assert call("pca_lens", components, tokens=1).count("\n") == 5
    for arguments, message in (
        ({"component": 3}, "1 to 2"),
        ({"component": 0}, "1 to 2"),
        ({"tokens": 101}, "1 to 100"),
    ):
        with pytest.raises(ToolError, match=message):
            call("pca_lens", components, **arguments)


def test_pca_texts_lie_at_the_ends(components: Artifact) -> None:
    assert (
        call("pca_texts", components, component=1, direction="+").splitlines()[0] == "1. 5 [text] An[ owl|5][ flies|1]"
    )
    assert call("pca_texts", components, component=2, direction="-", count=1) == "1. 6 [text] The[ sudden|6][ owl|-2]"
    assert call("pca_texts", components, component=1, direction="+", start=3).startswith("3. 0.1 [text]")
    with pytest.raises(ToolError, match="start is 1 to 3 and count 1 to 20"):
        call("pca_texts", components, component=1, direction="+", start=4)
    with pytest.raises(ToolError, match="'up'"):
        call("pca_texts", components, component=1, direction="up")


def test_pca_overview_has_a_title_for_each_end(components: Artifact) -> None:
    blocks = METHOD.overview(components, LABELS).split("\n\n")
    titles = [block.partition(" (")[0] for block in blocks if block.startswith("Texts at")]
    assert titles == [f"Texts at the {sign} end of component {number}" for number in (1, 2) for sign in "+-"]
    (low,) = [block for block in blocks if block.startswith("Texts at the - end of component 2")]
    assert low.splitlines()[1] == "- [text] The[ sudden|6][ owl|-2]"


def test_pca_text_shows_every_token(components: Artifact) -> None:
    assert call("pca_text", components, component=1, direction="-", rank=1) == "'The':left out ' sudden':-6 ' owl':2"
    with pytest.raises(ToolError, match="1 to 3"):
        call("pca_text", components, component=1, direction="-", rank=4)


def test_pca_steering_stands_beside_the_unsteered(components: Artifact) -> None:
    blind = Labels("M2", "M1")
    assert call("pca_steering", components, blind, component=2, direction="-", factor=1.5, count=1).splitlines() == [
        "Samples of M1, steered along component 2:",
        "prompt: Who?",
        "unsteered: day Who?",
        "-1.5: owl 2-1.5 Who?",
    ]
    assert call("pca_steering", components, blind, component=1).count("owl 1") == 8
    assert call("pca_steering", components, blind, component=1, start=2).count("prompt: ") == 1
    for arguments, message in (
        ({"component": 3}, "component 3; there is 1, 2"),
        ({"component": 1, "factor": 1.0}, r"factor 1\.0; there is 0\.5, 1\.5"),
        ({"component": 1, "direction": "up"}, r"direction up; there is \+, -"),
        ({"component": 1, "start": 3}, "start is 1 to 2"),
        ({"component": 1, "count": 11}, "count 1 to 10"),
    ):
        with pytest.raises(ToolError, match=message):
            call("pca_steering", components, blind, **arguments)


def test_pca_evidence_is_the_steered_against_the_unsteered(components: Artifact) -> None:
    found = METHOD.evidence(components)
    assert (found.no_difference, found.said) == (None, True)
    assert len(found.focus) == 16
    assert {(row.stratum, row.text[-4:]) for row in found.focus} == {("Who?", "Who?"), ("What?", "hat?")}
    assert [(row.stratum, row.text) for row in found.contrast] == [("Who?", "day Who?"), ("What?", "day What?")]
    # " cat" is in the lenses of both components.
    assert [(row.token, row.strength) for row in found.tokens] == [("owl", 1.0), ("owls", 1.0)]
    assert "50.0%" in found.note


def test_pca_evidence_without_samples_is_the_ends_of_the_first_component(
    save_artifact: Callable[..., Artifact],
) -> None:
    payload = pca_payload()
    payload["steering"] = {"prompts": [], "unsteered": [], "tables": []}
    payload["components"][0]["top"], payload["components"][0]["bottom"] = [1], [2, 1]
    artifact = save_artifact("pca", payload)
    found = METHOD.evidence(artifact)
    assert [row.text for row in found.focus] == ["An owl flies"]
    assert [row.text for row in found.contrast] == ["The sudden owl"]
    assert not found.said
    assert call("pca_steering", artifact, component=1).startswith("There are no steered samples")


@pytest.mark.parametrize(("largest", "claim"), [(0.0, "exactly zero"), (3.0, "same at every token")])
def test_pca_without_components(save_artifact: Callable[..., Artifact], largest: float, claim: str) -> None:
    artifact = save_artifact("pca", pca_payload(components=0, largest=largest))
    assert METHOD.evidence(artifact).no_difference == ("activations" if largest == 0 else None)
    assert claim in METHOD.overview(artifact, LABELS)
    assert claim in call("pca_lens", artifact)
    assert claim in call("pca_texts", artifact, component=1, direction="+")
    assert claim in call("pca_text", artifact, component=1, direction="+", rank=1)
    assert claim in call("pca_steering", artifact, component=1)


def test_the_toolset_has_names_of_its_own(components: Artifact) -> None:
    names = [ToolDef(tool).name for tool in METHOD.toolset(lambda: components, LABELS)]
    assert names == ["pca_lens", "pca_texts", "pca_text", "pca_steering"]
