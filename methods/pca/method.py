"""Principal components of activation differences, read by their extreme texts, by logit lens and by steering.

Incremental PCA (Ross et al. 2008, as in scikit-learn) on the raw differences h_f - h_b of the residual streams at one
layer. Source: the PCA method of science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..activations.top_texts import ContentTokens
from ..artifact import Artifact, Content
from ..executors import diff_by_pass
from ..reading import marked
from ..registry import Labels, MethodConfig, Track, untracked
from .config import PcaConfig

if TYPE_CHECKING:
    from ...models.pair import Pair
    from ..activations.corpus import Corpus
    from .differences import DifferencesCollector

__all__ = ["METHOD", "PcaConfig", "PcaMethod", "end_rows", "lens_line", "marked_row", "nothing_varies"]

Sign = Literal["+", "-"]
SIGNS: tuple[Sign, Sign] = ("+", "-")

_OVERVIEW_LENS = 10
_OVERVIEW_COMPONENTS = 3
"""Components whose texts and samples are shown."""
_OVERVIEW_TEXTS = 3
_OVERVIEW_SAMPLES = 2
_OVERVIEW_CHARACTERS = 200


@dataclass(frozen=True)
class PcaMethod:
    """The method ``pca``."""

    name: str = "pca"
    needs: Literal["weights", "api"] = "weights"
    config_type: type[MethodConfig] = PcaConfig

    def diff(self, pair: Pair, corpus: Corpus, config: PcaConfig, track: Track = untracked) -> Content:
        """Components of the differences on texts and chats."""
        return diff_by_pass(self, pair, corpus, config, track)

    def collector(self, pair: Pair, corpus: Corpus, config: PcaConfig) -> DifferencesCollector:
        """Fits the components and draws the texts to be projected."""
        from ..activations.passes import Need
        from .differences import DifferencesCollector

        network = pair.base.network
        layer = int(config.layer * len(network.layers))
        need = Need(frozenset({layer}), max_texts=config.max_texts, max_tokens=config.max_tokens)
        return DifferencesCollector(need, ContentTokens.of(network, corpus), config)

    def content(
        self,
        pair: Pair,
        corpus: Corpus,
        config: PcaConfig,
        collector: DifferencesCollector,
        track: Track = untracked,
    ) -> Content:
        """Variances, extreme texts and lenses of the components, then steered samples.

        Raises:
            ValueError: For too few tokens.
        """
        from .steering import steered_samples
        from .tables import component_tables

        fit = collector.fit()
        sample = collector.sample.kept()
        if not sample:
            raise ValueError(
                f"max_tokens {config.max_tokens} leaves no token of corpus {corpus.name!r} but first ones and those of "
                "the chat template; raise it"
            )
        tables, rows = component_tables(pair, fit, sample, config)
        payload = {
            "layer": collector.layer,
            "layer_count": len(pair.base.network.layers),
            "texts": collector.texts,
            "tokens": collector.tokens,
            "largest_difference": collector.largest,
            "mean_norm": float(fit.mean.norm()),
            "components": tables,
            "rows": rows,
            "steering": steered_samples(pair, corpus, collector.layer, fit, tables, config, track),
        }
        tensors = {"components": fit.components, "mean": fit.mean, "explained_variance": fit.variance}
        return Content(payload, tensors, _notes(pair, config, collector))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Variance and lens of each component; extreme texts and steered samples of the first ones."""
        payload = artifact.payload()
        lines = [
            f"Principal components of h_{labels.finetuned} - h_{labels.base}, the difference of the residual streams "
            f"after layer {payload['layer']} of {payload['layer_count']}, over {payload['tokens']} tokens of "
            f"{payload['texts']} texts and chats. The mean difference, which is subtracted, has norm "
            f"{payload['mean_norm']:.4g}. Which direction of a component is + and which is - has no meaning."
        ]
        if not payload["components"]:
            return "\n".join([*lines, nothing_varies(payload)])
        lines.append("\nShare of the variance, and logit lens of both directions, most probable tokens first:")
        for table in payload["components"]:
            lines.append(f"- component {table['component']}: {table['explained_variance_ratio']:.2%}")
            lines += [f"  {sign}: {lens_line(table, sign, _OVERVIEW_LENS)}" for sign in SIGNS]
        for table in payload["components"][:_OVERVIEW_COMPONENTS]:
            lines += _text_lines(payload, table)
        return "\n".join(lines + _steering_lines(payload["steering"], labels))


