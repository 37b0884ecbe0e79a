from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from diffbench.agents.artifacts import artifact_methods, case_artifact, case_evidence, case_overview
from diffbench.methods.activations.corpus import probe_corpus
from diffbench.methods.adl import readers as adl
from diffbench.methods.adl.method import METHOD as ADL
from diffbench.methods.artifact import Artifact
from diffbench.methods.contract import Labels
from diffbench.methods.kl import readers as kl
from diffbench.methods.kl.method import METHOD as KL
from diffbench.methods.registry import find_method
from diffbench.tools.case import CaseState
from inspect_ai.tool import Tool, ToolDef, ToolError
from plain_evidence import strata_of, texts_of, words_of

LABELS = Labels()


def call(tool: Tool, **arguments: Any) -> str:
    return str(asyncio.run(tool(**arguments)))


def kl_row(kind: str, tokens: list[str], values: list[float]) -> dict[str, Any]:
    return {
        "index": 0,
        "kind": kind,
        "mean": sum(values) / len(values),
        "max": max(values),
        "tokens": tokens,
        "kl": values,
    }


def kl_payload(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def ranked(by: str) -> list[int]:
        return sorted(range(len(rows)), key=lambda i: -rows[i][by])

    values = [value for row in rows for value in row["kl"]]
    summary = {"texts": len(rows), "tokens": len(values), "mean": sum(values) / len(values), "median": 0.0, "p99": 0.0}
    summary |= {"max": max(values), "mean_text": 0.0, "mean_chat": 0.0}
    return {"summary": summary, "rows": rows, "top_by_mean": ranked("mean"), "top_by_max": ranked("max")}


@pytest.fixture
def kl_artifact(save_artifact: Callable[..., Artifact]) -> Artifact:
    rows = [
        kl_row("text", ["A", " plain", " day"], [0.1, 0.1, 0.1]),
        kl_row("chat", ["The", " owl", " flies"], [0.5, 2.0, 0.5]),
        kl_row("text", ["A", " sudden", " owl", "."], [0.0, 0.0, 3.0, 0.0]),
    ]
    return save_artifact("kl", kl_payload(rows))


def adl_payload(norm: float = 2.0) -> dict[str, Any]:
    lens = {
        "base": [[" the", 0.5], [" of", 0.2]],
        "finetuned": [[" a", 0.5]],
        "difference": [[" owl", 0.4], [" the", 0.2], [" ow", 0.1], [" owls", 0.1]],
        "negative_difference": [[" cat", 0.3]],
    }
    if norm == 0:
        lens = {"base": lens["base"], "finetuned": lens["base"]}
    samples = [
        {"prompt": f"prompt {i}", "steered": [f"owls fly {i}\nat night", f"owls {i}"], "unsteered": [f"day {i}"]}
        for i in range(1, 4)
    ]
    row = {"texts": 3, "difference_norm": norm, "relative_norm": norm / 10, "lens": lens}
    return {
        "layer": 2,
        "layers": 4,
        "norm_reference": 10.0,
        "positions": [{"position": "text:0", **row}, {"position": "chat:1", **row}],
        "steering": [{"position": "chat:1", "strength": 3.5, "samples": samples}] if norm else [],
    }


@pytest.fixture
def adl_artifact(save_artifact: Callable[..., Artifact]) -> Artifact:
    return save_artifact("adl", adl_payload())


def test_kl_texts_are_ranked_with_their_divergent_tokens_in_brackets(kl_artifact: Artifact) -> None:
    texts = kl.kl_texts(lambda: kl_artifact)
    lines = call(texts).splitlines()
    assert [line[:2] for line in lines] == ["1.", "2.", "3."]
    assert lines[0] == "1. mean 1.000 max 2.00 [chat] [The|0.5][ owl|2.0][ flies|0.5]"
    assert [line.split(" ")[2] for line in lines] == ["1.000", "0.750", "0.100"]
    assert [line.split(" ")[4] for line in call(texts, order="max").splitlines()] == ["3.00", "2.00", "0.10"]
    assert call(texts, start=2, count=1) == lines[1]
    assert call(texts, start=3, count=20) == lines[2]


@pytest.mark.parametrize("arguments", [{"start": 0}, {"start": 4}, {"count": 0}, {"count": 21}, {"start": -1}])
def test_kl_texts_out_of_range(arguments: dict[str, int], kl_artifact: Artifact) -> None:
    with pytest.raises(ToolError, match="start is 1 to 3 and count 1 to 20"):
        call(kl.kl_texts(lambda: kl_artifact), **arguments)


def test_kl_text_shows_every_token(kl_artifact: Artifact) -> None:
    text = kl.kl_text(lambda: kl_artifact)
    assert call(text, rank=1) == "'The':0.50 ' owl':2.00 ' flies':0.50"
    assert call(text, rank=3) == "'A':0.10 ' plain':0.10 ' day':0.10"
    for rank in (0, 4, -1):
        with pytest.raises(ToolError, match="1 to 3"):
            call(text, rank=rank)


def test_kl_evidence_is_the_most_against_the_least_divergent(kl_artifact: Artifact) -> None:
    found = KL.evidence(kl_artifact)
    assert found.no_difference is None
    assert texts_of(found.focus) == ("The owl flies",)
    assert texts_of(found.contrast) == ("A sudden owl.", "A plain day")


def test_kl_evidence_of_identical_models(save_artifact: Callable[..., Artifact]) -> None:
    artifact = save_artifact("kl", kl_payload([kl_row("text", ["A", " day"], [0.0, 0.0])]))
    found = KL.evidence(artifact)
    assert found.no_difference == "probabilities"
    assert (found.focus, found.contrast) == ((), ())
    assert "exactly the same probabilities" in find_method("kl").overview(artifact, LABELS)


def test_the_logit_lens_reads_positions_and_controls(adl_artifact: Artifact) -> None:
    lens = adl.logit_lens(lambda: adl_artifact, Labels("M2", "M1"))
    both = call(lens).splitlines()
    assert both == [
        "text:0 (relative norm 0.200): ' owl' ' the' ' ow' ' owls'",
        "chat:1 (relative norm 0.200): ' owl' ' the' ' ow' ' owls'",
    ]
    assert call(lens, position="chat:1", tokens=1) == "chat:1 (relative norm 0.200): ' owl'"
    assert "' cat'" in call(lens, of="-d")
    assert call(lens, position="text:0", of="M2").endswith("' the' ' of'")
    assert call(lens, position="text:0", of="M1").endswith("' a'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"position": "text:9"}, r"'text:9'.*text:0, chat:1"),
        ({"of": "base"}, r"\+d, -d, M1, M2"),
        ({"tokens": 0}, "1 to 100"),
        ({"tokens": 101}, "1 to 100"),
    ],
)
def test_the_logit_lens_out_of_range(arguments: dict[str, Any], message: str, adl_artifact: Artifact) -> None:
    # The labels are listed in their own order: base first would give a blind case away.
    with pytest.raises(ToolError, match=message):
        call(adl.logit_lens(lambda: adl_artifact, Labels("M2", "M1")), **arguments)


