"""Keeping secrets out of logs that are passed on: known fields are emptied, and what looks like a secret is refused."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

from ..records.errors import MendableError

__all__ = ["SecretFoundError", "find_secret", "strip_log"]

STRIPPED = frozenset({"model_base_url", "base_url", "model_args", "extra_headers", "extra_body"})
"""Fields that can hold keys or private addresses; emptied wherever they stand in a log."""

_ROLES = "model_roles"
_MENTIONED = re.compile(rb'"(?:model_base_url|base_url|model_args|extra_headers|extra_body|model_roles|origin)"\s*:')
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@\"]+@")
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)

_SECRETS = {
    "a private key": rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----",
    "an API key (sk-…)": rb"(?<![\w-])sk-(?=[\w-]{0,60}\d)[\w-]{20,}",
    "a Hugging Face token": rb"(?<!\w)hf_[A-Za-z0-9]{30,}",
    "a GitHub token": rb"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})",
    "an AWS key id": rb"(?<!\w)AKIA[0-9A-Z]{16}(?!\w)",
    "a Google API key": rb"(?<!\w)AIza[\w-]{35}(?!\w)",
    "a Slack token": rb"(?<!\w)xox[abprs]-[\w-]{10,}",
    "a bearer token": rb"(?i:bearer)\s+(?=[\w.~+/-]{0,60}\d)[\w.~+/-]{20,}",
    "an API key by name": rb"(?i:\"(?:x-)?api[-_]?key\\*\"\s*:\s*\\*\")[^\"\\]{8,}",
    "a password in a URL": rb"://[^/\s:@\"\\]{1,80}:[^/\s:@\"\\]{1,80}@",
}
_KINDS = tuple(_SECRETS)
_ANY = re.compile(b"|".join(b"(" + pattern + b")" for pattern in _SECRETS.values()))


class SecretFoundError(MendableError):
    """Something in a log looks like a secret; the message says what and where, but not the secret."""


def find_secret(text: bytes) -> str | None:
    """What kind of secret ``text`` seems to hold, with where it starts; None when nothing looks like one."""
    match = _ANY.search(text)
    return f"{_KINDS[(match.lastindex or 1) - 1]} at byte {match.start()}" if match else None


def strip_log(source: Path, target: Path) -> tuple[str, ...]:
    """Copy a log without its `STRIPPED` fields, the arguments of its model roles and users in its repository's URL.

    A log that holds none of them is copied byte for byte. Secrets are recognised by their form only: the well-known
    kinds of keys and tokens, not a password in plain words.

    Returns:
        The fields that were emptied.

    Raises:
        SecretFoundError: When something else looks like a secret.
    """
    if not zipfile.is_zipfile(source):
        content, fields = _strip(source.read_bytes())
        _refuse_secrets(source.name, content)
        target.write_bytes(content)
        return tuple(sorted(fields))
    changed: dict[str, bytes] = {}
    emptied: set[str] = set()
    with zipfile.ZipFile(source) as archive:
        names = list(dict.fromkeys(archive.namelist()))
        for name in names:
            before = archive.read(name)
            content, fields = _strip(before)
            _refuse_secrets(f"{source.name}, {name}", content)
            emptied |= fields
            if content is not before:
                changed[name] = content
        if changed:
            _rewrite(archive, names, changed, target)
        else:
            shutil.copyfile(source, target)
    return tuple(sorted(emptied))


def _rewrite(archive: zipfile.ZipFile, names: list[str], changed: dict[str, bytes], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for name in names:
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, changed[name] if name in changed else archive.read(name))


def _refuse_secrets(where: str, content: bytes) -> None:
    if found := find_secret(content):
        raise SecretFoundError(
            f"{where} seems to hold {found}; remove it from the log, or pack the grades alone with --grades-only"
        )


def _strip(content: bytes) -> tuple[bytes, set[str]]:
    """The JSON text with fields emptied, and their names; the very same object when there are none."""
    if not _MENTIONED.search(content):
        return content, set()
    parsed = json.loads(content)
    emptied: set[str] = set()
    _empty(parsed, emptied)
    return (json.dumps(parsed, ensure_ascii=False).encode(), emptied) if emptied else (content, set())


def _empty(node: Any, emptied: set[str]) -> None:
    if isinstance(node, list):
        for item in node:
            _empty(item, emptied)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in STRIPPED and value:
            node[key] = _blank(value)
            emptied.add(key)
        elif key == _ROLES and isinstance(value, dict):
            for role in (role for entry in value.values() for role in (entry if isinstance(entry, list) else [entry])):
                if isinstance(role, dict) and role.get("args"):
                    role["args"] = {}
                    emptied.add("model_roles.args")
        elif key == "origin" and isinstance(value, str) and _USER_IN_URL.search(value):
            node[key] = _USER_IN_URL.sub("", value)
            emptied.add("origin (user)")
        _empty(node[key], emptied)


def _blank(value: Any) -> Any:
    return {} if isinstance(value, dict) else [] if isinstance(value, list) else None
