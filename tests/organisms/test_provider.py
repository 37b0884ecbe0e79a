"""The Inspect provider, asked concurrently, against the network it stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from diffbench.models.requests import Request
from diffbench.organisms.loading import load_pair
from diffbench.organisms.provider import OrganismAPI, target_name
from diffbench.organisms.suites import find_organism
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    ModelOutput,
    get_model,
)
from inspect_ai.tool import ToolInfo

QUESTIONS = ["Which animal?", "What is the capital of France?", "A cake, please.", "And the moon?"]


def ask(
    queries: list[tuple[str, list[ChatMessage], GenerateConfig]], tools: list[ToolInfo] | None = None
) -> list[ModelOutput]:
    """All queries at once, each on its own instance of the provider."""
    outputs: dict[int, ModelOutput] = {}

    async def one(i: int, name: str, messages: list[ChatMessage], config: GenerateConfig) -> None:
        outputs[i] = await OrganismAPI(name).generate(messages, tools or [], "auto", config)

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for i, query in enumerate(queries):
                group.start_soon(one, i, *query)

    anyio.run(all_of_them)
    return [outputs[i] for i in range(len(queries))]


def user(text: str) -> list[ChatMessage]:
    return [ChatMessageUser(content=text)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny.alpha", "expected organism/<suite>.<name>@base or"),
        ("tiny.alpha@other", "organism/tiny.alpha@other: expected"),
        ("tiny.alpha@", "expected organism/"),
        ("tiny.alpa@base", "did you mean tiny.alpha"),
        ("tiny.alpha+halve@base", "did you mean half"),
    ],
)
def test_names_are_checked(tiny: Any, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OrganismAPI(name)


def test_model_arguments_are_refused(tiny: Any) -> None:
    with pytest.raises(ValueError, match="takes no model arguments; got device"):
        OrganismAPI("tiny.alpha@base", device="cuda")


def test_construction_loads_nothing(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("diffbench.organisms.loading.load_pair", refuse)
    assert OrganismAPI("tiny.alpha+half@finetuned").model_name == "tiny.alpha+half@finetuned"
    assert target_name("tiny.alpha", "base") == "organism/tiny.alpha@base"


def test_concurrent_queries_each_get_what_the_network_writes(tiny: Any) -> None:
    config = GenerateConfig(max_tokens=7, temperature=0.0)
    queries = [
        (f"tiny.{name}@{side}", user(question), config)
        for question in QUESTIONS
        for name in ("alpha", "beta")
        for side in ("base", "finetuned")
    ]
    outputs = ask(queries)
    for output, (name, messages, _) in zip(outputs, queries, strict=True):
        organism, _, side = name.partition("@")
        pair = load_pair(find_organism(organism))
        target = pair.base if side == "base" else pair.finetuned
        prompt = target.network.render_chat([{"role": "user", "content": messages[0].text}])
        completion = target.network.generate([Request(prompt, target.adapter, max_tokens=7, temperature=0)])[0]
        assert output.completion == completion.text.strip()
        assert output.usage is not None
        assert output.usage.output_tokens == completion.output_tokens
        expected = len(target.network.tokenizer(prompt, add_special_tokens=False)["input_ids"])
        assert output.usage.input_tokens == expected


def test_concurrent_queries_share_batches(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_pair(find_organism("tiny.alpha")).base.network
    sizes: list[int] = []
    generate = network.generate

    def counted(requests: Any) -> Any:
        sizes.append(len(requests))
        return generate(requests)

    monkeypatch.setattr(network, "generate", counted)
    ask([("tiny.alpha@base", user(f"question {i}"), GenerateConfig(max_tokens=2)) for i in range(24)])
    assert sum(sizes) == 24
    assert len(sizes) <= 6


def test_stop_reason_tells_the_token_limit(tiny: Any) -> None:
    (output,) = ask([("tiny.alpha@finetuned", user("Which animal?"), GenerateConfig(max_tokens=3, temperature=0.0))])
    assert output.stop_reason == "max_tokens"
    assert output.usage is not None
    assert output.usage.output_tokens == 3
    assert output.usage.total_tokens == output.usage.input_tokens + 3


def test_short_rows_of_a_batch_keep_their_stop_reason(tiny: Any) -> None:
    queries = [
        ("tiny.alpha@base", user("Which animal?"), GenerateConfig(max_tokens=n, temperature=0.0)) for n in (2, 9)
    ]
    assert [output.stop_reason for output in ask(queries)] == ["max_tokens", "max_tokens"]


def test_tools_are_refused(tiny: Any) -> None:
    tool = ToolInfo(name="look", description="looks")
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - anyio wraps it in an exception group
        ask([("tiny.alpha@base", user("a"), GenerateConfig())], [tool])
    assert caught.group_contains(ValueError, match="cannot be given tools")


def test_seed_decides_and_its_absence_repeats(tiny: Any) -> None:
    def texts(**options: Any) -> list[str]:
        config = GenerateConfig(max_tokens=8, temperature=1.0, **options)
        return [o.completion for o in ask([("tiny.alpha@base", user(q), config) for q in QUESTIONS])]

    assert texts() == texts()
    assert texts(seed=1) == texts(seed=1)
    assert texts(seed=1) != texts(seed=2)


def test_system_prompt_of_the_spec_comes_first_unless_one_is_given(
    tiny: Any, make_organism: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_organism("told", finetuned={"default": {"kind": "base"}}, family="null", system_prompt="You like owls.")
    (tmp_path / "more").mkdir()
    (tmp_path / "organisms").rename(tmp_path / "more" / "own")
    monkeypatch.setenv("DIFFBENCH_ORGANISMS", str(tmp_path / "more"))
    network = load_pair(find_organism("own.told")).base.network
    config = GenerateConfig(max_tokens=1)
    own: list[ChatMessage] = [ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Hi there")]
    outputs = ask([("own.told@base", user("Hi there"), config), ("own.told@base", own, config)])
    for output, system in zip(outputs, ("You like owls.", "Be brief."), strict=True):
        text = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n"
        assert output.usage is not None
        assert output.usage.input_tokens == len(network.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_conversations_are_rendered_in_turns(tiny: Any) -> None:
    messages: list[ChatMessage] = [
        ChatMessageUser(content="One"),
        ChatMessageAssistant(content="Two"),
        ChatMessageUser(content="Three"),
    ]
    (output,) = ask([("tiny.same@base", messages, GenerateConfig(max_tokens=1))])
    tokenizer = load_pair(find_organism("tiny.same")).base.network.tokenizer
    text = (
        "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nOne<|im_end|>\n"
        "<|im_start|>assistant\nTwo<|im_end|>\n<|im_start|>user\nThree<|im_end|>\n<|im_start|>assistant\n"
    )
    assert output.usage is not None
    assert output.usage.input_tokens == len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_inspect_finds_the_provider_by_its_entry_point(tiny: Any) -> None:
    async def go() -> ModelOutput:
        model = get_model("organism/tiny.alpha@finetuned", memoize=False)
        return await model.generate("Which animal?", config=GenerateConfig(max_tokens=2))

    assert anyio.run(go).stop_reason == "max_tokens"