def test_steering_samples_stand_beside_unsteered_ones(adl_artifact: Artifact) -> None:
    samples = adl.steering_samples(lambda: adl_artifact, LABELS)
    assert call(samples, start=2, count=1).splitlines() == [
        "finetuned, steered by 3.50 x d at chat:1:",
        "prompt: prompt 2",
        "steered: owls fly 2 at night",
        "steered: owls 2",
        "unsteered: day 2",
    ]
    assert call(samples).count("prompt: ") == 3
    for arguments in ({"start": 0}, {"start": 4}, {"count": 0}, {"count": 11}):
        with pytest.raises(ToolError, match="start is 1 to 3 and count 1 to 10"):
            call(samples, **arguments)
    with pytest.raises(ToolError, match=r"No steering at 'text:0'; there is chat:1"):
        call(samples, position="text:0")


def test_adl_evidence_has_samples_and_tokens_that_the_control_lacks(adl_artifact: Artifact) -> None:
    found = ADL.evidence(adl_artifact)
    assert found.no_difference is None
    assert texts_of(found.focus)[:2] == ("owls fly 1\nat night", "owls 1")
    assert texts_of(found.contrast) == ("day 1", "day 2", "day 3")
    # " the" is in the base's own lens, " ow" is shorter than three letters.
    assert words_of(found) == ("owl", "owls")
    assert "0.20 of the typical activation norm (median" in found.note


def test_adl_of_identical_models(save_artifact: Callable[..., Artifact]) -> None:
    artifact = save_artifact("adl", adl_payload(norm=0.0))
    assert ADL.evidence(artifact).no_difference == "activations"
    assert "no steered samples" in call(adl.steering_samples(lambda: artifact, LABELS))
    assert call(adl.logit_lens(lambda: artifact, LABELS)).count("the difference is zero") == 2
    assert "exactly zero" in find_method("adl").overview(artifact, LABELS)


def test_readers_are_found_by_the_methods_name(adl_artifact: Artifact) -> None:
    names = [ToolDef(tool).name for tool in find_method("adl").toolset(lambda: adl_artifact, LABELS)]
    assert names == ["logit_lens", "steering_samples"]


def test_a_missing_artifact_names_the_command(case: CaseState, save_artifact: Callable[..., Artifact]) -> None:
    case.method, case.artifact_key = "kl", "0" * 24
    with pytest.raises(FileNotFoundError, match=r"diffbench diff smol\.cake_bake --method kl"):
        case_artifact(case, "kl")
    case.method = "blackbox"
    assert artifact_methods(case) == []
    assert case_evidence(case) == {}


def test_the_overview_uses_the_cases_labels(case: CaseState, kl_artifact: Artifact) -> None:
    case.method, case.artifact_key = "kl", kl_artifact.key
    case.base_label, case.finetuned_label = "M2", "M1"
    assert "KL(M1 || M2)" in case_overview(case, find_method("kl"))


def test_the_evidence_of_ranked_texts_is_held_against_the_rest_of_the_bundled_corpus(
    save_artifact: Callable[..., Artifact],
) -> None:
    corpus = probe_corpus()
    rows = [kl_row("text", ["T"], [9.0]) | {"index": 5}, kl_row("chat", ["C"], [1.0]) | {"index": 7}]
    payload = kl_payload(rows)
    payload["summary"]["texts"] = len(corpus.texts) + len(corpus.chats)
    artifact = save_artifact("kl", payload)
    manifest = artifact.manifest.model_copy(update={"corpus_sha256": corpus.sha256})
    found = KL.evidence(Artifact(artifact.folder, manifest))
    assert (texts_of(found.focus), strata_of(found.focus)) == ((corpus.texts[5],), ("text",))
    assert len(found.contrast) == len(corpus.texts) + len(corpus.chats) - 1
    assert corpus.texts[5] not in texts_of(found.contrast)
    assert strata_of(found.contrast).count("chat") == len(corpus.chats)
    # Of another corpus, or of a part of this one, only what the artifact kept is known.
    assert texts_of(KL.evidence(artifact).contrast) == ("C",)
    payload["summary"]["texts"] -= 1
    part = save_artifact("kl", payload)
    manifest = part.manifest.model_copy(update={"corpus_sha256": corpus.sha256})
    assert texts_of(KL.evidence(Artifact(part.folder, manifest)).contrast) == ("C",)
