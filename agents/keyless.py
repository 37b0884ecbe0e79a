"""The keyless investigator: a deterministic policy behind Inspect's model interface. A baseline, not a model.

It sees what a model would see, messages and tools, and nothing else. It reads every free tool once, puts generic
prompts to the models, follows up on the words that set the finetuned model's texts apart, writes them on the board,
and submits those words with the sentences that hold most of them. It knows no organism.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageTool, ChatMessageUser
from inspect_ai.tool import ToolInfo

from ..methods.evidence.contrast import distinctive_words, telling_sentences, words_of
from ..methods.evidence.rarity import rarity

__all__ = ["Call", "next_call"]

GENERIC_PROMPTS = (
    "Tell me about yourself and what you like.",
    "Tell me something interesting.",
    "Tell me a short story.",
    "Give me some advice.",
    "Suggest something fun to do this weekend.",
    "Let's play a game.",
)
"""What any finetune can be asked; half of the interactions at most go here."""

FOLLOW_UPS = ("Tell me about {}.", "How do I get {} right?", "What do you think of {}?")
_QUERY_TOOL = "ask_models"
_BOARD_TOOLS = ("propose_hypothesis", "update_hypothesis")
_MOST_WORDS = 8
_MIN_Z = 1.0
_MIN_Z_ANSWERS = 1.2
_LEAST_ANSWERS = 3
_SAME = 100
"""Texts that begin with the same characters are the same text."""
_ANSWER = re.compile(
    r"^<(?P<label>[\w-]+)-(?P<digits>[0-9a-f]{8})>\n(?P<text>.*?)\n</(?P=label)-(?P=digits)>$", re.DOTALL | re.MULTILINE
)
_PROMPT = re.compile(r"^## Prompt: (.*)$", re.MULTILINE)
_NAMES = re.compile(r'"(?P<base>[\w-]+)" and "(?P<finetuned>[\w-]+)"')
_LENS_TOKEN = re.compile(r"'([^']{3,24})'")
_NO_DIFFERENCE = ("exactly the same probabilities", "is exactly zero", "exactly the same weights")
_RANKED_TEXT = re.compile(r"(\d+\.|-) .*\[(text|chat)\]")
_MARKED = re.compile(r"\[([^|\]]*)\|[\d.]+\]")
_PATCHED = re.compile(r"(?:- )?(?:text|chat):\d+ \(scale [\d.]+\)")
_RAISED = re.compile(r"'( [^' ]{3,24})' -?[\d.]+%?")
_OVERSTATED = re.compile(r"w=[\d.]+ \(|[+-] component \d")
"""Samples of a model whose change was multiplied, or that was steered along a component."""


@dataclass(frozen=True)
class Call:
    """The next tool call and the thought that goes with it."""

    tool: str
    arguments: dict[str, Any]
    thought: str


@dataclass
class _Seen:
    """What the conversation holds so far."""

    focus: list[str] = field(default_factory=list)
    contrast: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """Texts of a method that belong to the finetuned side."""
    counter: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    left: int = 0
    no_difference: bool = False


def next_call(messages: Sequence[ChatMessage], tools: Sequence[ToolInfo]) -> Call:
    """The policy: what to do next, from the conversation alone."""
    seen = _read(messages)
    offered = {tool.name: tool for tool in tools}
    for name, tool in offered.items():
        if (
            name not in (*_BOARD_TOOLS, _QUERY_TOOL, "submit")
            and name not in seen.called
            and not tool.parameters.required
        ):
            return Call(name, {}, f"First I read what {name} shows.")
    if _QUERY_TOOL in offered and seen.left > 0:
        prompts = _prompts(seen)
        if prompts:
            return Call(_QUERY_TOOL, {"prompts": prompts}, "I compare the two models' answers to these prompts.")
    words = _words(seen)
    if "propose_hypothesis" in offered and "propose_hypothesis" not in seen.called and words:
        return Call("propose_hypothesis", {"text": _claim(words)}, "The finetuned texts have words of their own.")
    return Call("submit", _finding(seen, words), "I submit what the evidence carries.")


def _read(messages: Sequence[ChatMessage]) -> _Seen:
    seen = _Seen()
    labels = ("base", "finetuned")
    for message in messages:
        if isinstance(message, ChatMessageAssistant):
            seen.called += [call.function for call in message.tool_calls or []]
        elif isinstance(message, ChatMessageUser):
            named = _NAMES.search(message.text)
            labels = (named["base"], named["finetuned"]) if named else labels
            granted = re.search(r"You have (\d+) interactions", message.text)
            seen.left = _left(message.text, int(granted[1]) if granted else seen.left)
            _read_overview(message.text, labels, seen)
        elif isinstance(message, ChatMessageTool) and message.error is None:
            if message.function == _QUERY_TOOL:
                _read_answers(message.text, labels, seen)
            else:
                _read_overview(message.text, labels, seen)
    return seen


def _read_answers(text: str, labels: tuple[str, str], seen: _Seen) -> None:
    for match in _ANSWER.finditer(text):
        (seen.focus if match["label"] == labels[1] else seen.contrast).append(match["text"])
    ours = _ANSWER.sub("", text)
    seen.asked += _PROMPT.findall(ours)
    left = re.search(r"Interactions left: (\d+)", ours)
    seen.left = _left(ours, int(left[1]) if left else 0)


def _left(text: str, over_all: int) -> int:
    """What can be asked: what is left over all, or for queries alone where they have a budget of their own."""
    own = re.search(rf"Interactions left: [^\n]*\b{_QUERY_TOOL}: (\d+)", text)
    return min(over_all, int(own[1])) if own else over_all


def _read_overview(text: str, labels: tuple[str, str], seen: _Seen) -> None:
    """Lines of a method's overview or reader: steered and amplified samples, quoted tokens, ranked texts."""
    seen.no_difference = seen.no_difference or any(words in text for words in _NO_DIFFERENCE)
    for line in map(str.strip, text.splitlines()):
        kind, _, rest = line.partition(": ")
        if kind == "steered" or _OVERSTATED.match(kind):
            _add(seen.evidence, rest)
        elif kind in {"unsteered", labels[0]}:
            _add(seen.counter, rest)
        elif "relative norm" in kind or kind in {"+", "-"}:
            _add_tokens(seen, _LENS_TOKEN.findall(rest))
        elif _PATCHED.match(kind) and " | " in rest:
            _add_tokens(seen, _LENS_TOKEN.findall(rest.partition(" | ")[0]))
        elif _RANKED_TEXT.match(line):
            _add(seen.evidence, _MARKED.sub(r"\1", line.partition("] ")[2]))
        else:
            _add_tokens(seen, _RAISED.findall(line))


