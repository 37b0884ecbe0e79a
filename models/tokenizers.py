"""Tokenizers and chat templates with which a pair reads, where they are not the base's own."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..records.errors import MendableError
from .network import Network

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["reading_files", "templated", "tokenizer_beside"]

_TEMPLATE, _CONFIG = "chat_template.jinja", "tokenizer_config.json"
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_OTHERS = ("added_tokens.json", "merges.txt", "special_tokens_map.json")


def reading_files(folder: Path) -> list[Path]:
    """The files beside an adapter that say how text becomes tokens."""
    names = (_TEMPLATE, _CONFIG, *_VOCABULARIES, *_OTHERS)
    return [folder / name for name in names if (folder / name).is_file()]


@cache
def tokenizer_beside(folder: Path, network: Network) -> PreTrainedTokenizerBase | None:
    """The tokenizer, or the base's own with the chat template, that was saved beside an adapter.

    Args:
        folder: The adapter's.
        network: The base's.

    Returns:
        None where nothing was saved, or what was saved reads as the base's own tokenizer does.

    Raises:
        MendableError: When the tokenizer cannot be read, numbers tokens otherwise than the base's, or has tokens for
            which the base has no embedding.
    """
    own = network.tokenizer
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        template = _template(folder)
        return None if template in {None, own.chat_template} else templated(network, str(template))
    tokenizer = _read(folder)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = own.chat_template
    vocabulary = tokenizer.get_vocab()
    _check_vocabulary(folder, vocabulary, network)
    if vocabulary == own.get_vocab() and _manner(tokenizer) == _manner(own):
        return None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@cache
def templated(network: Network, template: str) -> PreTrainedTokenizerBase:
    """A network's tokenizer with another chat template."""
    tokenizer = copy.deepcopy(network.tokenizer)
    tokenizer.chat_template = template
    return tokenizer


def _read(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise MendableError(f"{folder}: the tokenizer beside the adapter cannot be read: {reason}") from error
    return tokenizer


def _template(folder: Path) -> str | None:
    if (folder / _TEMPLATE).is_file():
        return (folder / _TEMPLATE).read_text(encoding="utf-8")
    if not (folder / _CONFIG).is_file():
        return None
    try:
        template = json.loads((folder / _CONFIG).read_text(encoding="utf-8")).get("chat_template")
    except ValueError as error:
        raise MendableError(f"{folder / _CONFIG}: no valid JSON ({error}); save the tokenizer again") from error
    return template if isinstance(template, str) else None


def _manner(tokenizer: PreTrainedTokenizerBase) -> tuple[object, ...]:
    return tokenizer.chat_template, tokenizer.bos_token_id, tokenizer.eos_token_id


def _check_vocabulary(folder: Path, vocabulary: dict[str, int], network: Network) -> None:
    own = network.tokenizer.get_vocab()
    common = vocabulary.keys() & own.keys()
    moved = sorted(token for token in common if vocabulary[token] != own[token])
    if moved or 2 * len(common) < len(own):
        example = f", such as {moved[0]!r}" if moved else ""
        raise MendableError(
            f"{folder}: the tokenizer beside the adapter numbers its tokens otherwise than the base's{example}; the "
            "adapter was trained on another base: correct base in the spec"
        )
    rows = int(network.model.get_input_embeddings().weight.shape[0])
    beyond = sorted(token for token, number in vocabulary.items() if number >= rows)
    if beyond:
        raise MendableError(
            f"{folder}: the tokenizer beside the adapter has {len(beyond)} tokens, such as {beyond[0]!r}, for which "
            "the base has no embedding; both models must read the same tokens: give both as full models (kind local) "
            "of one vocabulary"
        )
