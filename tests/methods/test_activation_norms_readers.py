"""The readers of ``activation_norms`` on hand-made artifacts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from diffbench.methods.activation_norms import readers as activation_norms
from diffbench.methods.activation_norms.method import METHOD as NORMS
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels
from inspect_ai.tool import Tool, ToolDef, ToolError
from plain_evidence import texts_of, words_of

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
    d = {"mean": largest / 2, "std": 0.0, "min": 0.0, **{f"p{p}": largest / 2 for p in (25, 50, 75, 90, 95)}}
    d |= {"p99": largest, "max": largest}
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
    found = NORMS.evidence(norms)
    assert (found.no_difference, found.said) == (None, False)
    assert texts_of(found.focus) == ("An owl flies", "The sudden owl")
    assert texts_of(found.contrast) == ("A plain day",)
    assert words_of(found) == ("owl", "day")
    assert "0.250 of the mean activation norm" in found.note


def test_norms_of_identical_models(save_artifact: Callable[..., Artifact]) -> None:
    artifact = save_artifact("activation_norms", norms_payload([[0.0, 0.0]] * 3))
    assert NORMS.evidence(artifact).no_difference == "activations"
    assert "exactly zero" in NORMS.overview(artifact, LABELS)


def test_the_toolset_has_names_of_its_own(norms: Artifact) -> None:
    tools = NORMS.toolset(lambda: norms, LABELS)
    names = [ToolDef(tool).name for tool in tools]
    assert names == ["norm_texts", "norm_text"]
