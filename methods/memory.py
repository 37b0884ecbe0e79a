"""Memory: how much a computation took, how it is said to have run out, and what can be lowered."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType

import psutil

__all__ = ["PeakMemory", "out_of_memory", "what_to_lower"]

# Of torch's CPU allocator on Linux and on Windows, and of CUDA and other devices.
_SAID = ("can't allocate memory", "not enough memory", "out of memory")
_SETTINGS = ("batch_tokens", "kept_tokens", "topic_positions", "max_tokens", "max_texts")
"""Settings of methods that memory grows with."""


def out_of_memory(error: Exception) -> str | None:
    """The words in which an error says that memory ran out; None when it says something else."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, MemoryError):
        return text or "Python could not allocate memory"
    return text if isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID) else None


def what_to_lower(settings: Mapping[str, object], options: Mapping[str, int]) -> str:
    """What can be lowered when memory runs out.

    Args:
        settings: Of the method.
        options: Of the run: option of the command line -> value.
    """
    named = ", ".join(f"{name} {value}" for name, value in options.items())
    own = [f"{name} {settings[name]}" for name in _SETTINGS if name in settings]
    return f"lower {named}" + (f" or, of the method's settings, {', '.join(own)}" if own else "")


class PeakMemory:
    """Largest resident memory of this process while the block runs, looked at again and again."""

    peak_mib: float = 0.0

    def __init__(self, every: float = 0.5) -> None:
        """Look every so many seconds."""
        self._every = every

    def __enter__(self) -> PeakMemory:
        self.peak_mib = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.peak_mib = max(self.peak_mib, process.memory_info().rss / 2**20)
            if self._done.wait(self._every):
                return
