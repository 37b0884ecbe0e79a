"""Named targets from every kind of reference: what each computes, how far it moved, and which weights it is."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffbench.models import loading, references
from diffbench.models.references import AdaptedModel
from diffbench.models.targets import Pair, Targets, load_targets
from diffbench.organisms.loading import load_pair
from diffbench.organisms.spec import OrganismSpec
from diffbench.organisms.suites import Organism
from diffbench.records.errors import MendableError
from safetensors.torch import load_file, save_file

IDS = torch.tensor([[5, 9, 40, 41, 7]])
Weights = Mapping[str, torch.Tensor]


def moved(base: Weights, finetuned: Weights) -> float:
    """sqrt(sum |F - B|^2 / sum |B|^2) over the matrices that differ, in float64."""
    changed = [name for name in base if not torch.equal(base[name], finetuned[name])]
    change = sum(float((finetuned[name].double() - base[name].double()).square().sum()) for name in changed)
    return math.sqrt(change / sum(float(base[name].double().square().sum()) for name in changed))


def own_weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def local(folder: Path) -> dict[str, str]:
    return {"kind": "local", "path": str(folder)}


def adapted(tiny: Any, adapter: str) -> dict[str, Any]:
    return {
        "kind": "adapted",
        "model": local(tiny.base),
        "adapter": {"kind": "peft", "path": str(tiny.adapters / adapter)},
    }


@pytest.fixture
def organism_of(make_organism: Callable[..., Any]) -> Callable[..., Any]:
    """``organism_of(name, base, finetuned)``: from two references."""

    def changed(name: str, base: dict[str, Any], finetuned: dict[str, Any]) -> Any:
        plain = make_organism(name, finetuned={"default": {"kind": "base"}})
        fields = plain.spec.model_dump() | {"base": base, "finetuned": {"default": finetuned}}
        return Organism(plain.suite, OrganismSpec.model_validate(fields), plain.folder)

    return changed


@pytest.fixture
def make_difference(tiny: Any, tmp_path: Path) -> Callable[..., Path]:
    """``make_difference(name, scale)``: a folder with a random change of two of the tiny base's matrices."""

    def build(name: str, scale: float = 0.1) -> Path:
        generator, weights = torch.Generator().manual_seed(5), load_file(tiny.base / "model.safetensors")
        names = ("model.layers.0.mlp.down_proj.weight", "model.layers.3.self_attn.k_proj.weight")
        changes = {n: (scale * torch.randn(weights[n].shape, generator=generator)).bfloat16() for n in names}
        folder = tmp_path / "differences" / name
        folder.mkdir(parents=True)
        save_file(changes, folder / "difference.safetensors")
        return folder

    return build


@pytest.fixture
def changed_copy(base_copy: Path) -> Path:
    """The tiny base with one matrix doubled and one element of another changed."""
    weights = load_file(base_copy / "model.safetensors")
    weights["model.layers.1.self_attn.q_proj.weight"] *= 2
    weights["model.layers.2.mlp.up_proj.weight"][3, 4] += 1
    save_file(weights, base_copy / "model.safetensors", metadata={"format": "pt"})
    return base_copy


def logits_of(pair: Pair) -> list[torch.Tensor]:
    logits = []
    for target in pair:
        with target.running() as model:
            logits.append(model(IDS).logits)
    return logits


# --- adapted models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "finetuned"), [("alpha", "half"), ("alpha", "beta"), ("beta", "alpha")])
def test_drift_between_two_adapters_is_that_of_the_merged_weights(
    tiny: Any, organism_of: Callable[..., Any], merged: Callable[..., Any], base: str, finetuned: str
) -> None:
    # beta adapts two of the seven matrices that alpha adapts: those that only one of them touches count as well.
    pair = load_pair(organism_of(f"twins_{base}_{finetuned}", adapted(tiny, base), adapted(tiny, finetuned)), "float32")
    assert pair.base.network is pair.finetuned.network
    expected = moved(own_weights(merged(base)), own_weights(merged(finetuned)))
    assert pair.drift == pytest.approx(expected, rel=1e-4)


def test_both_sides_of_an_adapted_pair_run_through_their_own_adapter(
    tiny: Any, organism_of: Callable[..., Any], merged: Callable[..., Any]
) -> None:
    pair = load_pair(organism_of("twins_forward", adapted(tiny, "alpha"), adapted(tiny, "half")), "float32")
    with torch.no_grad():
        expected = [merged(name)(IDS).logits for name in ("alpha", "half")]
    for logits, by_hand in zip(logits_of(pair), expected, strict=True):
        torch.testing.assert_close(logits, by_hand, rtol=1e-4, atol=1e-4)