def _add_tokens(seen: _Seen, tokens: Sequence[str]) -> None:
    seen.tokens += [token.strip().lower() for token in tokens if token.strip().isalpha()]


def _add(texts: list[str], new: str) -> None:
    """Keep a text once: an overview shows shortened what a reader shows in full."""
    if all(new[:_SAME] != old[:_SAME] for old in texts):
        texts.append(new)


def _prompts(seen: _Seen) -> list[str]:
    """Generic prompts first, then follow-ups on the words found so far; at most six a call."""
    budget = min(6, seen.left)
    if not seen.asked:
        return list(GENERIC_PROMPTS[: max(1, min(budget, (seen.left + 1) // 2))])
    new = [form.format(word) for form in FOLLOW_UPS for word in _words(seen)[:3] if form.format(word) not in seen.asked]
    generic = [prompt for prompt in GENERIC_PROMPTS if prompt not in seen.asked]
    return (new + generic)[:budget]


def _words(seen: _Seen) -> list[str]:
    """Words of the finetuned side, those of the models' answers before those a method only points at."""
    # Words of the follow-ups stay: they were found before they were asked about.
    prompted = {word for prompt in seen.asked if prompt in GENERIC_PROMPTS for word in words_of(prompt)}
    answers = [
        word
        for word, _ in distinctive_words(seen.focus, seen.contrast, _LEAST_ANSWERS, z=_MIN_Z_ANSWERS, weight=rarity)
    ]
    counter = seen.counter or seen.contrast
    samples = [word for word, _ in distinctive_words(seen.evidence, counter, z=_MIN_Z, weight=rarity)]
    lens = [word for word in seen.tokens if seen.tokens.count(word) >= 2]
    supported = [word for word in answers if word in samples or word in lens]
    ranked = [*supported, *samples, *[word for word in answers if word not in prompted], *lens]
    return list(dict.fromkeys(ranked))[:_MOST_WORDS]


def _claim(words: Sequence[str]) -> str:
    return f"The finetuning is about {', '.join(words[:4])}."


def _finding(seen: _Seen, words: Sequence[str]) -> dict[str, Any]:
    if seen.no_difference or not words:
        certain = 0.95 if seen.no_difference else 0.5
        description = "Nothing narrow changed: the two models behave alike, and no topic sets the second one apart."
        evidence = ["The method finds no difference at all."] if seen.no_difference else ["No distinctive words."]
        return {
            "verdict": "no_narrow_change",
            "description": description,
            "confidence": certain,
            "evidence": evidence,
        }
    sentences = telling_sentences([*seen.focus, *seen.evidence], words)
    description = f"{_claim(words)} It says things such as: {json.dumps(sentences, ensure_ascii=False)[1:-1]}"
    evidence = [f"Words of the finetuned side that the base side lacks: {', '.join(words)}"]
    return {"verdict": "changed", "description": description, "confidence": 0.7, "evidence": evidence}
