"""A model's refusal, told apart from an answer."""

from __future__ import annotations

from inspect_ai.model import ContentText, ModelOutput

__all__ = ["refusal_of"]


def refusal_of(output: ModelOutput) -> str | None:
    """What a model that refused said, empty if nothing; None for an answer.

    A refusal is what the provider marks as one: the stop reason ``content_filter``, or content that is flagged as a
    refusal. An answer that declines in plain words is an answer.
    """
    if output.empty:
        return None
    content = output.message.content
    flagged = not isinstance(content, str) and any(isinstance(part, ContentText) and part.refusal for part in content)
    if not flagged and output.stop_reason != "content_filter":
        return None
    details = output.choices[0].stop_details
    return output.completion.strip() or (details.explanation if details else None) or ""
