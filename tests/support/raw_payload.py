"""Payloads written by hand, without the checks of a method's own type; what reads them checks them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from diffbench.methods.artifact import PAYLOAD, Artifact, Payload
from pydantic import ConfigDict

__all__ = ["RawPayload", "payload_json", "raw"]


class RawPayload(Payload):
    """Whatever fields it is given."""

    model_config = ConfigDict(extra="allow")


def raw(fields: Mapping[str, Any]) -> RawPayload:
    """A payload of these fields."""
    return RawPayload.model_validate(fields)


def payload_json(artifact: Artifact) -> Any:
    """What the file of an artifact's payload holds."""
    return json.loads((artifact.folder / PAYLOAD).read_text(encoding="utf-8"))
