"""Tokens of a case by role, from the transcripts of a run without language models, as a first guess of what one takes.

    inspect eval benchmark/diffing.py --log-dir logs
    python performance/case_tokens.py logs [--json]

The policies in place of models count no tokens, so their messages are counted here with the tokenizer of the embedded
base: all that a model would read at each turn (messages and the tools' descriptions), and what it would write. Queries
of the two models were counted as they ran.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from statistics import mean

from diffbench.organisms.loading import load_pair
from diffbench.organisms.suites import find_organism
from inspect_ai.event import ModelEvent
from inspect_ai.log import EvalSample, list_eval_logs, read_eval_log
from inspect_ai.model import ChatMessage, ChatMessageAssistant

INVESTIGATOR, JUDGE = "keyless/investigator", "keyless/grader"


def figures_of(sample: EvalSample, count: Callable[[str], int]) -> dict[str, int]:
    """Turns, and tokens read and written by role."""
    events = [event for event in sample.events if isinstance(event, ModelEvent)]
    targets = [usage for role, usage in sample.role_usage.items() if role.startswith("target_")]
    figures = {
        "turns": sum(event.model == INVESTIGATOR for event in events),
        "targets in": sum(usage.input_tokens for usage in targets),
        "targets out": sum(usage.output_tokens for usage in targets),
    }
    for role, model in (("investigator", INVESTIGATOR), ("judge", JUDGE)):
        own = [event for event in events if event.model == model]
        tools = [tool.model_dump_json(exclude_none=True) for event in own for tool in event.tools]
        read = [text_of(message) for event in own for message in event.input]
        figures[f"{role} in"] = sum(map(count, [*read, *tools]))
        figures[f"{role} out"] = sum(count(text_of(event.output.message)) for event in own)
    return figures


def text_of(message: ChatMessage) -> str:
    """A message's text with the calls it makes."""
    calls = message.tool_calls or [] if isinstance(message, ChatMessageAssistant) else []
    return "\n".join([message.text, *(f"{call.function} {json.dumps(call.arguments)}" for call in calls)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", help="folder of logs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    tokenizer = load_pair(find_organism("smol.null_identical")).base.network.tokenizer
    rows: dict[str, list[dict[str, int]]] = defaultdict(list)
    for info in list_eval_logs(given.logs):
        for sample in read_eval_log(info, resolve_attachments=True).samples or []:
            figures = figures_of(sample, lambda text: len(tokenizer(text)["input_ids"]))
            rows[sample.metadata["method"]].append(figures)
            rows["all"].append(figures)
    means = {name: {key: mean(case[key] for case in cases) for key in cases[0]} for name, cases in rows.items()}
    if given.json:
        print(json.dumps(means))
        return
    for name, figures in sorted(means.items(), key=lambda item: item[0] == "all"):
        print(f"{name}: {', '.join(f'{key} {value:,.0f}' for key, value in figures.items())} ({len(rows[name])} cases)")


if __name__ == "__main__":
    main()
