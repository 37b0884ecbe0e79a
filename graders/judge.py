"""The judge: a model that grades one finding under the rubric of its family, with a verdict that can be parsed."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from string import Template

from inspect_ai.model import (
    ChatMessage,
    ChatMessageUser,
    GenerateConfig,
    Model,
    ModelOutput,
    ModelRefusalError,
    ResponseSchema,
)
from inspect_ai.util import json_schema
from pydantic import ValidationError

from ..organisms.spec import OrganismSpec
from ..records.finding import Finding
from ..records.frozen import Frozen
from ..records.grades import Grade, JudgeGrade
from ..records.names import BASE, FINETUNED
from ..tools.fence import fence_tag
from ..tools.json_objects import json_objects
from .rubric import rubric_of

__all__ = ["JudgeVerdict", "ask_judge", "judge_prompt", "parse_verdict", "prompt_hashes"]

_BAD_REQUEST = (400, 422)
_PROMPTS = Path(__file__).parent / "prompts"


class JudgeVerdict(Frozen):
    """What a judge answers."""

    reasoning: str
    """Why this grade: what is right, what is missing."""
    grade: Grade
    """1..5 under the rubric; a whole number, not a text."""


def judge_prompt(
    spec: OrganismSpec, finding: Finding, *, base_label: str = BASE, finetuned_label: str = FINETUNED
) -> str:
    """The prompt for a judge: rubric, ground truth, key facts as JSON, and the finding behind a fence.

    The finding is JSON-encoded, so that no line break of it starts a line of the prompt, and fenced by a tag that
    hashes it and does not occur in it: text inside can neither end the block nor forge another one.

    Args:
        spec: The organism: its description and key facts are the ground truth.
        finding: What is graded.
        base_label: What the base model was called in front of the investigator.
        finetuned_label: What the finetuned model was called.

    Raises:
        MendableError: If the spec's rubric is unknown or for other families.
    """
    rubric = rubric_of(spec)
    facts = [fact.model_dump(mode="json") for fact in spec.key_facts]
    encoded = _utf8(json.dumps(finding.model_dump(), indent=2, ensure_ascii=False))
    return _template("judge").substitute(
        title=rubric.title,
        rubric=rubric.text,
        family=spec.family,
        description=spec.description,
        key_facts=json.dumps(facts, indent=2, ensure_ascii=False),
        base_label=base_label,
        finetuned_label=finetuned_label,
        tag=fence_tag("finding", encoded),
        finding=encoded,
    )


def prompt_hashes(spec: OrganismSpec) -> dict[str, str]:
    """Of the judge's two prompts and the rubric, the first 12 digits of the SHA-256 of each, for the log."""
    texts = {name: _template(name).template for name in ("judge", "repair")} | {"rubric": rubric_of(spec).text}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()}


def parse_verdict(reply: str) -> JudgeVerdict:
    """The verdict in a judge's reply: its last JSON object that is one; text and code fences before it are skipped.

    When more text with a "grade" follows it, the reply is refused: it could be a broken verdict that quotes a valid
    one out of the finding.

    Raises:
        ValueError: Saying what is wrong, in words that can be put to the judge.
    """
    verdict, end, problem = None, 0, "it holds no JSON object"
    for candidate, position in json_objects(reply):
        try:
            verdict, end = JudgeVerdict.model_validate(candidate), position
        except ValidationError as error:
            problem = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    if verdict is None:
        raise ValueError(problem)
    if '"grade"' in reply[end:]:
        raise ValueError('after the last JSON object that is a verdict there is another "grade" that cannot be read')
    return verdict


async def ask_judge(judge: Model, prompt: str, repeat: int) -> JudgeGrade:
    """Ask a judge for a verdict; when its reply cannot be read, say why and ask once more. The repeat is the seed.

    The verdict's schema goes with the request (structured output, where the provider has it); a model that answers
    with HTTP 400 or 422 is asked again without it. The reply is checked in any case.

    A refusal that Inspect raises (``fail_on_refusal``) is this judge's answer about this finding and is recorded. Any
    other error of the model is not: it goes up after Inspect's own retries, so that the sample shows it and can be
    scored again.
    """
    messages: list[ChatMessage] = [ChatMessageUser(content=prompt)]
    error = ""
    for attempt in ("first", "repair"):
        try:
            output = await _generate(judge, messages, repeat)
        except ModelRefusalError as refusal:
            error = f"{attempt} reply: {refusal}"
            break
        try:
            verdict = parse_verdict(output.completion)
            return JudgeGrade(judge=str(judge), repeat=repeat, grade=verdict.grade, reasoning=verdict.reasoning)
        except ValueError as problem:
            error = f"{attempt} reply: {problem}"
            repair = ChatMessageUser(content=_template("repair").substitute(error=problem))
            messages = [*messages, *(choice.message for choice in output.choices[:1]), repair]
    return JudgeGrade(judge=str(judge), repeat=repeat, grade=None, error=error)


async def _generate(judge: Model, messages: list[ChatMessage], seed: int) -> ModelOutput:
    config = GenerateConfig(seed=seed, response_schema=_schema())
    try:
        return await judge.generate(messages, config=config, cache=False)
    except RuntimeError as error:
        # Inspect's error of a provider carries the status; what else the request lacks, the second one tells.
        if getattr(error, "status_code", None) not in _BAD_REQUEST:
            raise
    return await judge.generate(messages, config=GenerateConfig(seed=seed), cache=False)


@cache
def _schema() -> ResponseSchema:
    return ResponseSchema(name="verdict", json_schema=json_schema(JudgeVerdict), strict=True)


def _utf8(text: str) -> str:
    """``text`` with what no API could carry (lone surrogates) as question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


@cache
def _template(name: str) -> Template:
    return Template((_PROMPTS / f"{name}.md").read_text(encoding="utf-8"))
