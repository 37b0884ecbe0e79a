"""Whether a Hugging Face repository can be had, asked once and quickly, before a library tries and retries."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..records.errors import MissingError
from .folders import ADAPTER_CONFIG

__all__ = ["adapter_folder", "require_repository"]

TIMEOUT = 10.0
"""Seconds to wait for the hub's answer."""


@cache
def require_repository(repository: str, revision: str, file: str) -> None:
    """Return when ``file`` of a hub repository is in the local cache, or the hub gives it.

    Args:
        repository: ``owner/name``.
        revision: Branch, tag or commit.
        file: The file that a load would read first, e.g. ``config.json``.

    Raises:
        MissingError: When the repository cannot be had; one line with the reason and what to do.
    """
    from huggingface_hub import HfApi, hf_hub_url, try_to_load_from_cache

    # The hub's client changed its HTTP library between versions; its errors module always holds the one in use.
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        GatedRepoError,
        HfHubHTTPError,
        HTTPError,
        OfflineModeIsEnabled,
    )

    if isinstance(try_to_load_from_cache(repository, file, revision=revision), str):
        return
    try:
        # The file itself is asked for: of a gated repository the hub tells the rest to everyone.
        HfApi().get_hf_file_metadata(url=hf_hub_url(repository, file, revision=revision), timeout=TIMEOUT)
    except GatedRepoError as error:
        raise MissingError(
            f"{repository} is gated on the Hugging Face hub; accept its licence there and set HF_TOKEN"
        ) from error
    except HfHubHTTPError as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingError(
            f"the Hugging Face hub does not give {file} of {repository} at {revision}: {reason}"
        ) from error
    except (HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise MissingError(
            f"{repository} is not in the local cache and the Hugging Face hub cannot be reached ({error}); "
            "connect, or download it on another machine and point HF_HOME to its cache"
        ) from error


@cache
def adapter_folder(repository: str, revision: str, subfolder: str | None) -> Path:
    """Local folder of a PEFT adapter on the hub: its configuration, safetensors, tokenizer and chat template.

    Raises:
        MissingError: When the repository cannot be had; one line with the reason and what to do.
    """
    from huggingface_hub import snapshot_download

    inner = f"{subfolder}/" if subfolder else ""
    require_repository(repository, revision, f"{inner}{ADAPTER_CONFIG}")
    wanted = [f"{inner}*{ending}" for ending in (".json", ".safetensors", ".jinja", ".model", "merges.txt")]
    unwanted = [f"{inner}*/*", "*checkpoint*"]
    try:
        folder = snapshot_download(repository, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted)
    except OSError as error:
        raise MissingError(f"cannot fetch the adapter {repository} at {revision}: {error}") from error
    return Path(folder) / inner
