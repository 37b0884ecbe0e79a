"""The readers of ``activation_norms`` and ``pca`` on hand-made artifacts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from diffbench.methods.activation_norms import readers as activation_norms
from diffbench.methods.activation_norms.method import METHOD as NORMS
from diffbench.methods.artifact import Artifact
from diffbench.methods.pca import readers as pca
from diffbench.methods.pca.method import METHOD as PCA
from diffbench.methods.registry import Labels
from inspect_ai.tool import Tool, ToolDef, ToolError
from plain_evidence import strata_of, texts_of, words_of

LABELS = Labels()
TEXTS = [["A", " plain", " day"], ["An", " owl", " flies"], ["The", " sudden", " owl"]]


def call(tool: Tool, **arguments: Any) -> str:
    return str(asyncio.run(tool(**arguments)))


def norm_row(text: int, values: list[float]) -> dict[str, Any]:
    return {
        "text": text,
        "mean": sum(values) / 2,
        "max": max(values),
        "positions": [1, 2],
        "difference": values,
        "cosine": [0.5, 0.25],
        "base_norm": [10.0, 20.0],
        "finetuned_norm": [11.0, 21.0],
    }


def norms_payload(values: list[list[float]]) -> dict[str, Any]:
    rows = [norm_row(i, v) for i, v in enumerate(values)]

    def ranked(by: str, sign: int = -1) -> list[int]:
        return sorted(range(len(rows)), key=lambda i: sign * rows[i][by])

    largest = max(v for pair in values for v in pair)
    d = {"mean": largest / 2, "std": 0.0, "min": 0.0, "p50": largest / 2, "p99": largest, "max": largest}
    table = {
        "tokens": 6,
        "difference": d,
        "relative": 0.25,
        "cosine": {"mean": 0.5, "min": 0.25},
        "base_norm": 15.0,
        "finetuned_norm": 16.0,
        "left_out": {"tokens": 3, "mean": 0.0},
        "mean_text": 1.0,
        "mean_chat": 0.0,
        "rows": rows,
        "top_by_max": ranked("max"),
        "top_by_mean": ranked("mean")[:2],
        "least_by_mean": ranked("mean", 1),
    }
    texts = [{"kind": "text", "index": i, "tokens": tokens} for i, tokens in enumerate(TEXTS)]
    return {"texts": 3, "layer_count": 8, "layers": [{"layer": n, **table} for n in (2, 4, 6)], "rows": texts}


@pytest.fixture
def norms(save_artifact: Callable[..., Artifact]) -> Artifact:
    return save_artifact("activation_norms", norms_payload([[0.5, 0.5], [3.0, 2.0], [0.0, 4.0]]))


def test_norm_texts_are_ranked(norms: Artifact) -> None:
    texts = activation_norms.norm_texts(lambda: norms)
    assert call(texts).splitlines() == [
        "Layer 4, norm of the difference:",
        "1. mean 2.5 max 3 [text] An[ owl|3][ flies|2]",
        "2. mean 2 max 4 [text] The[ sudden|0][ owl|4]",
    ]
    assert [line.split(" max ")[1][0] for line in call(texts, order="max", layer=2).splitlines()[1:]] == ["4", "3", "0"]
    assert call(texts, order="least", count=1).splitlines()[1].startswith("1. mean 0.5")
    assert call(texts, start=2, count=20).splitlines()[1].startswith("2. mean 2 ")


@pytest.mark.parametrize("arguments", [{"start": 0}, {"start": 3}, {"count": 0}, {"count": 21}])
def test_norm_texts_out_of_range(arguments: dict[str, int], norms: Artifact) -> None:
    with pytest.raises(ToolError, match="start is 1 to 2 and count 1 to 20"):
        call(activation_norms.norm_texts(lambda: norms), **arguments)


def test_norm_text_shows_every_token_and_hides_which_model_is_the_base(norms: Artifact) -> None:
    text = activation_norms.norm_text(lambda: norms, Labels("M2", "M1"))
    assert call(text, rank=1).splitlines() == [
        "Layer 4; token: |difference|, cosine, |M1|, |M2|",
        "'An': left out",
        "' owl': 3, 0.5, 11, 10",
        "' flies': 2, 0.25, 21, 20",
    ]
    with pytest.raises(ToolError, match="1 to 2"):
        call(text, rank=3)
    with pytest.raises(ToolError, match="layer 3 was not read; there is 2, 4, 6"):
        call(text, rank=1, layer=3)


def test_norms_evidence_is_the_most_against_the_least(norms: Artifact) -> None:
    found = activation_norms.evidence(norms)
    assert (found.no_difference, found.said) == (None, False)
    assert texts_of(found.focus) == ("An owl flies", "The sudden owl")
    assert texts_of(found.contrast) == ("A plain day",)
    assert words_of(found) == ("owl", "day")
    assert "0.250 of the mean activation norm" in found.note


def test_norms_of_identical_models(save_artifact: Callable[..., Artifact]) -> None:
    artifact = save_artifact("activation_norms", norms_payload([[0.0, 0.0]] * 3))
    assert activation_norms.evidence(artifact).no_difference == "activations"
    assert "exactly zero" in NORMS.overview(artifact, LABELS)


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
    lens = pca.pca_lens(lambda: components)
    assert call(lens, component=1).splitlines() == [
        "component 1: 50.00% of the variance, projections from -6 to 5",
        "+: ' owl' ' ow'",
        "-: ' cat' 'cats'",
    ]
    assert call(lens, tokens=1).count("\n") == 5
    for arguments, message in (
        ({"component": 3}, "1 to 2"),
        ({"component": 0}, "1 to 2"),
        ({"tokens": 101}, "1 to 100"),
    ):
        with pytest.raises(ToolError, match=message):
            call(lens, **arguments)


def test_pca_texts_lie_at_the_ends(components: Artifact) -> None:
    texts = pca.pca_texts(lambda: components)
    assert call(texts, component=1, direction="+").splitlines()[0] == "1. 5 [text] An[ owl|5][ flies|1]"
    assert call(texts, component=2, direction="-", count=1) == "1. 6 [text] The[ sudden|6][ owl|-2]"
    assert call(texts, component=1, direction="+", start=3).startswith("3. 0.1 [text]")
    with pytest.raises(ToolError, match="start is 1 to 3 and count 1 to 20"):
        call(texts, component=1, direction="+", start=4)
    with pytest.raises(ToolError, match="'up'"):
        call(texts, component=1, direction="up")


def test_pca_overview_has_a_title_for_each_end(components: Artifact) -> None:
    blocks = PCA.overview(components, LABELS).split("\n\n")
    titles = [block.partition(" (")[0] for block in blocks if block.startswith("Texts at")]
    assert titles == [f"Texts at the {sign} end of component {number}" for number in (1, 2) for sign in "+-"]
    (low,) = [block for block in blocks if block.startswith("Texts at the - end of component 2")]
    assert low.splitlines()[1] == "- [text] The[ sudden|6][ owl|-2]"


def test_pca_text_shows_every_token(components: Artifact) -> None:
    text = pca.pca_text(lambda: components)
    assert call(text, component=1, direction="-", rank=1) == "'The':left out ' sudden':-6 ' owl':2"
    with pytest.raises(ToolError, match="1 to 3"):
        call(text, component=1, direction="-", rank=4)


def test_pca_steering_stands_beside_the_unsteered(components: Artifact) -> None:
    steering = pca.pca_steering(lambda: components, Labels("M2", "M1"))
    assert call(steering, component=2, direction="-", factor=1.5, count=1).splitlines() == [
        "Samples of M1, steered along component 2:",
        "prompt: Who?",
        "unsteered: day Who?",
        "-1.5: owl 2-1.5 Who?",
    ]
    assert call(steering, component=1).count("owl 1") == 8
    assert call(steering, component=1, start=2).count("prompt: ") == 1
    for arguments, message in (
        ({"component": 3}, "component 3; there is 1, 2"),
        ({"component": 1, "factor": 1.0}, r"factor 1\.0; there is 0\.5, 1\.5"),
        ({"component": 1, "direction": "up"}, r"direction up; there is \+, -"),
        ({"component": 1, "start": 3}, "start is 1 to 2"),
        ({"component": 1, "count": 11}, "count 1 to 10"),
    ):
        with pytest.raises(ToolError, match=message):
            call(steering, **arguments)


def test_pca_evidence_is_the_steered_against_the_unsteered(components: Artifact) -> None:
    found = pca.evidence(components)
    assert (found.no_difference, found.said) == (None, True)
    assert len(found.focus) == 16
    assert texts_of(found.contrast) == ("day Who?", "day What?")
    assert {(each.stratum, each.text[-4:]) for each in found.focus} == {
        ("Who?", "Who?"),
        ("What?", "hat?"),
    }
    assert strata_of(found.contrast) == ("Who?", "What?")
    # " cat" is in the lenses of both components.
    assert words_of(found) == ("owl", "owls")
    assert "50.0%" in found.note


def test_pca_evidence_without_samples_is_the_ends_of_the_first_component(
    save_artifact: Callable[..., Artifact],
) -> None:
    payload = pca_payload()
    payload["steering"] = {"prompts": [], "unsteered": [], "tables": []}
    payload["components"][0]["top"], payload["components"][0]["bottom"] = [1], [2, 1]
    artifact = save_artifact("pca", payload)
    found = pca.evidence(artifact)
    assert (texts_of(found.focus), texts_of(found.contrast)) == (("An owl flies",), ("The sudden owl",))
    assert not found.said
    assert call(pca.pca_steering(lambda: artifact, LABELS), component=1).startswith("There are no steered samples")


@pytest.mark.parametrize(("largest", "claim"), [(0.0, "exactly zero"), (3.0, "same at every token")])
def test_pca_without_components(save_artifact: Callable[..., Artifact], largest: float, claim: str) -> None:
    artifact = save_artifact("pca", pca_payload(components=0, largest=largest))
    assert pca.evidence(artifact).no_difference == ("activations" if largest == 0 else None)
    assert claim in PCA.overview(artifact, LABELS)
    assert claim in call(pca.pca_lens(lambda: artifact))
    assert claim in call(pca.pca_texts(lambda: artifact), component=1, direction="+")
    assert claim in call(pca.pca_text(lambda: artifact), component=1, direction="+", rank=1)
    assert claim in call(pca.pca_steering(lambda: artifact, LABELS), component=1)


def test_toolsets_have_names_of_their_own(components: Artifact) -> None:
    tools = [*pca.toolset(lambda: components, LABELS), *activation_norms.toolset(lambda: components, LABELS)]
    names = [ToolDef(tool).name for tool in tools]
    assert names == ["pca_lens", "pca_texts", "pca_text", "pca_steering", "norm_texts", "norm_text"]
