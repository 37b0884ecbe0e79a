"""Per-token KL divergence between the finetuned and the base model on the same texts.

KL(p_finetuned || p_base) of the next-token distributions at temperature 1, for each token; per-text mean and
maximum; the top texts by each with their per-token values. Source: the KL method of science-of-finetuning's
diffing toolkit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from .artifact import Artifact, Content
from .base import Labels, MethodConfig, Track, untracked

if TYPE_CHECKING:
    import torch

    from ..organisms.pair import Pair
    from .corpus import Corpus
    from .forward import Encoded

__all__ = ["METHOD", "KlConfig", "KlMethod", "token_kl"]

_OVERVIEW_TEXTS = 12
TEMPLATE_MARKER = re.compile(r"<\|[^|]*\|>")
"""Special tokens of chat templates, which only clutter a text that is read."""


class KlConfig(MethodConfig):
    """Settings; defaults as published."""

    max_texts: int = Field(default=10_000, ge=1)
    """Texts and chats used at most, each."""
    max_tokens: int = Field(default=1_024, ge=2)
    """Tokens of each."""
    top_texts: int = Field(default=100, ge=1)
    """Texts kept by mean, and by maximum, with their per-token values."""
    batch_size: int = Field(default=16, ge=1)
    chunk_tokens: int = Field(default=512, ge=1)
    """Tokens whose logits are held at once."""


def token_kl(base_logits: torch.Tensor, finetuned_logits: torch.Tensor) -> torch.Tensor:
    """KL(p_f || p_b) = sum_v p_f(v) (log p_f(v) - log p_b(v)) in nats: [tokens, vocabulary] twice -> [tokens]."""
    log_b, log_f = base_logits.log_softmax(-1), finetuned_logits.log_softmax(-1)
    return (log_f.exp() * (log_f - log_b)).sum(-1).clamp_min(0.0)


@dataclass(frozen=True)
class KlMethod:
    """The method ``kl``."""

    name: str = "kl"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = KlConfig

    def diff(self, pair: Pair, corpus: Corpus, config: KlConfig, track: Track = untracked) -> Content:
        """Per-token KL over texts and chats; streaming, so memory does not grow with the corpus."""
        from .forward import batches, encode_chats, encode_texts

        network = pair.base.network
        items = encode_texts(network, corpus, config.max_tokens)[: config.max_texts]
        items += encode_chats(network, corpus, config.max_tokens)[: config.max_texts]
        items = [item for item in items if len(item.ids) > item.content_start]
        if not items:
            raise ValueError(f"max_tokens {config.max_tokens} cuts every chat before its first word; raise it")
        rows: list[dict[str, Any]] = []
        for chunk, ids, mask in track(list(batches(items, network, config.batch_size)), "kl"):
            values = _batch_kl(pair, ids, mask, config.chunk_tokens)
            rows += [
                _row(item, values[i, item.content_start : len(item.ids)].tolist(), network.tokenizer)
                for i, item in enumerate(chunk)
            ]
        return Content(_payload(rows, config), notes=_notes(config, items))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Totals and the texts that diverge most, with their most divergent tokens."""
        payload = artifact.payload()
        total = payload["summary"]
        lines = [
            f"Per-token KL({labels.finetuned} || {labels.base}) of the next-token distributions, in nats, over "
            f"{total['texts']} texts and chats ({total['tokens']} tokens).",
            f"mean {total['mean']:.4f}, median {total['median']:.4f}, 99th percentile {total['p99']:.3f}, "
            f"maximum {total['max']:.3f}; chats {total['mean_chat']:.4f}, plain texts {total['mean_text']:.4f}",
        ]
        if total["max"] == 0.0:
            return "\n".join([*lines, "The two models give exactly the same probabilities everywhere."])
        lines.append("\nTexts by mean KL (the tokens after which the models differ most in brackets):")
        lines += [
            f"- {row['mean']:.3f} (max {row['max']:.2f}) [{row['kind']}] {marked(row)}"
            for row in top_rows(payload, "mean")[:_OVERVIEW_TEXTS]
        ]
        return "\n".join(lines)


