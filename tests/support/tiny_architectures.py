"""Tiny random models of many architectures, one by the name of its configuration."""

from __future__ import annotations

from typing import Any

__all__ = ["ARCHITECTURES", "tiny_model"]

VOCABULARY = 50
D_MODEL = 32
LAYERS = 3

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": D_MODEL,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_PLAIN = {name: _COMMON[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "LlamaConfig": _COMMON,
    "MistralConfig": _COMMON,
    "MixtralConfig": _COMMON | _EXPERTS,
    "Qwen2Config": _COMMON,
    "Qwen3Config": _COMMON,
    "Qwen3MoeConfig": _COMMON | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "GemmaConfig": _COMMON,
    "Gemma2Config": _COMMON | {"query_pre_attn_scalar": 8},
    "Gemma3TextConfig": _COMMON | {"query_pre_attn_scalar": 8},
    "Phi3Config": _COMMON,
    "PhiConfig": _COMMON,
    "Olmo2Config": _COMMON,
    "CohereConfig": _COMMON,
    "GraniteConfig": _COMMON,
    "GPTNeoXConfig": _COMMON,
    "GPT2Config": _PLAIN | {"n_embd": D_MODEL, "n_layer": LAYERS, "n_head": 4},
    "FalconConfig": _PLAIN | {"hidden_size": D_MODEL, "num_hidden_layers": LAYERS, "num_attention_heads": 4},
    "OPTConfig": _PLAIN
    | {
        "hidden_size": D_MODEL,
        "word_embed_proj_dim": D_MODEL,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "ffn_dim": 48,
    },
}
"""Class of the configuration -> its settings; each model has three layers of width 32."""


def tiny_model(name: str, **changes: Any) -> Any:
    """A causal language model with random weights, far from their usual small scale."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, name)(**{**ARCHITECTURES[name], "initializer_range": 0.2, **changes})
    return transformers.AutoModelForCausalLM.from_config(config).eval()
