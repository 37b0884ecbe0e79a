"""Memory that ran out: how Python and torch say it, and what can be lowered."""

from __future__ import annotations

from .contract import MethodConfig

__all__ = ["advised", "lightened"]

# Of torch's CPU allocator on Linux and on Windows, and of CUDA and other devices.
_SAID = ("can't allocate memory", "not enough memory", "out of memory")
_SETTINGS = ("batch_size", "batch_tokens", "chunk_tokens", "kept_tokens", "topic_positions", "max_tokens", "max_texts")
"""Settings of methods that memory grows with."""


def lightened(error: Exception) -> Exception:
    """The error itself, or in place of one that says that memory ran out a ``MemoryError`` without its traceback.

    The traceback would keep alive what was in memory when it ran out.
    """
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, MemoryError):
        return MemoryError(text or "Python could not allocate memory")
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID):
        return MemoryError(text)
    return error


def advised(error: Exception, config: MethodConfig, share: int, batch_size: int) -> Exception:
    """The error itself, or for a ``MemoryError`` one that says what to lower.

    Args:
        error: Why an artifact could not be computed.
        config: Settings of its method.
        share: Organisms that shared its pass at most.
        batch_size: Items run at once in the pass.
    """
    if not isinstance(error, MemoryError):
        return error
    settings = [f"{name} {value}" for name in _SETTINGS if (value := getattr(config, name, None)) is not None]
    of_method = f" or, of the method's settings, {', '.join(settings)}" if settings else ""
    return MemoryError(f"memory ran out ({error}); lower --batch-size {batch_size}, --share {share}{of_method}")