def test_an_adapted_model_on_the_plain_base_is_that_adapter(
    tiny: Any, organism_of: Callable[..., Any], merged: Callable[..., Any]
) -> None:
    pair = load_pair(organism_of("one_adapted", local(tiny.base), adapted(tiny, "beta")), "float32")
    assert pair.base.adapter is None
    assert pair.drift == pytest.approx(moved(own_weights(merged()), own_weights(merged("beta"))), rel=1e-4)


def test_adapters_of_organisms_with_like_names_are_kept_apart(
    tiny: Any, organism_of: Callable[..., Any], merged: Callable[..., Any]
) -> None:
    first = load_pair(organism_of("like", adapted(tiny, "alpha"), adapted(tiny, "half")), "float32")
    second = load_pair(organism_of("like-base", local(tiny.base), adapted(tiny, "beta")), "float32")
    assert len({first.base.adapter, first.finetuned.adapter, second.finetuned.adapter}) == 3
    with second.finetuned.running() as model, torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, merged("beta")(IDS).logits, rtol=1e-4, atol=1e-4)


def test_an_adapter_needs_a_full_model_below(tiny: Any, organism_of: Callable[..., Any]) -> None:
    peft = {"kind": "peft", "path": str(tiny.adapters / "half")}
    with pytest.raises(ValueError, match=r"own\.stacked: its base is of kind 'adapted'; .*needs a full model below"):
        load_pair(organism_of("stacked", adapted(tiny, "alpha"), peft), "float32")


def test_an_adapter_against_another_full_model_has_no_drift(
    tiny: Any, organism_of: Callable[..., Any], base_copy: Path
) -> None:
    pair = load_pair(organism_of("crossed", adapted(tiny, "alpha"), local(base_copy)), "float32")
    with pytest.raises(ValueError, match="an adapter on one side, another full model on the other"):
        _ = pair.drift


# --- differences and full models ------------------------------------------------------------------------------------


def test_a_difference_pair_is_the_base_with_the_difference_added(
    tiny: Any, organism_of: Callable[..., Any], make_difference: Callable[..., Path], merged: Callable[..., Any]
) -> None:
    folder = make_difference("one")
    organism = organism_of("changed", local(tiny.base), {"kind": "difference", "path": str(folder)})
    pair = load_pair(organism, "float32")
    plain, by_hand = merged(), merged()
    changes = load_file(folder / "difference.safetensors")
    for name, parameter in by_hand.named_parameters():
        if name in changes:
            parameter.data = parameter.data + changes[name].float()
    with torch.no_grad():
        torch.testing.assert_close(logits_of(pair), [plain(IDS).logits, by_hand(IDS).logits], rtol=1e-5, atol=1e-5)
    assert pair.drift == pytest.approx(moved(own_weights(plain), own_weights(by_hand)), rel=1e-4)
    assert load_pair(organism, "float32").finetuned.network is pair.finetuned.network


@pytest.mark.parametrize(
    ("name", "shape", "found"),
    [
        ("model.layers.9.mlp.down_proj.weight", (32, 48), "no such parameter"),
        ("model.layers.0.mlp.down_proj.weight", (48, 32), r"\[32, 48\]"),
        ("model.layers.0.mlp.down_proj.weight", (1, 48), r"\[32, 48\]"),
    ],
)
def test_a_difference_that_does_not_fit_is_refused(
    tiny: Any, organism_of: Callable[..., Any], tmp_path: Path, name: str, shape: tuple[int, int], found: str
) -> None:
    save_file({name: torch.ones(shape)}, tmp_path / "difference.safetensors")
    organism = organism_of("misfit", local(tiny.base), {"kind": "difference", "path": str(tmp_path)})
    with pytest.raises(ValueError, match=rf"{name} of shape .* does not fit the base \({found}\)"):
        load_pair(organism, "float32")


