"""The patchscope on mean differences: what the finetuned model reads in a direction put in place of a token.

Identity prompts (lines such as ``man -> man``, then ``?``) make a model repeat what stands at the ``?``. There, at the
layer of the difference, the residual stream is replaced by the difference, scaled to a multiple of the norm reference;
the next-token distributions of three prompts are averaged over the tokens that all of them rank high.
Source: Patchscopes (Ghandeharioun et al., arXiv 2401.06102), as used by arXiv 2510.13900 and its toolkit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...models.interventions import replaced
from ...models.targets import Pair, Target
from ...records.progress import Track, untracked
from ..activations.lens import unembed
from ..reading import TokenProbability
from .config import PatchscopeConfig, Position
from .differences import PositionMeans
from .judges import EmbeddingCoherence, ScaleJudge, ScaleTokens
from .llm_judge import LlmJudge
from .payload import PatchedTokens, Patchscope, PatchscopeRow, ScaleRow

__all__ = ["IDENTITY_PROMPTS", "patched_probabilities", "patchscope_of", "scale_tokens"]

_WORDS = (("man", "1135", "hello"), ("bear", "42", "blue"), ("921", "target", "anna"))

IDENTITY_PROMPTS = tuple("\n".join([*(f"{word} -> {word}" for word in words), "?"]) for words in _WORDS)
"""The published prompts; their last token is the one that is replaced."""


def patchscope_of(
    pair: Pair,
    means: PositionMeans,
    config: PatchscopeConfig,
    track: Track = untracked,
    judge: ScaleJudge | None = None,
) -> Patchscope:
    """For each position the tokens of d, of mean h_base (in the base) and of mean h_finetuned, at the chosen scales.

    Positions that the corpus did not reach are left out, and a difference of exactly zero has no tokens.

    Args:
        pair: The two models.
        means: What is patched in, with its layer and norm reference.
        config: Settings.
        track: Wraps the positions for a progress display.
        judge: Chooses the scales; by default the one that ``config`` names.
    """
    if judge is None:
        if config.judge is None:
            judge = EmbeddingCoherence(pair.base.anatomy.embed.weight, [word for words in _WORDS for word in words])
        else:
            judge = LlmJudge(config.judge)
    positions = [position for position in config.positions if position in means.base]
    rows = [_row(pair, means, position, config, judge) for position in track(positions, "adl: patchscope")]
    return Patchscope(judge=judge.name, rows=tuple(rows))


def scale_tokens(
    target: Target, layer: int, vector: torch.Tensor, norm_reference: float, config: PatchscopeConfig
) -> list[ScaleTokens]:
    """Tokens that a model reads in a vector [d_model] at each scale, with the mean probability over the prompts.

    The vector is brought to the norm scale * norm_reference. A token outside the ``intersection_top`` most probable
    ones of any prompt is left out.
    """
    unit = vector.float() / vector.float().norm() * norm_reference
    vectors = torch.tensor(config.scales).unsqueeze(1) * unit
    total, everywhere = torch.zeros(()), torch.ones((), dtype=torch.bool)
    for prompt in IDENTITY_PROMPTS:
        probabilities = patched_probabilities(target, prompt, layer, vectors).cpu()
        top = probabilities.topk(min(config.intersection_top, probabilities.shape[-1]), dim=-1).indices
        everywhere = everywhere & torch.zeros_like(probabilities, dtype=torch.bool).scatter(1, top, value=True)
        total = total + probabilities
    mean = torch.where(everywhere, total / len(IDENTITY_PROMPTS), 0.0)
    values, ids = mean.topk(min(config.tokens, mean.shape[-1]), dim=-1)
    decode = target.network.tokenizer.decode
    rows = []
    for scale, row_values, row_ids in zip(config.scales, values.tolist(), ids.tolist(), strict=True):
        kept = [(token, p) for token, p in zip(row_ids, row_values, strict=True) if p > 0]
        tokens = tuple(str(decode([token])) for token, _ in kept)
        rows.append(ScaleTokens(scale, tuple(t for t, _ in kept), tokens, tuple(p for _, p in kept)))
    return rows


def patched_probabilities(target: Target, prompt: str, layer: int, vectors: torch.Tensor) -> torch.Tensor:
    """Next-token distributions after a prompt whose last token's residual stream is replaced after one layer.

    The tokens before it are the same for all vectors and do not see it, so they run once and their keys and values are
    repeated.

    Args:
        target: The model.
        prompt: Tokenized as the model's tokenizer does by itself, a start token included where it adds one.
        layer: Decoder layer after which the stream is replaced.
        vectors: [n, d_model].

    Returns:
        Probabilities, [n, vocabulary], float32.
    """
    network = target.network
    ids = torch.tensor([network.tokenizer(prompt)["input_ids"]], device=network.device)
    decoder = target.anatomy.decoder
    with target.running():
        before = decoder(input_ids=ids[:, :-1], use_cache=True).past_key_values
        before.batch_repeat_interleave(len(vectors))
        with replaced(target.anatomy, layer, vectors):
            last = ids[:, -1:].expand(len(vectors), 1)
            hidden = decoder(input_ids=last, past_key_values=before, use_cache=True).last_hidden_state
    return unembed(target, hidden[:, -1]).softmax(-1)


def _row(
    pair: Pair, means: PositionMeans, position: Position, config: PatchscopeConfig, judge: ScaleJudge
) -> PatchscopeRow:
    sources = {
        "difference": (pair.finetuned, means.difference(position)),
        "base": (pair.base, means.base[position]),
        "finetuned": (pair.finetuned, means.finetuned[position]),
    }
    scales = {
        name: scale_tokens(target, means.layer, vector, means.norm_reference, config)
        for name, (target, vector) in sources.items()
        if float(vector.norm()) > 0
    }
    found = {name: _chosen(rows, judge) for name, rows in scales.items()}
    if "difference" not in scales:
        return PatchscopeRow(position=str(position), **found)
    by_scale = tuple(ScaleRow(row.scale, row.tokens) for row in scales["difference"])
    return PatchscopeRow(position=str(position), by_scale=by_scale, **found)


def _chosen(rows: Sequence[ScaleTokens], judge: ScaleJudge) -> PatchedTokens:
    """The tokens of the scale that a judge chooses."""
    choice = judge.choose(rows)
    chosen = next(row for row in rows if row.scale == choice.scale)
    pairs = zip(chosen.tokens, chosen.probabilities, strict=True)
    return PatchedTokens(
        scale=choice.scale,
        tokens=tuple(TokenProbability(token, round(p, 6)) for token, p in pairs),
        selected=choice.selected,
    )
