"""The panels of each method on hand-made artifacts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from diffbench.methods.activation_norms.method import METHOD as activation_norms
from diffbench.methods.activations.heat import MOST_TEXTS, MOST_TOKENS, HeatRow, along, heat_group
from diffbench.methods.adl.method import METHOD as ADL
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels, Method
from diffbench.methods.diff_mining.method import METHOD as diff_mining
from diffbench.methods.kl.method import METHOD as kl
from diffbench.methods.pca.method import METHOD as PCA
from diffbench.methods.registry import find_method, list_methods
from diffbench.methods.weight_amplification.method import METHOD as weight_amplification
from diffbench.views.panels import (
    Bar,
    Bars,
    Group,
    HeatText,
    Lines,
    Note,
    Row,
    SideBySide,
    TokenTable,
)

LABELS = Labels("M2", "M1")


def titles(pictures: Any) -> list[str]:
    return [picture.title for picture in pictures]


def token(text: str, value: float) -> dict[str, Any]:
    return {"id": 1, "token": text, "value": value, "mean": 1.0}


def test_texts_of_a_group_share_one_scale() -> None:
    # 200 values from 0.01 to 2: the 99th percentile is the 198th.
    rows = [HeatRow(f"{i}", ["t"] * 100, [(100 * i + j + 1) / 100 for j in range(100)]) for i in range(2)]
    group = heat_group("g", rows, "nats")
    assert [heat.full for heat in group.panels if isinstance(heat, HeatText)] == [1.98, 1.98]
    assert "full from 1.98 nats on" in group.note
    sparse = heat_group("g", [HeatRow("t", ["a"] * 1000, [0.0] * 999 + [3.0])], "nats").panels[0]
    assert isinstance(sparse, HeatText)
    assert sparse.full == 3.0
    assert heat_group("g", [HeatRow("t", ["a"], [0.0])], "nats").note == ""


def test_many_and_long_texts_are_cut_and_it_is_said() -> None:
    values = [0.0] * 1000
    values[700] = 5.0
    group = heat_group("g", [HeatRow("t", [str(i) for i in range(1000)], values)] * (MOST_TEXTS + 7), "nats")
    assert f"{MOST_TEXTS} of the {MOST_TEXTS + 7} texts" in group.note
    (heat, *others) = group.panels
    assert len(others) == MOST_TEXTS - 1
    assert isinstance(heat, HeatText)
    assert len(heat.tokens) == MOST_TOKENS
    assert heat.tokens[heat.strongest()[0]] == "700"
    assert f"of {len(values)}" in heat.note
    assert along(4, [1, 3], [0.5, 2.0]) == [None, 0.5, None, 2.0]


def kl_payload(*rows: tuple[list[str], list[float]]) -> dict[str, Any]:
    values = [value for _, found in rows for value in found]
    summary = {"texts": len(rows), "tokens": len(values), "median": 0.5, "p99": 2.0, "mean_text": 0.1, "mean_chat": 0.2}
    summary |= {"mean": sum(values) / len(values), "max": max(values)}
    shown = [
        {"index": i, "kind": "text", "mean": sum(v) / len(v), "max": max(v), "tokens": t, "kl": v}
        for i, (t, v) in enumerate(rows)
    ]
    return {"summary": summary, "rows": shown, "top_by_mean": [0, 1][: len(rows)], "top_by_max": [1, 0][-len(rows) :]}


def test_kl(save_artifact: Callable[..., Artifact]) -> None:
    rows = (["An", " owl"], [1.0, 1.5]), (["A", " day", "."], [0.0, 2.0, 0.0])
    summary, by_mean, by_max = kl.pictures(save_artifact("kl", kl_payload(*rows)), LABELS)
    assert isinstance(summary, Note)
    assert "KL(M1 || M2)" in summary.text
    assert "maximum 2.000" in summary.text
    assert isinstance(by_mean, Group)
    assert isinstance(by_max, Group)
    assert titles(by_mean.panels) == ["1. text, mean 1.250, max 1.50", "2. text, mean 0.667, max 2.00"]
    first = by_max.panels[0]
    assert isinstance(first, HeatText)
    assert (first.tokens, first.values, first.full) == (("A", " day", "."), (0.0, 2.0, 0.0), 2.0)


def test_adl(save_artifact: Callable[..., Artifact]) -> None:
    lens = {
        "base": [[" the", 0.5]],
        "finetuned": [[" a", 0.5]],
        "difference": [[" the", 0.4], [" owl", 0.2]],
        "negative_difference": [[" cat", 0.3]],
    }
    same = {"base": lens["base"], "finetuned": lens["base"]}
    positions = [
        {"position": "text:0", "texts": 3, "difference_norm": 2.0, "relative_norm": 0.2, "lens": lens},
        {"position": "text:1", "texts": 3, "difference_norm": 0.0, "relative_norm": 0.0, "lens": same},
    ]
    found = {"scale": 1.5, "tokens": [[" owl", 0.5], [" the", 0.2]], "selected": [" the"]}
    patchscope = {"judge": "stand-in", "rows": [{"position": "text:0", "difference": found, "base": found}]}
    samples = [{"prompt": "Who?", "steered": ["owls", "hoot"], "unsteered": ["day"]}]
    payload = {"layer": 2, "layers": 4, "norm_reference": 10.0, "positions": positions}
    payload |= {"steering": [{"position": "text:0", "strength": 2.5, "samples": samples}]}
    shown = ADL.pictures(save_artifact("adl", {**payload, "patchscope": patchscope}), LABELS)
    _, norms, lenses, patched, steering, controls = shown
    assert isinstance(norms, Bars)
    assert norms.bars == (Bar("text:0", 0.2), Bar("text:1", 0.0))
    assert isinstance(lenses, Group)
    plus = lenses.panels[0]
    assert isinstance(plus, TokenTable)
    # What the base's own activation shows there too is not marked.
    assert [(t.token, t.value, t.marked) for t in plus.columns[0].tokens] == [(" the", 0.4, False), (" owl", 0.2, True)]
    assert (plus.columns[1].tokens, plus.columns[1].note) == ((), "the difference is zero")
    assert isinstance(patched, Group)
    table, _, missing = patched.panels
    assert isinstance(table, TokenTable)
    assert [t.token for t in table.columns[0].tokens if t.marked] == [" the"]
    assert isinstance(missing, TokenTable)
    assert missing.columns[0].note == "the vector is zero"
    assert isinstance(steering, Group)
    assert isinstance(steering.panels[0], SideBySide)
    assert steering.panels[0].columns == ("unsteered", "steered by 2.50 x d")
    assert steering.panels[0].rows == (Row("Who?", (("day",), ("owls", "hoot"))),)
    assert isinstance(controls, Group)
    assert titles(controls.panels) == ["Logit lens of M2", "Logit lens of M1"]
    assert "Patchscope" not in titles(ADL.pictures(save_artifact("adl", payload), LABELS))


def norms_payload(*values: float) -> dict[str, Any]:
    """Layers 2 and 4; ``values`` are the mean, the percentiles and the maximum of the difference."""
    row = {"text": 0, "mean": 2.5, "max": 3.0, "positions": [1, 2], "difference": [3.0, 2.0], "cosine": [0.9, 0.5]}
    row |= {"base_norm": [1.0, 2.0], "finetuned_norm": [3.0, 4.0]}
    d = dict(zip(("mean", "p25", "p50", "p75", "p90", "p95", "p99", "max"), values, strict=True))
    about = {"difference": {**d, "std": 0.5, "min": 0.0}, "relative": 0.25, "cosine": {"mean": 0.9, "min": 0.5}}
    about |= {"tokens": 2, "base_norm": 1.5, "finetuned_norm": 3.5, "left_out": {"tokens": 1, "mean": 9.0}}
    about |= {"mean_text": 0.0, "mean_chat": 2.5, "rows": [row]}
    about |= {"top_by_max": [0], "top_by_mean": [0], "least_by_mean": [0]}
    texts = [{"kind": "chat", "index": 0, "tokens": ["An", " owl", "."]}]
    return {"texts": 1, "layer_count": 8, "layers": [{"layer": n, **about} for n in (2, 4)], "rows": texts}


def test_activation_norms(save_artifact: Callable[..., Artifact]) -> None:
    payload = norms_payload(2.5, 2.2, 2.4, 2.6, 2.7, 2.8, 2.9, 3.0)
    _, norms, relative, cosine, second, fourth = activation_norms.pictures(save_artifact("n", payload), LABELS)
    assert isinstance(norms, Lines)
    assert norms.x == ("2", "4")
    assert {s.name: s.values[0] for s in norms.series} == {
        "25th percentile": 2.2,
        "50th percentile": 2.4,
        "75th percentile": 2.6,
        "90th percentile": 2.7,
        "95th percentile": 2.8,
        "99th percentile": 2.9,
        "mean": 2.5,
        "maximum": 3.0,
    }
    assert norms.log
    assert isinstance(relative, Lines)
    assert relative.series[0].values == (0.25, 0.25)
    assert isinstance(cosine, Lines)
    assert [s.values for s in cosine.series] == [(0.9, 0.9), (0.5, 0.5)]
    assert titles([second, fourth]) == ["Layer 2", "Layer 4"]
    assert isinstance(second, Group)
    assert isinstance(second.panels[2], Group)
    heat = second.panels[2].panels[0]
    assert isinstance(heat, HeatText)
    assert heat.values == (None, 3.0, 2.0)


def pca_payload() -> dict[str, Any]:
    row = {"text": 0, "max": 5.0, "min": -6.0, "projections": [5.0, -6.0]}
    tables = [
        {
            "component": n,
            "explained_variance": 4.0 * ratio,
            "explained_variance_ratio": ratio,
            "maximum": 5.0,
            "minimum": -6.0,
            "lens": {"+": [[" owl", 0.4]], "-": [[" cat", 0.3]]},
            "rows": [row],
            "top": [0],
            "bottom": [0],
        }
        for n, ratio in ((1, 0.5), (2, 0.25))
    ]
    steered = {"component": 1, "sign": "-", "factor": 0.5, "strength": 3.0, "samples": [["owls"]]}
    return {
        "layer": 4,
        "layer_count": 8,
        "texts": 1,
        "tokens": 2,
        "largest_difference": 3.0,
        "mean_norm": 1.0,
        "components": tables,
        "rows": [{"kind": "text", "index": 0, "tokens": ["An", " owl", "."], "positions": [1, 2]}],
        "steering": {"prompts": ["Who?"], "unsteered": [["day"]], "tables": [steered]},
    }


def test_pca(save_artifact: Callable[..., Artifact]) -> None:
    _, variance, first, second = PCA.pictures(save_artifact("pca", pca_payload()), LABELS)
    assert isinstance(variance, Lines)
    assert {s.name: s.values for s in variance.series} == {"component alone": (0.5, 0.25), "cumulative": (0.5, 0.75)}
    assert isinstance(first, Group)
    lens, plus, _, samples = first.panels
    assert isinstance(lens, TokenTable)
    assert [(c.name, c.tokens[0].token) for c in lens.columns] == [("+c", " owl"), ("-c", " cat")]
    assert isinstance(plus, Group)
    heat = plus.panels[0]
    assert isinstance(heat, HeatText)
    assert (heat.values, heat.signed, heat.full) == ((None, 5.0, -6.0), True, 6.0)
    assert isinstance(samples, SideBySide)
    assert (samples.columns, samples.rows) == (("unsteered", "-0.5"), (Row("Who?", (("day",), ("owls",))),))
    assert isinstance(second, Group)
    assert len(second.panels) == 3


def mined(largest: float) -> dict[str, Any]:
    topics = {"positions": 50, "groups": [{"share": 0.6, "dominant": 0.5, "tokens": [token(" owl", 0.3)]}]}
    about = {"texts": 2, "positions": 50, "largest": largest, "topics": topics}
    return {**about, "occurrence": [token(" owl", 0.5)], "fraction_positive": [token(" bird", 0.9)]}


def test_diff_mining(save_artifact: Callable[..., Artifact]) -> None:
    payload = {"top_k": 100, "layer": None, "sets": {"text": mined(4.0), "chat": mined(0.0)}}
    _, texts, chats = diff_mining.pictures(save_artifact("diff_mining", payload), LABELS)
    assert isinstance(texts, Group)
    topics, occurrence, positive = texts.panels
    assert isinstance(topics, TokenTable)
    assert topics.columns[0].tokens[0].token == " owl"
    assert "60% of the raise" in topics.columns[0].note
    assert isinstance(occurrence, Bars)
    assert isinstance(positive, Bars)
    assert (occurrence.bars, positive.bars) == ((Bar(" owl", 0.5),), (Bar(" bird", 0.9),))
    assert isinstance(chats, Group)
    assert isinstance(chats.panels[0], Note)


def test_weight_amplification(save_artifact: Callable[..., Artifact]) -> None:
    models = [
        {"side": "base", "looping": 0.0},
        {"side": "finetuned", "looping": 0.0},
        {"w": 2.5, "modules": "all", "layers": [0, 2], "looping": 0.25},
    ]
    rows = [{"prompt": "Who?", "samples": [["day"], ["a bird"], ["owls", ""]]}]
    payload = {"identical": False, "layers": 4, "drift": None, "models": models, "prompts": rows}
    _, loops, samples = weight_amplification.pictures(save_artifact("weight_amplification", payload), LABELS)
    assert isinstance(loops, Bars)
    assert loops.bars[2] == Bar("w=2.5 (layers 0-2)", 0.25)
    assert isinstance(samples, SideBySide)
    assert samples.columns == ("M2", "M1", "w=2.5 (layers 0-2)")
    assert samples.rows == (Row("Who?", (("day",), ("a bird",), ("owls", ""))),)


def test_identical_models_are_one_note(save_artifact: Callable[..., Artifact]) -> None:
    nothing: dict[str, Any] = {"layer": 2, "layers": 4, "norm_reference": 1.0, "steering": []}
    norms: dict[str, Any] = {"texts": 3, "difference_norm": 0.0, "relative_norm": 0.0}
    nothing["positions"] = [{"position": "text:0", **norms, "lens": {"base": [], "finetuned": []}}]
    same = {"identical": True, "layers": 4, "drift": 0.0, "models": [], "prompts": []}
    empty: list[tuple[Any, dict[str, Any], str]] = [
        (kl, kl_payload((["a", "b"], [0.0, 0.0])), "exactly the same probabilities"),
        (ADL, nothing, "exactly zero"),
        (activation_norms, norms_payload(*[0.0] * 8), "exactly zero"),
        (PCA, {**pca_payload(), "components": [], "largest_difference": 0}, "exactly zero"),
        (diff_mining, {"top_k": 9, "layer": 3, "sets": {"text": mined(0.0)}}, "the same logits"),
        (weight_amplification, same, "nothing to amplify"),
    ]
    for readers, payload, claim in empty:
        (note,) = readers.pictures(save_artifact("m", payload), LABELS)
        assert isinstance(note, Note)
        assert claim in note.text


def test_pictures_are_json(save_artifact: Callable[..., Artifact]) -> None:
    shown = [asdict(picture) for picture in PCA.pictures(save_artifact("pca", pca_payload()), LABELS)]
    assert json.loads(json.dumps(shown))[2]["panels"][1]["panels"][0]["values"] == [None, 5.0, -6.0]


def test_all_installed_methods_have_pictures_of_their_own() -> None:
    assert all(type(find_method(name)).pictures is not Method.pictures for name in list_methods())
