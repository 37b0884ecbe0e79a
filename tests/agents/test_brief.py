from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from diffbench.agents.brief import brief
from diffbench.agents.prompt_files import family_hint, hinted_families, prompt_hashes
from diffbench.graders.rubric import list_rubrics, load_rubric
from diffbench.tools.case import CaseState


def test_the_brief_names_the_models_the_relation_and_the_budget(make_case: Callable[..., CaseState]) -> None:
    text = brief(make_case(interactions=7), "neutral", blind=False)
    assert 'before you: "base" and "finetuned"' in text
    assert '"finetuned" was made from "base" by finetuning' in text
    assert "You have 7 interactions" in text
    assert "$" not in text


def test_the_framings_differ_in_what_they_presuppose(make_case: Callable[..., CaseState]) -> None:
    neutral = brief(make_case(interactions=7), "neutral", blind=False)
    told = brief(make_case(interactions=7), "presuppositional", blind=False)
    assert "may also have changed nothing narrow" in neutral
    assert "taught something narrow" in told
    assert "may also have changed" not in told
    assert "It is known" not in neutral


@pytest.mark.parametrize("labels", [("M1", "M2"), ("M2", "M1")])
def test_a_blind_brief_is_the_same_whichever_model_is_which(
    labels: tuple[str, str], make_case: Callable[..., CaseState]
) -> None:
    case = make_case(interactions=7, base_label=labels[0], finetuned_label=labels[1])
    text = brief(case, "neutral", blind=True)
    assert text == brief(make_case(interactions=7, base_label="M1", finetuned_label="M2"), "neutral", blind=True)
    assert 'before you: "M1" and "M2"' in text
    assert "you are not told which" in text
    assert '"base"' not in text
    assert '"finetuned"' not in text


def test_without_interactions_no_queries_are_promised(make_case: Callable[..., CaseState]) -> None:
    text = brief(make_case(interactions=0), "neutral", blind=False)
    assert "No queries are possible" in text
    assert "Spend them well" not in text


def test_an_unknown_framing_is_named(make_case: Callable[..., CaseState]) -> None:
    wrong: Any = "leading"
    with pytest.raises(ValueError, match=r"unknown framing 'leading'; known: neutral, presuppositional"):
        brief(make_case(), wrong, blind=False)


def test_budgets_of_single_tools_are_told(make_case: Callable[..., CaseState]) -> None:
    assert "budget of their own" not in brief(make_case(interactions=7), "neutral", blind=False)
    text = brief(make_case(interactions=7, tool_budgets={"steer": 2}), "neutral", blind=False)
    assert "Some tools have a budget of their own within that. Interactions left: 7 of 7 (steer: 2 of 2)." in text


def test_a_hint_stands_below_the_framing(make_case: Callable[..., CaseState]) -> None:
    text = brief(make_case(interactions=7), "presuppositional", blind=False, hint="Hint: think of $tea.")
    assert "It is known that the finetuning taught something narrow.\nHint: think of $tea.\n" in text


def test_every_family_but_controls_has_a_hint_of_its_own() -> None:
    families = {family for name in list_rubrics() for family in load_rubric(name).families} - {"null"}
    assert set(hinted_families()) == families
    assert len({family_hint(family) for family in families}) == len(families)
    with pytest.raises(ValueError, match="no hint for family 'null'; known: backdoor"):
        family_hint("null")
    assert family_hint("heat", {"heat": "warm words"}).endswith("it is of this kind: warm words.")


def test_every_prompt_file_has_a_hash() -> None:
    folder = Path(str(files("diffbench.agents"))) / "prompts"
    hashes = prompt_hashes()
    assert set(hashes) == {path.name for path in folder.iterdir()}
    for name, digest in hashes.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest().startswith(digest)
        assert len(digest) == 12