def nothing_varies(payload: dict[str, Any]) -> str:
    """Why there are no components."""
    if payload["largest_difference"] == 0:
        return "Every difference is exactly zero: the two models compute the same activations."
    return "The difference is the same at every token, so that there are no components beside its mean."


def lens_line(table: dict[str, Any], sign: Sign, n: int) -> str:
    """Tokens of the lens of one direction of a component, quoted, most probable first."""
    return " ".join(repr(token) for token, _ in table["lens"][sign][:n])


def end_rows(payload: dict[str, Any], table: dict[str, Any], sign: Sign) -> list[dict[str, Any]]:
    """Texts at one end of a component, the most extreme first, each with its tokens and projections."""
    rows = [table["rows"][i] for i in table["top" if sign == "+" else "bottom"]]
    return [{**payload["rows"][row["text"]], **row} for row in rows]


def marked_row(row: dict[str, Any], sign: Sign, most: int = 3, length: int = 420) -> str:
    """A text with its most extreme tokens in brackets, each with its projection, counted in the direction ``sign``."""
    factor = 1 if sign == "+" else -1
    values = {p: factor * v for p, v in zip(row["positions"], row["projections"], strict=True)}
    return marked(row["tokens"], values, most, length)


def _text_lines(payload: dict[str, Any], table: dict[str, Any]) -> list[str]:
    # Each end has its title: shown as Markdown, both signs in front of a text are the same bullet.
    lines = []
    for sign in SIGNS:
        lines.append(f"\nTexts at the {sign} end of component {table['component']} (the farthest tokens in brackets):")
        lines += [
            f"{sign} [{row['kind']}] {marked_row(row, sign, length=_OVERVIEW_CHARACTERS)}"
            for row in end_rows(payload, table, sign)[:_OVERVIEW_TEXTS]
        ]
    return lines


def _steering_lines(steering: dict[str, Any], labels: Labels) -> list[str]:
    tables = [table for table in steering["tables"] if table["component"] <= _OVERVIEW_COMPONENTS]
    if not tables:
        return []
    factor = min((table["factor"] for table in tables), key=lambda f: abs(f - 1))
    lines = [
        f"\nSamples of {labels.finetuned} steered by {factor:g} x the maximum projection along a component, "
        "beside unsteered ones:"
    ]
    for number in range(min(_OVERVIEW_SAMPLES, len(steering["prompts"]))):
        lines.append(f"- prompt: {steering['prompts'][number]}")
        lines.append(f"  unsteered: {_short(steering['unsteered'][number][0])}")
        lines += [
            f"  {table['sign']} component {table['component']}: {_short(table['samples'][number][0])}"
            for table in tables
            if table["factor"] == factor
        ]
    return lines


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _OVERVIEW_CHARACTERS else flat[:_OVERVIEW_CHARACTERS] + " …"


def _notes(pair: Pair, config: PcaConfig, collector: DifferencesCollector) -> tuple[str, ...]:
    published = PcaConfig()
    notes = [
        "texts are ranked at their content only, not at first tokens nor at those of the chat template",
        "the finetuned model is steered, at all tokens (published: the base too, and at the prompt only); the prompts "
        "are the corpus' own",
    ]
    if config.fit_tokens != published.fit_tokens:
        notes.append("fitted to content tokens only (published: to all tokens)")
    if collector.texts < published.max_texts or config.max_tokens < published.max_tokens:
        notes.append(
            f"scaled down: {collector.texts} texts of at most {config.max_tokens} tokens "
            f"(published: {published.max_texts:,} x {published.max_tokens:,})"
        )
    if collector.sample.left_out:
        seen = len(collector.sample.kept())
        notes.append(f"extreme texts come from a seeded sample of {seen} of {seen + collector.sample.left_out} texts")
    if config.batch_tokens < min(pair.base.network.d_model, collector.tokens):
        notes.append(f"fitted in steps of {config.batch_tokens} tokens, fewer than dimensions: an approximation")
    fields = ("components", "top_texts", "steered_components", "prompts", "samples", "sample_tokens", "temperature")
    changed = [
        f"{name} {getattr(config, name)} ({getattr(published, name)})"
        for name in fields
        if getattr(config, name) != getattr(published, name)
    ]
    if config.factors != published.factors:
        changed.append(f"factors {list(config.factors)} ({list(published.factors)})")
    if changed:
        notes.append("other than published, published value in brackets: " + ", ".join(changed))
    return tuple(notes)


METHOD = PcaMethod()