def top_rows(payload: dict[str, Any], order: Literal["mean", "max"]) -> list[dict[str, Any]]:
    """The kept texts, those with the largest mean or maximum first."""
    return [payload["rows"][i] for i in payload[f"top_by_{order}"]]


def marked(row: dict[str, Any], most: int = 4, length: int = 420) -> str:
    """A text with its most divergent tokens in brackets, each with its KL."""
    ranked = sorted(range(len(row["kl"])), key=lambda i: -row["kl"][i])[:most]
    shown = [TEMPLATE_MARKER.sub(" / ", token) for token in row["tokens"]]
    parts = [f"[{t}|{row['kl'][i]:.1f}]" if i in ranked else t for i, t in enumerate(shown)]
    text = " ".join("".join(parts).split())
    return text if len(text) <= length else text[:length] + " …"


def _batch_kl(pair: Pair, ids: torch.Tensor, mask: torch.Tensor, chunk_tokens: int) -> torch.Tensor:
    """KL after each token, [texts, tokens], 0 at padding; logits exist for one chunk of tokens at a time."""
    import torch

    from .forward import final_hidden, unembed

    real = mask.bool()
    hidden = [final_hidden(target, ids, mask)[real] for target in pair]
    values = torch.zeros(ids.shape, dtype=torch.float32)
    parts = []
    for start in range(0, hidden[0].shape[0], chunk_tokens):
        base, finetuned = (
            unembed(target, states[start : start + chunk_tokens]) for target, states in zip(pair, hidden, strict=True)
        )
        parts.append(token_kl(base, finetuned).cpu())
    values[real.cpu()] = torch.cat(parts)
    return values


def _row(item: Encoded, values: list[float], tokenizer: Any) -> dict[str, Any]:
    return {
        "index": item.index,
        "kind": item.kind,
        "mean": sum(values) / len(values),
        "max": max(values),
        "tokens": [tokenizer.decode([token]) for token in item.ids[item.content_start :]],
        "kl": [round(value, 4) for value in values],
    }


def _payload(rows: Sequence[dict[str, Any]], config: KlConfig) -> dict[str, Any]:
    import numpy as np

    values = np.concatenate([row["kl"] for row in rows])
    by_mean, by_max = (
        sorted(range(len(rows)), key=lambda i: -rows[i][order])[: config.top_texts] for order in ("mean", "max")
    )
    kept = sorted({*by_mean, *by_max})
    return {
        "summary": {
            "texts": len(rows),
            "tokens": int(values.size),
            "mean": float(values.mean()),
            "median": float(np.median(values)),
            "p99": float(np.quantile(values, 0.99)),
            # Not of the rounded values: 0 is to mean that the models are the same.
            "max": max(row["max"] for row in rows),
            "mean_text": _mean_of(rows, "text"),
            "mean_chat": _mean_of(rows, "chat"),
        },
        "rows": [rows[i] for i in kept],
        "top_by_mean": [kept.index(i) for i in by_mean],
        "top_by_max": [kept.index(i) for i in by_max],
    }


def _mean_of(rows: Sequence[dict[str, Any]], kind: str) -> float:
    means = [row["mean"] for row in rows if row["kind"] == kind]
    return sum(means) / len(means) if means else 0.0


def _notes(config: KlConfig, items: Sequence[Encoded]) -> tuple[str, ...]:
    published = KlConfig()
    if len(items) >= published.max_texts and config.max_tokens >= published.max_tokens:
        return ()
    return (
        f"scaled down: {len(items)} texts of at most {config.max_tokens} tokens "
        f"(published: {published.max_texts:,} x {published.max_tokens:,})",
    )


METHOD = KlMethod()
