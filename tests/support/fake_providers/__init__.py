"""Local servers that speak the wire formats of hosted models: a scripted model behind them, faults on demand."""

from .conversation import Answer, Asked, Call, Said, role_of
from .faults import CONTENT, FAULTS, TRANSIENT, drawn, marked
from .policy import FINDING, scripted
from .server import FakeProvider, serving

__all__ = [
    "CONTENT",
    "FAULTS",
    "FINDING",
    "TRANSIENT",
    "Answer",
    "Asked",
    "Call",
    "FakeProvider",
    "Said",
    "drawn",
    "marked",
    "role_of",
    "scripted",
    "serving",
]
