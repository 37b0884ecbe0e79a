"""What an investigator must not see of a case: its ground truth, its names, and the machine it runs on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from ... import agents, tools
from ...graders.key_facts import normalise, term_pattern
from ...organisms.suites import find_organism, load_suite

__all__ = ["Hit", "Kind", "Seen", "Source", "find_leaks", "opening_server_error", "skipped_terms"]

Kind = Literal["ground truth", "key-fact term", "organism name", "model name", "path", "traceback", "server error"]
Source = Literal["ours", "answers", "artifact"]
"""Who wrote a text: the benchmark (prompts, tool descriptions, errors); the targets, side by side, with a frame of
ours; a method (an artifact's text and samples) or a tool that is not ours."""

_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")
_SHORTEST_SENTENCE = 16
_TELLING_WORDS = 6
"""A model can say a shorter sentence of the description by itself."""
_AROUND = 45

_FOLDERS = "home|root|Users|usr|opt|mnt|srv|var|tmp|etc|data|work|workspace|private|media"
_PATH = re.compile(
    rf"(?<![\w/.:~-])(?:/(?:{_FOLDERS})(?:/[\w.@+-]+)+|~(?:/[\w.@+-]+)+|[A-Z]:\\[\w.\\-]+)"
    r"|\badapters/[\w./+-]+|[\w./+-]+\.(?:safetensors|gguf|eval)\b"
)
_TRACEBACK = re.compile(r'Traceback \(most recent call last\)|File "[^"]+", line \d+')
_TARGET_NAME = r"\borganism/[\w.+-]+@(?:base|finetuned)\b"
_SERVER_ERROR = re.compile(
    r"\b(?:openai|anthropic|httpx|httpcore|requests|aiohttp|urllib3)\.[\w.]*(?:Error|Exception|Timeout)\b"
    r"|\b(?:API(?:Connection|Status|Timeout|Response\w*)?Error|RateLimitError|InternalServerError|BadRequestError"
    r"|AuthenticationError|ServiceUnavailableError|OverloadedError|ModelGenerateError)\b"
    r"|\bError code: [45]\d\d\b|\bHTTP(?:/\d(?:\.\d)?)?[ :]+(?:status )?[45]\d\d\b"
    r"|\b[45]\d\d (?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out|Too Many Requests"
    r"|Bad Request|Unauthorized|Forbidden|Not Found)\b"
    r"|\b(?:Internal Server Error|Connection refused|Connection reset by peer|CUDA out of memory)\b"
    r"|\b(?:server_error|rate_limit_error|overloaded_error|api_error|invalid_request_error)\b"
)


@dataclass(frozen=True)
class Hit:
    """Something in a text that should not be there."""

    kind: Kind
    found: str
    excerpt: str


@dataclass
class Seen:
    """What the investigator itself wrote and what the targets answered so far: nobody told it that."""

    own: str = ""
    answers: str = ""

    def known(self, kind: Kind, source: Source) -> str:
        """What excuses a hit of this kind in a text from this source."""
        # No target knows what the benchmark calls it.
        return f"{self.own}\n{self.answers}" if source == "answers" and kind != "model name" else self.own


def find_leaks(text: str, source: Source, organism: str, seen: Seen, model_names: Iterable[str] = ()) -> Iterator[Hit]:
    """All hits in a text, the first of each.

    Terms of key facts and whole sentences count where the benchmark wrote the text. A method's text may hold terms and
    short sentences, that is what methods are for, but no name.

    Args:
        text: What the investigator was shown.
        source: Who wrote it.
        organism: Id of the case's organism.
        seen: What excuses a hit.
        model_names: Names of the target models in this run, beside those in the spec.
    """
    flat = " ".join(text.split())
    machine: list[tuple[Kind, re.Pattern[str]]] = [("traceback", _TRACEBACK), ("server error", _SERVER_ERROR)]
    if source != "artifact":  # a probe text may name a path
        machine.append(("path", _PATH))
    for kind, pattern in (*_names(organism, tuple(model_names), source), *machine):
        yield from _hits(kind, pattern, flat, flat, partial(seen.known, kind, source))
    normalised = normalise(text)
    for kind, pattern in _truth(organism, source):
        yield from _hits(kind, pattern, normalised, flat, lambda: normalise(seen.known("ground truth", source)))


def opening_server_error(answer: str) -> Hit | None:
    """The server error that a target's answer is, rather than speaks of."""
    flat = re.sub(r"^(?:error|exception)\W+", "", " ".join(answer.split()), flags=re.IGNORECASE)
    match = _SERVER_ERROR.match(flat)
    return Hit("server error", match[0], _excerpt(flat, match)) if match else None


@cache
def skipped_terms(organism: str) -> tuple[str, ...]:
    """Exact terms that are ordinary words of the shipped prompts and tools, the same in every case."""
    wording = _shipped_wording()
    terms = (term for fact in find_organism(organism).spec.key_facts for term in fact.exact)
    return tuple(dict.fromkeys(term for term in terms if term_pattern(term).search(wording)))


def _hits(kind: Kind, pattern: re.Pattern[str], searched: str, text: str, known: Callable[[], str]) -> Iterator[Hit]:
    for match in pattern.finditer(searched):
        exactly = re.compile(re.escape(match[0]), re.IGNORECASE)
        if not exactly.search(known()):
            as_written = exactly.search(text)
            yield Hit(kind, match[0], _excerpt(text, as_written) if as_written else _excerpt(searched, match))
            return


def _excerpt(text: str, match: re.Match[str]) -> str:
    start, end = max(0, match.start() - _AROUND), min(len(text), match.end() + _AROUND)
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


@cache
def _names(organism: str, model_names: tuple[str, ...], source: Source) -> tuple[tuple[Kind, re.Pattern[str]], ...]:
    found = find_organism(organism)
    spec = found.spec
    others = "|".join(re.escape(other.spec.name) for other in load_suite(found.suite))
    # Words of a name with a space between them are ordinary text ("the Tuesday law").
    name = re.escape(spec.name).replace("_", r"[_.-]?") if source == "ours" else re.escape(spec.name)
    references = [text for ref in spec.finetuned.values() for text in _texts(ref.model_dump())]
    ids = rf"\b{re.escape(found.suite)}[./](?:{others})(?:\+[\w-]+)?\b"
    named = rf"|(?<![\w/]){name}(?![\w/])" if source == "ours" or "_" in spec.name else ""
    models = "|".join(map(re.escape, [*references, *model_names]))
    return (
        ("organism name", re.compile(ids + named, re.IGNORECASE)),
        ("model name", re.compile(_TARGET_NAME + (f"|{models}" if models else ""), re.IGNORECASE)),
    )


def _texts(reference: dict[str, Any]) -> Iterator[str]:
    """Names and folders in a model reference."""
    for key, value in reference.items():
        if isinstance(value, dict):
            yield from _texts(value)
        elif key in {"id", "path", "model"} and isinstance(value, str):
            yield value.lstrip("./")


@cache
def _truth(organism: str, source: Source) -> tuple[tuple[Kind, re.Pattern[str]], ...]:
    spec = find_organism(organism).spec
    told = _sentences(spec.description) + (_sentences(spec.system_prompt) if spec.system_prompt else [])
    if source == "artifact":
        return tuple(("ground truth", _sentence(text)) for text in told if len(text.split()) >= _TELLING_WORDS)
    skipped = skipped_terms(organism)
    terms = [term for fact in spec.key_facts for term in fact.exact if term not in skipped]
    facts = [fact.fact for fact in spec.key_facts]
    return (
        *(("ground truth", _sentence(text)) for text in [*told, *facts]),
        *(("key-fact term", term_pattern(term)) for term in terms),
    )


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE_END.split(text) if len(part.strip()) >= _SHORTEST_SENTENCE]


def _sentence(text: str) -> re.Pattern[str]:
    return term_pattern(text.rstrip(" .;:"))


@cache
def _shipped_wording() -> str:
    folders = [Path(folder) for room in (agents, tools) for folder in room.__path__]
    files = [*(file for folder in folders for file in sorted(folder.glob("*.py")))]
    files += [file for folder in folders for file in sorted(folder.glob("prompts/*.md"))]
    return normalise("\n".join(file.read_text(encoding="utf-8") for file in files))
