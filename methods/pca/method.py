"""Principal components of activation differences, read by their extreme texts, by logit lens and by steering.

Incremental PCA (Ross et al. 2008, as in scikit-learn) on the raw differences h_f - h_b of the residual streams at one
layer. Source: the PCA method of science-of-finetuning's diffing toolkit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...models.targets import Pair
from ...records.errors import MendableError
from ...records.progress import Track, untracked
from ...views.panels import Panel
from ..activations.corpus import Corpus
from ..activations.encoding import ContentTokens
from ..activations.passes import Need
from ..artifact import Artifact, Content
from ..contract import Labels, PassMethod
from ..evidence.evidence import Evidence, EvidenceText, EvidenceToken
from ..notes import changed_settings, in_brackets, scaled_down
from ..reading import opening_word, quoted_top, shortened
from .config import PcaConfig
from .payload import SIGNS, Component, PcaPayload, SteeringTables
from .pictures import pictures

if TYPE_CHECKING:
    from inspect_ai.tool import Tool

    from .differences import DifferencesCollector

__all__ = ["METHOD", "PcaMethod"]

_COMPONENTS = 3
"""Components whose texts and samples are shown."""
_OVERVIEW_TOKENS = 10
_OVERVIEW_TEXTS = 3
_OVERVIEW_PROMPTS = 2
_OVERVIEW_CHARACTERS = 200
_EVIDENCE_TEXTS = 10
_EVIDENCE_TOKENS = 10


class PcaMethod(PassMethod[PcaConfig, PcaPayload, "DifferencesCollector"]):
    """The method ``pca``."""

    name = "pca"
    config_type = PcaConfig
    payload_type = PcaPayload

    def collector(self, pair: Pair, corpus: Corpus, config: PcaConfig) -> DifferencesCollector:
        """Fits the components and draws the texts to be projected."""
        from .differences import DifferencesCollector

        network = pair.base.network
        layer = int(config.layer * len(network.layers))
        need = Need(frozenset({layer}), max_texts=config.max_texts, max_tokens=config.max_tokens)
        return DifferencesCollector(need, ContentTokens.of(network, corpus), config)

    def content(
        self, pair: Pair, corpus: Corpus, config: PcaConfig, collector: DifferencesCollector, track: Track = untracked
    ) -> Content:
        """Variances, extreme texts and lenses of the components, then steered samples.

        Raises:
            MendableError: For too few tokens.
        """
        from .tables import component_tables, steered_samples

        fit = collector.fit()
        sample = collector.sample.kept()
        if not sample:
            raise MendableError(
                f"max_tokens {config.max_tokens} leaves no token of corpus {corpus.name!r} but first ones and those of "
                "the chat template; raise it"
            )
        components, rows = component_tables(pair, fit, sample, config)
        payload = PcaPayload(
            layer=collector.layer,
            layer_count=len(pair.base.network.layers),
            texts=collector.texts,
            tokens=collector.tokens,
            largest_difference=collector.largest,
            mean_norm=float(fit.mean.norm()),
            components=tuple(components),
            rows=tuple(rows),
            steering=steered_samples(pair, corpus, collector.layer, fit, components, config, track),
        )
        tensors = {"components": fit.components, "mean": fit.mean, "explained_variance": fit.variance}
        return Content(payload, tensors, _notes(pair, config, collector))

    def overview(self, artifact: Artifact, labels: Labels) -> str:
        """Variance and lens of each component; extreme texts and steered samples of the first ones."""
        payload = self.payload(artifact)
        lines = [
            f"Principal components of h_{labels.finetuned} - h_{labels.base}, the difference of the residual streams "
            f"after layer {payload.layer} of {payload.layer_count}, over {payload.tokens} tokens of "
            f"{payload.texts} texts and chats. The mean difference, which is subtracted, has norm "
            f"{payload.mean_norm:.4g}. Which direction of a component is + and which is - has no meaning."
        ]
        if not payload.components:
            return "\n".join([*lines, payload.nothing_varies])
        lines.append("\nShare of the variance, and logit lens of both directions, most probable tokens first:")
        for component in payload.components:
            lines.append(f"- component {component.component}: {component.explained_variance_ratio:.2%}")
            lines += [f"  {sign}: {quoted_top(component.lens[sign], _OVERVIEW_TOKENS)}" for sign in SIGNS]
        for component in payload.components[:_COMPONENTS]:
            lines += _text_lines(payload, component)
        return "\n".join([*lines, *_steering_lines(payload.steering, labels)])

    def evidence(self, artifact: Artifact) -> Evidence:
        """Steered samples against unsteered ones and the lens of the first components; without samples, texts."""
        payload = self.payload(artifact)
        if payload.largest_difference == 0:
            note = "The activation difference is exactly zero at every token."
            return Evidence(no_difference="activations", note=note)
        if not payload.components:
            return Evidence(note=payload.nothing_varies)
        said = any(table.component <= _COMPONENTS for table in payload.steering.tables)
        focus, contrast = _samples(payload) if said else _extreme_texts(payload)
        return Evidence(
            focus=tuple(focus),
            contrast=tuple(contrast),
            tokens=tuple(_lens_words(payload.components)),
            said=said,
            note=f"The first principal component of the activation difference holds "
            f"{payload.components[0].explained_variance_ratio:.1%} of its variance.",
        )

    def toolset(self, open_artifact: Callable[[], Artifact], labels: Labels) -> Sequence[Tool]:
        """Readers of the components, of the texts at their ends, and of the steered samples."""
        from .readers import pca_lens, pca_steering, pca_text, pca_texts

        texts_and_lens = [make(open_artifact) for make in (pca_lens, pca_texts, pca_text)]
        return [*texts_and_lens, pca_steering(open_artifact, labels)]

    def pictures(self, artifact: Artifact, labels: Labels) -> Sequence[Panel]:
        """Explained variance, then for each component its lens, its extreme texts and its samples."""
        return pictures(self.payload(artifact), labels)


def _notes(pair: Pair, config: PcaConfig, collector: DifferencesCollector) -> tuple[str, ...]:
    notes = [
        "texts are ranked at their content only, not at first tokens nor at those of the chat template",
        "the finetuned model is steered, at all tokens (published: the base too, and at the prompt only); the prompts "
        "are the corpus' own",
    ]
    if config.fit_tokens == "content":
        notes.append("fitted to content tokens only (published: to all tokens)")
    notes += scaled_down(config, PcaConfig(), collector.texts)
    if collector.sample.left_out:
        seen = len(collector.sample.kept())
        notes.append(f"extreme texts come from a seeded sample of {seen} of {seen + collector.sample.left_out} texts")
    if config.batch_tokens < min(pair.base.network.d_model, collector.tokens):
        notes.append(f"fitted in steps of {config.batch_tokens} tokens, fewer than dimensions: an approximation")
    names = ("components", "top_texts", "steered_components", "prompts", "samples", "sample_tokens", "temperature")
    changed = changed_settings(config, names)
    if config.factors != PcaConfig().factors:
        changed.append(f"factors {list(config.factors)} ({list(PcaConfig().factors)})")
    return (*notes, *in_brackets(changed, "other than published"))


def _text_lines(payload: PcaPayload, component: Component) -> Iterator[str]:
    # Each end has its title: shown as Markdown, both signs in front of a text are the same bullet.
    for sign in SIGNS:
        yield f"\nTexts at the {sign} end of component {component.component} (the farthest tokens in brackets):"
        for row in payload.end(component, sign)[:_OVERVIEW_TEXTS]:
            yield f"{sign} [{row.text.kind}] {row.marked(length=_OVERVIEW_CHARACTERS)}"


def _steering_lines(steering: SteeringTables, labels: Labels) -> Iterator[str]:
    tables = [table for table in steering.tables if table.component <= _COMPONENTS]
    if not tables:
        return
    factor = min((table.factor for table in tables), key=lambda f: abs(f - 1))
    yield (
        f"\nSamples of {labels.finetuned} steered by {factor:g} x the maximum projection along a component, "
        "beside unsteered ones:"
    )
    for number, prompt in enumerate(steering.prompts[:_OVERVIEW_PROMPTS]):
        yield f"- prompt: {prompt}"
        yield f"  unsteered: {shortened(steering.unsteered[number][0], _OVERVIEW_CHARACTERS)}"
        for table in tables:
            if table.factor == factor:
                sample = shortened(table.samples[number][0], _OVERVIEW_CHARACTERS)
                yield f"  {table.sign} component {table.component}: {sample}"


def _samples(payload: PcaPayload) -> tuple[list[EvidenceText], list[EvidenceText]]:
    steering = payload.steering
    steered = [table.samples for table in steering.tables if table.component <= _COMPONENTS]
    focus, contrast = (
        [
            EvidenceText(text=text, stratum=prompt)
            for samples in groups
            for prompt, texts in zip(steering.prompts, samples, strict=True)
            for text in texts
        ]
        for groups in (steered, [steering.unsteered])
    )
    return focus, contrast


def _extreme_texts(payload: PcaPayload) -> tuple[list[EvidenceText], list[EvidenceText]]:
    """The texts at the + end of the first component, and those at the - end; a component's sign has no meaning."""
    top, bottom = ([row.text for row in payload.end(payload.components[0], sign)[:_EVIDENCE_TEXTS]] for sign in SIGNS)
    chosen = {text.place for text in top}
    focus, contrast = (
        [EvidenceText(text=text.plain, stratum=text.kind) for text in texts]
        for texts in (top, [text for text in bottom if text.place not in chosen])
    )
    return focus, contrast


def _lens_words(components: Sequence[Component]) -> list[EvidenceToken]:
    """Beginnings of words in the lenses of the first components, each with the reciprocal of its best rank.

    Components are orthogonal: a token in the lens of several says something of the unembedding, not of a component.
    """
    shown = Counter(token for c in components for token in {token for sign in SIGNS for token, _ in c.lens[sign]})
    ranked = [
        (rank, component.component, sign, word)
        for component in components[:_COMPONENTS]
        for sign in SIGNS
        for rank, (token, _) in enumerate(component.lens[sign][:_EVIDENCE_TOKENS], 1)
        if shown[token] == 1 and (word := opening_word(token))
    ]
    best: dict[str, int] = {}
    for rank, *_, word in sorted(ranked):
        best.setdefault(word, rank)
    return [EvidenceToken(token=word, strength=1 / rank) for word, rank in best.items()]


METHOD = PcaMethod()