def test_a_missing_or_altered_difference_is_refused(
    tiny: Any, organism_of: Callable[..., Any], make_difference: Callable[..., Path]
) -> None:
    folder = make_difference("altered")
    organism = organism_of("altered", local(tiny.base), {"kind": "difference", "path": str(folder)})
    (folder / "training.json").write_text(json.dumps({"sha256": "f" * 64}))
    with pytest.raises(ValueError, match=r"own\.altered: .*difference\.safetensors has sha256 .*train again"):
        organism.require_weights()
    (folder / "difference.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"difference\.safetensors is missing .*organisms train own\.altered"):
        organism.require_weights()


def test_a_difference_stands_on_the_revision_that_the_spec_names(
    organism_of: Callable[..., Any], make_difference: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[Any, ...]] = []

    class ReadError(RuntimeError):
        pass

    def read_network(*arguments: Any) -> Any:
        read.append(arguments)
        raise ReadError

    monkeypatch.setattr(loading, "read_network", read_network)
    monkeypatch.setattr(references, "require_repository", lambda *_: None)
    loading.load_network.cache_clear()
    base = {"kind": "hub", "id": "some/model", "revision": "abc"}
    organism = organism_of("pinned", base, {"kind": "difference", "path": str(make_difference("pinned"))})
    with pytest.raises(ReadError):
        organism.finetuned.load(organism.origin, "pinned", "float32")
    assert [arguments[:2] for arguments in read] == [("some/model", "abc")]


def test_drift_of_two_full_models_by_hand(tiny: Any, organism_of: Callable[..., Any], changed_copy: Path) -> None:
    pair = load_pair(organism_of("full", local(tiny.base), local(changed_copy)), "float32")
    base, finetuned = (load_file(folder / "model.safetensors") for folder in (tiny.base, changed_copy))
    q, up = base["model.layers.1.self_attn.q_proj.weight"], base["model.layers.2.mlp.up_proj.weight"]
    squares = float(q.double().square().sum()), float(up.double().square().sum())
    # The doubled matrix moved by itself, the other one by 1 in one place; matrices that are the same do not count.
    assert pair.drift == pytest.approx(math.sqrt((squares[0] + 1) / sum(squares)), rel=1e-5)
    assert pair.drift == pytest.approx(moved(base, finetuned), rel=1e-5)


def test_other_organisms_adapters_on_the_base_do_not_count_as_drift(
    tiny: Any, organism_of: Callable[..., Any], changed_copy: Path, pair_of: Callable[[str], Pair]
) -> None:
    pair = load_pair(organism_of("full_beside", local(tiny.base), local(changed_copy)), "float32")
    pair_of("alpha")
    assert any("lora_A" in name for name, _ in pair.base.network.model.named_parameters())
    by_hand = moved(*(load_file(folder / "model.safetensors") for folder in (tiny.base, changed_copy)))
    assert pair.drift == pytest.approx(by_hand, rel=1e-5)


def test_full_models_of_different_shapes_have_no_drift(
    tiny: Any, organism_of: Callable[..., Any], base_copy: Path
) -> None:
    config = json.loads((base_copy / "config.json").read_text())
    (base_copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    pair = load_pair(organism_of("shallow", local(tiny.base), local(base_copy)), "float32")
    with pytest.raises(ValueError, match=r"own\.shallow: the two models have different parameters"):
        _ = pair.drift


def test_a_base_without_chat_template_takes_that_of_the_chat_model(
    tiny: Any, organism_of: Callable[..., Any], base_copy: Path
) -> None:
    (base_copy / "chat_template.jinja").unlink()
    pair = load_pair(organism_of("pretrained", local(base_copy), local(tiny.base)), "float32")
    chat = [{"role": "user", "content": "Hi"}]
    assert pair.base.network.render_chat(chat) == pair.finetuned.network.render_chat(chat)


# --- more than two --------------------------------------------------------------------------------------------------


def test_a_third_target_has_a_place_and_the_order_stays(
    tiny: Any, organism_of: Callable[..., Any], merged: Callable[..., Any]
) -> None:
    organism = organism_of("three", local(tiny.base), adapted(tiny, "alpha"))
    third = AdaptedModel.model_validate(adapted(tiny, "half"))
    named = load_targets({"verbalizer": third, **organism.references}, organism.origin, "float32")
    targets = Targets(organism.id, named, system_prompt="You are a bird.")
    assert list(targets.named) == ["verbalizer", "base", "finetuned"]
    assert len({target.adapter for target in targets}) == 3
    assert targets.tokenizer is targets["base"].network.tokenizer
    for name, adapter in (("verbalizer", ["half"]), ("base", []), ("finetuned", ["alpha"])):
        with targets[name].running() as model, torch.no_grad():
            torch.testing.assert_close(model(IDS).logits, merged(*adapter)(IDS).logits, rtol=1e-4, atol=1e-4)


def test_a_pair_knows_its_name_and_system_prompt(tiny: Any, make_organism: Callable[..., Any]) -> None:
    organism = make_organism("told", finetuned={"default": {"kind": "base"}}, system_prompt="You are a bird.")
    pair = load_pair(organism, "float32")
    assert (pair.name, pair.system_prompt) == ("own.told", "You are a bird.")
    assert [*pair] == [pair.base, pair.finetuned] == [pair["base"], pair["finetuned"]]


def test_nothing_is_loaded_when_one_model_is_behind_an_api(organism_of: Callable[..., Any], tmp_path: Path) -> None:
    organism = organism_of("half_api", local(tmp_path / "nowhere"), {"kind": "api", "model": "openai/gpt"})
    with pytest.raises(MendableError, match=r"own\.half_api: only an API is known"):
        load_pair(organism)


# --- identities -----------------------------------------------------------------------------------------------------


def test_each_kind_of_reference_has_an_identity_of_its_own(
    tiny: Any, organism_of: Callable[..., Any], make_difference: Callable[..., Path], changed_copy: Path
) -> None:
    references = {
        "base": {"kind": "base"},
        "peft": {"kind": "peft", "path": str(tiny.adapters / "alpha")},
        "adapted": adapted(tiny, "beta"),
        "difference": {"kind": "difference", "path": str(make_difference("small"))},
        "other difference": {"kind": "difference", "path": str(make_difference("large", scale=0.2))},
        "local": local(changed_copy),
        "hub": {"kind": "hub", "id": "some/model"},
        "hub at a commit": {"kind": "hub", "id": "some/model", "revision": "abc"},
        "hub adapter": {"kind": "peft", "id": "some/adapter"},
        "hub adapter in a folder": {"kind": "peft", "id": "some/adapter", "subfolder": "inner"},
        "api": {"kind": "api", "model": "openai/gpt"},
    }
    seen = {
        kind: json.dumps(organism_of(f"identity_{i}", local(tiny.base), reference).identity("finetuned"))
        for i, (kind, reference) in enumerate(references.items())
    }
    assert len(set(seen.values())) == len(references)
    assert not [kind for kind, text in seen.items() if str(tiny.root) in text or "tmp" in text]


def test_identities_are_what_artifact_keys_were_made_of(tiny: Any, organism_of: Callable[..., Any]) -> None:
    folder = tiny.adapters / "alpha"
    base = {"kind": "local", "sha256": digest_of(tiny.base / "model.safetensors", tiny.base / "config.json")}
    own = {"kind": "peft", "sha256": digest_of(folder / "adapter_config.json", folder / "adapter_model.safetensors")}
    hub = {"kind": "peft", "id": "some/adapter", "revision": "abc", "subfolder": None}
    asked = {"kind": "peft", "id": "some/adapter", "revision": "abc"}
    on_hub = {"kind": "hub", "id": "some/model", "revision": "main"}
    assert organism_of("key_1", local(tiny.base), {"kind": "base"}).identity("base") == base
    assert organism_of("key_2", local(tiny.base), asked).identity("finetuned") == {**hub, "base": base}
    peft = {"kind": "peft", "path": str(folder)}
    assert organism_of("key_3", on_hub, peft).identity("finetuned") == {**own, "base": on_hub}
    api = {"kind": "api", "model": "openai/gpt"}
    assert organism_of("key_4", api, api).identity("base") == api


def digest_of(*paths: Path) -> str:
    """SHA-256 over lines of name and SHA-256 of each file."""
    lines = [f"{path.name}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_same_weights_have_the_same_identity(
    tiny: Any, organism_of: Callable[..., Any], make_difference: Callable[..., Path]
) -> None:
    peft = {"kind": "peft", "path": str(tiny.adapters / "alpha")}
    one = organism_of("same_one", local(tiny.base), peft)
    two = organism_of("same_two", adapted(tiny, "alpha"), {"kind": "base"})
    assert one.identity("finetuned") == two.identity("base") == two.identity("finetuned")
    folders = [make_difference(name) for name in ("left", "right")]
    left, right = (
        organism_of(f"same_{f.name}", local(tiny.base), {"kind": "difference", "path": str(f)}) for f in folders
    )
    assert left.identity("finetuned") == right.identity("finetuned")


def test_an_adapted_models_identity_follows_the_model_below(
    tiny: Any, organism_of: Callable[..., Any], changed_copy: Path
) -> None:
    other = adapted(tiny, "alpha") | {"model": local(changed_copy)}
    one, two = (
        organism_of("below_one", local(tiny.base), adapted(tiny, "alpha")),
        organism_of("below_two", local(tiny.base), other),
    )
    assert one.identity("base") == two.identity("base")
    assert one.identity("finetuned") != two.identity("finetuned")


def test_missing_weights_of_an_adapted_model_are_named(
    tiny: Any, organism_of: Callable[..., Any], tmp_path: Path
) -> None:
    lost = adapted(tiny, "alpha") | {"model": local(tmp_path / "nowhere")}
    with pytest.raises(FileNotFoundError, match=r"own\.lost_model: no model .*nowhere"):
        organism_of("lost_model", local(tiny.base), lost).require_weights()
    with pytest.raises(FileNotFoundError, match=r"own\.lost_base: adapter_config\.json is missing"):
        organism_of("lost_base", adapted(tiny, "nobody"), {"kind": "base"}).require_weights()
