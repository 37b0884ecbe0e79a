"""Names of ``encoding`` and ``lens`` for modules that have not moved yet."""

from .encoding import Encoded, batches, chunks, encode_chats, encode_texts, padded
from .lens import final_hidden, logit_lens, residual, unembed

__all__ = [
    "Encoded",
    "batches",
    "chunks",
    "encode_chats",
    "encode_texts",
    "final_hidden",
    "logit_lens",
    "padded",
    "residual",
    "unembed",
]
